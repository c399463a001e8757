package main

import (
	"runtime"
	"slices"

	"github.com/azptend/azptend/test/internal/cells"
)

// verdict is the result of a cell.
type verdict = cells.Verdict[cell, facts]

func judge(c cell, f facts, err error) verdict { return cells.Judge(properties(), c, f, err) }

// atOnce is how many cells are played at once: they wait most of the time.
func atOnce() int { return 14 * runtime.NumCPU() }

// longFirst puts first what takes longest, so that it does not begin when all the
// rest is over: a start whose first call is never answered.
func longFirst(all []cell) []cell {
	rank := func(c cell) int {
		if c.event.kind == kill && c.outcome.name == timeout {
			return 0
		}
		return 1
	}
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b cell) int { return rank(a) - rank(b) })
	return sorted
}

// playAll plays cells, so many at once, and reports each as it ends.
func (t *theatre) playAll(all []cell, jobs int, report func(done int, v verdict)) []verdict {
	return cells.PlayAll(longFirst(all), jobs, func(number int, c cell) verdict {
		f, err := t.perform(number, c)
		return judge(c, f, err)
	}, report)
}
