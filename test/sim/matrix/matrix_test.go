package main

import (
	"os/exec"
	"testing"
)

// needs skips the test if there is no setsid, which the job's script needs.
func needs(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip("there is no setsid, by which a job's daemon leaves its session")
	}
}

// TestPairwise plays a set of cells that has each possible pair of phase, event and outcome,
// with each phase and event in both orders of the listener.
func TestPairwise(t *testing.T) {
	t.Parallel()
	needs(t)
	cells, _ := possible(allCells())
	set := pairwise(cells)
	suite, err := newSuite(programs)
	if err != nil {
		t.Fatal(err)
	}
	defer suite.close()
	verdicts := suite.playAll(set, *cellsAtOnce, func(_ int, v verdict) {
		if v.Red() {
			t.Errorf("%s\nazptend said:\n%s", v, v.Facts.said)
		}
	})
	s := summarise(verdicts, nil, 0)
	t.Logf("%d cells: %d passed, %d named and then emptied; %d of a listener that starts %s",
		len(set), s.passed, s.named, len(s.of(orders()[1])), orders()[1].name)
	for _, v := range s.missed() {
		t.Errorf("%s: no call met the outcome", v.Cell)
	}
}

// TestEachPairOccurs: the pairwise set has every pair of any cell.
func TestEachPairOccurs(t *testing.T) {
	cells, _ := possible(allCells())
	has := map[pair]bool{}
	for _, c := range pairwise(cells) {
		for _, p := range c.pairs() {
			has[p] = true
		}
	}
	for _, c := range cells {
		for _, p := range c.pairs() {
			if !has[p] {
				t.Fatalf("%v is in no cell of the set", p)
			}
		}
	}
}

// TestRulesRemove: each rule removes some cells, and the rules together remove no phase,
// event, outcome or order completely.
func TestRulesRemove(t *testing.T) {
	all := allCells()
	cells, removed := possible(all)
	sum := len(cells)
	for _, r := range rules() {
		if removed[r.name] == 0 {
			t.Errorf("the rule %q removes nothing", r.name)
		}
		sum += removed[r.name]
	}
	if sum != len(all) {
		t.Errorf("%d cells and what the rules removed are %d, of %d", len(cells), sum, len(all))
	}
	stays := map[string]bool{}
	for _, c := range cells {
		stays[c.phase.name], stays[c.event.name], stays[c.outcome.name], stays[c.order.name] = true, true, true, true
	}
	for _, c := range all {
		for _, name := range []string{c.phase.name, c.event.name, c.outcome.name, c.order.name} {
			if !stays[name] {
				t.Fatalf("no cell has %q", name)
			}
		}
	}
}

// TestByDefault: make matrix leaves out no cell of the source's order, and no pair of the
// other.
func TestByDefault(t *testing.T) {
	cells, _ := possible(allCells())
	played := byDefault(cells)
	source, other := orders()[0].name, orders()[1].name
	if got, want := len(inOrder(played, source)), len(inOrder(cells, source)); got != want {
		t.Errorf("%d cells of the source's order are played, of %d", got, want)
	}
	has := map[pair]bool{}
	for _, c := range inOrder(played, other) {
		for _, p := range c.pairs() {
			has[p] = true
		}
	}
	for _, c := range inOrder(cells, other) {
		for _, p := range c.pairs() {
			if !has[p] {
				t.Fatalf("%v is in no cell that is played of the other order", p)
			}
		}
	}
}
