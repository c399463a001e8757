// Package text holds what messages of every package have in common: plurals,
// guesses at what a person meant, and lengths of time.
package text

import (
	"fmt"
	"strings"
)

// Count is a number of things: "1 agent", "2 agents".
func Count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// Nearest is the candidate that a person most likely meant by a name, "" if none
// is similar. Half of the letters may differ, but no more than three. Case, spaces,
// hyphens, underscores and dots do not count.
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

// distance is the number of letters to change, add or leave out: bytes, for names
// are ASCII.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
