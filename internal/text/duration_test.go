package text

import (
	"errors"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"90": 90 * time.Second, "90s": 90 * time.Second, "1h30m": 90 * time.Minute, "3d": 3 * Day, "1d12h": 36 * time.Hour, "0": 0,
	} {
		if got, err := ParseDuration(s); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "d", "soon", "-1s", "-1d", "1d-1h", "1.5d", "1h1d", "5 m"} {
		if got, err := ParseDuration(s); err == nil || errors.Is(err, ErrTooLong) {
			t.Errorf("%q: %v, %v; want another error", s, got, err)
		}
	}
	for _, s := range []string{"99999999999999999999", "106751d24h", "9999999h"} {
		if got, err := ParseDuration(s); !errors.Is(err, ErrTooLong) {
			t.Errorf("%q: %v, %v; want ErrTooLong", s, got, err)
		}
	}
}

func TestDuration(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": -time.Hour, "59s": 59*time.Second + 999*time.Millisecond, "15m": 15 * time.Minute, "59m": time.Hour - 1, "3h": 3 * time.Hour,
		"1h30m": 90 * time.Minute, "9h": 9*time.Hour + time.Second, "10h": 10*time.Hour + 20*time.Minute, "47h": 48*time.Hour - 1, "2d": 48 * time.Hour,
	} {
		if got := Duration(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
