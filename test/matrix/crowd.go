package main

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"
)

// verdict is what became of a cell.
type verdict struct {
	cell   cell
	facts  facts
	err    error             // it could not be played
	broken map[string]string // property to why
	took   time.Duration
}

// red says that something is wrong.
func (v verdict) red() bool { return v.err != nil || len(v.broken) > 0 }

// judge holds every property against a cell.
func judge(c cell, f facts, err error) verdict {
	v := verdict{cell: c, facts: f, err: err, broken: map[string]string{}}
	for _, p := range properties() {
		if why := p.broken(c, f); why != "" {
			v.broken[p.name] = why
		}
	}
	return v
}

func (v verdict) String() string {
	text := v.cell.String()
	if v.err != nil {
		text += fmt.Sprintf("\n    it could not be played: %v", v.err)
	}
	for _, p := range properties() {
		if why := v.broken[p.name]; why != "" {
			text += fmt.Sprintf("\n    %s: no: %s", p.name, why)
		}
	}
	return text + fmt.Sprintf("\n    codes %v, job %s %s, struck %v", v.facts.codes, v.facts.job.State, v.facts.job.Result, v.facts.struck)
}

// atOnce is how many cells are played at once: they wait most of the time.
func atOnce() int { return 14 * runtime.NumCPU() }

// longFirst puts first what takes longest, so that it does not begin when all the
// rest is over: a start whose first call is never answered.
func longFirst(cells []cell) []cell {
	rank := func(c cell) int {
		if c.event.kind == kill && c.outcome.name == timeout {
			return 0
		}
		return 1
	}
	sorted := slices.Clone(cells)
	slices.SortStableFunc(sorted, func(a, b cell) int { return rank(a) - rank(b) })
	return sorted
}

// playAll plays cells, so many at once, and tells of each as it ends.
func (t *theatre) playAll(cells []cell, jobs int, tell func(done int, v verdict)) []verdict {
	cells = longFirst(cells)
	verdicts := make([]verdict, len(cells))
	next := make(chan int)
	go func() {
		for i := range cells {
			next <- i
		}
		close(next)
	}()
	var all sync.WaitGroup
	var mu sync.Mutex
	done := 0
	for range jobs {
		all.Go(func() {
			for i := range next {
				begun := time.Now()
				f, err := t.perform(i, cells[i])
				v := judge(cells[i], f, err)
				v.took = time.Since(begun)
				verdicts[i] = v
				mu.Lock()
				done++
				tell(done, v)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return verdicts
}
