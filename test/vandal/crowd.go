package main

import (
	"runtime"
	"slices"
	"sync"
	"time"
)

// atOnce is how many cells are played at once: they wait most of the time.
func atOnce() int { return 6 * runtime.NumCPU() }

// longFirst puts first what takes longest, so that it does not begin when all
// the rest is over, and keeps an attack's columns apart: floods add up.
func longFirst(cells []cell) []cell {
	rank := map[moment]int{relisten: 0, killed: 1, again: 2}
	of := func(c cell) int {
		if n, is := rank[c.attack.when]; is {
			return n
		}
		return len(rank)
	}
	sorted := slices.Clone(cells)
	slices.SortStableFunc(sorted, func(a, b cell) int {
		if d := of(a) - of(b); d != 0 {
			return d
		}
		return slices.Index(columns(), a.column) - slices.Index(columns(), b.column)
	})
	return sorted
}

// playAll plays cells, so many at once, and reports each as it ends.
func (t *theatre) playAll(cells []cell, jobs int, report func(done int, v verdict)) []verdict {
	cells = longFirst(cells)
	verdicts := make([]verdict, len(cells))
	next := make(chan int)
	go func() {
		defer close(next)
		for i := range cells {
			next <- i
		}
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
				report(done, v)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return verdicts
}
