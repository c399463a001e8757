package main

import (
	"runtime"
	"slices"

	"github.com/azptend/azptend/test/internal/cells"
)

// verdict is the result of a cell.
type verdict = cells.Verdict[cell, facts]

func judge(c cell, f facts, err error) verdict { return cells.Judge(properties(), c, f, err) }

// atOnce is how many cells are played at once: more than there are processors, because
// cells mostly wait.
func atOnce() int { return 14 * runtime.NumCPU() }

// longFirst puts the longest cells first, so that they do not start when all others are done:
// starts whose first call is never answered.
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

// playAll plays cells, jobs of them at once, and reports each when it ends.
func (t *suite) playAll(all []cell, jobs int, report func(done int, v verdict)) []verdict {
	return cells.PlayAll(longFirst(all), jobs, func(number int, c cell) verdict {
		f, err := t.perform(number, c)
		return judge(c, f, err)
	}, report)
}
