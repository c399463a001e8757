package main

import (
	"runtime"
	"slices"

	"github.com/azptend/azptend/test/internal/cells"
)

// atOnce is how many cells are played at once: they wait most of the time.
func atOnce() int { return 6 * runtime.NumCPU() }

// longFirst puts first what takes longest, so that it does not begin when all
// the rest is over, and keeps an attack's columns apart: floods add up.
func longFirst(all []cell) []cell {
	rank := map[moment]int{relisten: 0, killed: 1, again: 2}
	of := func(c cell) int {
		if n, is := rank[c.attack.when]; is {
			return n
		}
		return len(rank)
	}
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b cell) int {
		if d := of(a) - of(b); d != 0 {
			return d
		}
		return slices.Index(columns(), a.column) - slices.Index(columns(), b.column)
	})
	return sorted
}

// playAll plays cells, so many at once, and reports each as it ends.
func (t *theatre) playAll(all []cell, jobs int, report func(done int, v verdict)) []verdict {
	return cells.PlayAll(longFirst(all), jobs, func(number int, c cell) verdict {
		f, err := t.perform(number, c)
		return judge(c, f, err)
	}, report)
}
