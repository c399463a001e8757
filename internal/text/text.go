// Package text has what messages of several packages need: hints, plurals, suggestions for
// misspelled names, and durations.
package text

import (
	"fmt"
	"strings"
)

// hinted is an error with a hint.
type hinted struct {
	error
	hint string
}

// WithHint adds a hint, which says what to do about an error; "" if that is not known.
func WithHint(err error, hint string) error {
	return &hinted{err, hint}
}

func (h *hinted) Unwrap() error { return h.error }

// Hint is what to do about the error.
func (h *hinted) Hint() string { return h.hint }

// Count formats a number of things: "1 agent", "2 agents".
func Count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// Nearest is the candidate that is most similar to name; "" if none is similar. Half of the
// letters may differ, at most three. Case, spaces, hyphens, underscores and dots do not
// count.
func Nearest(name string, candidates []string) string {
	name = letters(name)
	nearest, best := "", min(len(name)/2, 3)+1
	for _, candidate := range candidates {
		if d := distance(name, letters(candidate)); d < best {
			nearest, best = candidate, d
		}
	}
	return nearest
}

func letters(s string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(" -_.", r) {
			return -1
		}
		return r
	}, strings.ToLower(s))
}

// distance is the number of letters to change, insert, delete or swap with the next one
// (the optimal string alignment distance). Letters are bytes, because names are ASCII.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, last, row = last, row, before
		row[0] = i + 1
		for j := range len(b) {
			change := last[j]
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(change, row[j]+1, last[j+1]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
