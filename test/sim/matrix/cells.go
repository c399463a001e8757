package main

import (
	"fmt"
	"slices"
)

// cell is one combination of the matrix.
type cell struct {
	phase   phase
	event   event
	outcome outcome
	order   order
}

func (c cell) String() string {
	return fmt.Sprintf("%s × %s × %s × %s", c.phase.name, c.event.name, c.outcome.name, c.order.name)
}

// allCells returns the whole matrix, including the impossible cells.
func allCells() []cell {
	var all []cell
	for _, p := range phases() {
		for _, e := range events() {
			for _, o := range outcomes() {
				for _, listener := range orders() {
					all = append(all, cell{p, e, o, listener})
				}
			}
		}
	}
	return all
}

// possible returns the cells that no rule removes, and how many each rule removes.
func possible(all []cell) (cells []cell, removed map[string]int) {
	removed = map[string]int{}
	for _, c := range all {
		if r := ruleAgainst(c); r != "" {
			removed[r]++
			continue
		}
		cells = append(cells, c)
	}
	return cells, removed
}

// pair is the values of two dimensions.
type pair [2]string

// pairs returns the cell's pairs. Phase and event are a pair in each order, because an event
// can have another effect if the listener started differently.
func (c cell) pairs() []pair {
	p, e, o := "phase "+c.phase.name, "event "+c.event.name, "outcome "+c.outcome.name
	return []pair{{p + ", " + c.order.name, e}, {p, o}, {e, o}, {o, c.order.name}}
}

// pairwise picks cells so that each pair of any cell is in a picked one. It is greedy: it
// picks the cell with the most new pairs, and of equal ones the first, so that the set is
// always the same.
func pairwise(cells []cell) []cell {
	missing := map[pair]bool{}
	for _, c := range cells {
		for _, p := range c.pairs() {
			missing[p] = true
		}
	}
	var picked []cell
	rest := slices.Clone(cells)
	for len(missing) > 0 {
		best, gain := 0, 0
		for i, c := range rest {
			n := 0
			for _, p := range c.pairs() {
				if missing[p] {
					n++
				}
			}
			if n > gain {
				best, gain = i, n
			}
		}
		for _, p := range rest[best].pairs() {
			delete(missing, p)
		}
		picked = append(picked, rest[best])
		rest = slices.Delete(rest, best, best+1)
	}
	return picked
}
