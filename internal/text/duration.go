package text

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Day is the longest unit that ParseDuration knows.
const Day = 24 * time.Hour

// ErrTooLong says that a duration exceeds the maximum of time.Duration.
var ErrTooLong = errors.New("is too long")

var (
	errNoDuration = errors.New("is not a length of time")
	digits        = regexp.MustCompile(`[0-9]+`)
)

// ParseDuration parses what time.ParseDuration does, and also days ("12d", "1d12h"). A plain
// number is seconds, as platforms write grace periods. Negative durations are errors.
func ParseDuration(s string) (time.Duration, error) {
	if digits.FindString(s) == s {
		s += "s"
	}
	days, rest, found := strings.Cut(s, "d")
	if !found {
		days, rest = "0", s
	}
	d, err := time.ParseDuration(cmp.Or(rest, "0s"))
	if digits.FindString(days) != days || days == "" || d < 0 {
		return 0, errNoDuration
	}
	if err != nil {
		// If it parses with all numbers replaced by 1, the numbers are too large.
		if _, wrong := time.ParseDuration(digits.ReplaceAllString(rest, "1")); wrong != nil {
			return 0, errNoDuration
		}
		return 0, ErrTooLong
	}
	n, err := strconv.Atoi(days)
	if err != nil || n > int(math.MaxInt64/Day) {
		return 0, ErrTooLong
	}
	if d += time.Duration(n) * Day; d < 0 {
		return 0, ErrTooLong
	}
	return d, nil
}

// Duration formats a duration for a table: its largest unit, and minutes below ten hours:
// "45s", "15m", "3h", "1h30m", "12d".
func Duration(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 10*time.Hour && d%time.Hour >= time.Minute:
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	case d < 2*Day:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d/Day))
}
