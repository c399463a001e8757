package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/azptend/azptend/test/internal/launch"
	"github.com/azptend/azptend/test/internal/process"
)

// summary is the result of all cells.
type summary struct {
	passed, named, red int
	verdicts           []verdict
	removed            map[string]int
	took               time.Duration
	jobs               int
}

func summarise(verdicts []verdict, removed map[string]int, took time.Duration) summary {
	s := summary{verdicts: verdicts, removed: removed, took: took}
	for _, v := range verdicts {
		switch v.Word() {
		case "red":
			s.red++
		case "named":
			s.named++
		default:
			s.passed++
		}
	}
	return s
}

// missed returns the cells whose outcome no call got.
func (s summary) missed() []verdict {
	var some []verdict
	for _, v := range s.verdicts {
		if v.Cell.outcome.fault != nil && len(v.Facts.struck) == 0 {
			some = append(some, v)
		}
	}
	return some
}

func (s summary) print(w io.Writer) {
	fmt.Fprintf(w, "%d cells in %v: %d passed, %d named and then emptied, %d red; in %d no call met the outcome\n",
		len(s.verdicts), s.took.Round(time.Second), s.passed, s.named, s.red, len(s.missed()))
	for _, v := range s.missed() {
		fmt.Fprintf(w, "  no call met the outcome: %s\n", v.Cell)
	}
}

// write replaces the matrix's part of the page at path.
func (s summary) write(path string) error { return launch.FillIn(path, "matrix", s.part()) }

func (s summary) part() string {
	var b strings.Builder
	all, removed := len(allCells()), 0
	for _, n := range s.removed {
		removed += n
	}
	fmt.Fprintf(&b, "\n## The kill matrix\n\nWritten by `make matrix`; do not edit.\n\n")
	fmt.Fprintf(&b, "%d phases × %d events × %d outcomes of azptend's next call × %d orders in which the listener starts are %d cells, of which rules remove %d. "+
		"%d ran on %s in %s, %d at once: all %d of the source's order, and a pairwise set of %d of the other. "+
		"Each cell has a real azptend, the fake agent and its own emulator. The grace period is %v.\n\n",
		len(phases()), len(events()), len(outcomes()), len(orders()), all, removed,
		len(s.verdicts), time.Now().UTC().Format(time.DateOnly), s.took.Round(time.Second), s.jobs,
		len(s.of(orders()[0])), len(s.of(orders()[1])), grace)
	fmt.Fprintf(&b, "**%d passed, %d named and then emptied, %d failed.**\n\n", s.passed, s.named, s.red)
	b.WriteString("In each cell, by the emulator's records and /proc:\n\n")
	for _, p := range properties() {
		fmt.Fprintf(&b, "- %s: %s\n", p.Name, p.What)
	}
	fmt.Fprintf(&b, "\nazptend may exit %v late, because all cells share the machine. \"Named and then emptied\" is an agent that azptend could not remove in the grace period: "+
		"azptend named it in its log, and prune removed it after its session and its job's lock had expired.\n\n", margin)
	s.byOrder(&b)
	s.phaseByEvent(&b)
	s.byOutcome(&b)
	s.rules(&b)
	fmt.Fprintf(&b, "The machine: %s.\n\n", process.Machine())
	return b.String()
}

// tally counts cells.
type tally struct{ passed, named, red, removed int }

func (t *tally) add(word string) {
	switch word {
	case "passed":
		t.passed++
	case "named":
		t.named++
	case "red":
		t.red++
	case "removed":
		t.removed++
	}
}

// String leaves out the zeros: "11, 1 named", "12 ruled out".
func (t tally) String() string {
	var parts []string
	for _, p := range []struct {
		n    int
		word string
	}{{t.passed, ""}, {t.named, " named"}, {t.red, " **failed**"}, {t.removed, " ruled out"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprint(p.n, p.word))
		}
	}
	return strings.Join(parts, ", ")
}

// of returns the verdicts of one order.
func (s summary) of(o order) []verdict {
	var some []verdict
	for _, v := range s.verdicts {
		if v.Cell.order.name == o.name {
			some = append(some, v)
		}
	}
	return some
}

func (s summary) byOrder(b *strings.Builder) {
	b.WriteString("| order of the listener's start | cells | |\n|---|---|---|\n")
	for _, o := range orders() {
		var t tally
		for _, v := range s.of(o) {
			t.add(v.Word())
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", o.name, t, o.what)
	}
	b.WriteString("\n")
}

func (s summary) phaseByEvent(b *strings.Builder) {
	source := orders()[0]
	counts := map[pair]*tally{}
	count := func(c cell, word string) {
		at := pair{c.phase.name, c.event.name}
		if counts[at] == nil {
			counts[at] = &tally{}
		}
		counts[at].add(word)
	}
	for _, v := range s.of(source) {
		count(v.Cell, v.Word())
	}
	for _, c := range inOrder(allCells(), source.name) {
		if ruleAgainst(c) != "" {
			count(c, "removed")
		}
	}
	b.WriteString("Cells of the source's order that passed, were named and then emptied, or are ruled out, of twelve outcomes each:\n\n| event |")
	for _, p := range phases() {
		fmt.Fprintf(b, " %s |", p.name)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(phases())) + "\n")
	for _, e := range events() {
		fmt.Fprintf(b, "| %s |", e.name)
		for _, p := range phases() {
			fmt.Fprintf(b, " %s |", counts[pair{p.name, e.name}])
		}
		b.WriteString("\n")
	}
	b.WriteString("\n| phase | |\n|---|---|\n")
	for _, p := range phases() {
		fmt.Fprintf(b, "| %s | %s |\n", p.name, p.what)
	}
	b.WriteString("\n")
}

func (s summary) byOutcome(b *strings.Builder) {
	b.WriteString("| outcome of the next call | cells of both orders |\n|---|---|\n")
	for _, o := range outcomes() {
		var t tally
		for _, v := range s.verdicts {
			if v.Cell.outcome.name == o.name {
				t.add(v.Word())
			}
		}
		fmt.Fprintf(b, "| %s | %s |\n", o.name, t)
	}
	b.WriteString("\n")
}

func (s summary) rules(b *strings.Builder) {
	b.WriteString("| rule | removes | because |\n|---|---|---|\n")
	for _, r := range rules() {
		fmt.Fprintf(b, "| %s | %d | %s |\n", r.name, s.removed[r.name], r.why)
	}
	b.WriteString("\n")
}
