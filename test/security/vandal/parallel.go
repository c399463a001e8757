package main

import (
	"runtime"
	"slices"

	"github.com/azptend/azptend/test/internal/cells"
)

// atOnce is how many cells are played at once. Cells mostly wait.
func atOnce() int { return 6 * runtime.NumCPU() }

// longFirst sorts the slowest cells to the front, so that they do not start last, and keeps
// an attack's columns apart, because floods add up.
func longFirst(all []cell) []cell {
	rank := map[moment]int{relisten: 0, killed: 1, again: 2}
	rankOf := func(c cell) int {
		if n, is := rank[c.attack.when]; is {
			return n
		}
		return len(rank)
	}
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b cell) int {
		if d := rankOf(a) - rankOf(b); d != 0 {
			return d
		}
		return slices.Index(columns(), a.column) - slices.Index(columns(), b.column)
	})
	return sorted
}

// playAll plays cells, as many at once as jobs says, and reports each as it ends.
func (t *suite) playAll(all []cell, jobs int, report func(done int, v verdict)) []verdict {
	return cells.PlayAll(longFirst(all), jobs, func(number int, c cell) verdict {
		f, err := t.perform(number, c)
		return judge(c, f, err)
	}, report)
}
