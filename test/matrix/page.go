package main

import (
	"fmt"
	"io"
	"time"
)

// summary is what the whole came to.
type summary struct {
	passed, named, red int
	verdicts           []verdict
	removed            map[string]int
	took               time.Duration
}

func summarise(verdicts []verdict, removed map[string]int, took time.Duration) summary {
	s := summary{verdicts: verdicts, removed: removed, took: took}
	for _, v := range verdicts {
		switch {
		case v.red():
			s.red++
		case len(v.facts.agents) > 0:
			s.named++
		default:
			s.passed++
		}
	}
	return s
}

// missed are the cells with an outcome that no call has met.
func (s summary) missed() []verdict {
	var some []verdict
	for _, v := range s.verdicts {
		if v.cell.outcome.fault != nil && len(v.facts.struck) == 0 {
			some = append(some, v)
		}
	}
	return some
}

func (s summary) print(w io.Writer) {
	fmt.Fprintf(w, "%d cells in %v: %d passed, %d named and then emptied, %d red; in %d no call met the outcome\n",
		len(s.verdicts), s.took.Round(time.Second), s.passed, s.named, s.red, len(s.missed()))
	for _, v := range s.missed() {
		fmt.Fprintf(w, "  no call met the outcome: %s\n", v.cell)
	}
}

func (s summary) write(string) error { return nil }
