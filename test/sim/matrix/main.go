package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/azptend/azptend/test/internal/cells"
	"github.com/azptend/azptend/test/internal/launch"
)

// options are the command line.
type options struct {
	programs                             launch.Programs
	page, only, order, logs, assumptions string
	jobs                                 int
	pairs, list                          bool
}

func main() {
	var o options
	programs := launch.Flags()
	flag.StringVar(&o.page, "o", "", "the page whose part to write; only with the cells that are played by default")
	flag.BoolVar(&o.pairs, "pairwise", false, "only a set that has each pair")
	flag.StringVar(&o.only, "cells", "", "only the cells whose name matches this regular expression")
	flag.StringVar(&o.order, "order", "", "only the cells of a listener that starts so, and all of them: \"session first\" or \"socket first\"")
	flag.StringVar(&o.assumptions, "assume", "{}", "what the emulated server does that nobody could verify: emulator.Assumptions as JSON")
	flag.IntVar(&o.jobs, "j", atOnce(), "how many at once")
	flag.StringVar(&o.logs, "logs", "", "a folder for what azptend said in the cells that fail")
	flag.BoolVar(&o.list, "list", false, "only name the cells")
	flag.Parse()
	var ok bool
	var err error
	if o.programs, err = programs.Absolute(); err == nil {
		ok, err = run(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "matrix:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

func run(o options) (ok bool, err error) {
	cells, removed, err := o.choose()
	if err != nil {
		return false, err
	}
	if o.list {
		for _, c := range cells {
			fmt.Println(c)
		}
		return true, nil
	}
	t, err := newSuite(o.programs)
	if err != nil {
		return false, err
	}
	defer t.close()
	if err := json.Unmarshal([]byte(o.assumptions), &t.assumptions); err != nil {
		return false, fmt.Errorf("cannot use -assume: %w", err)
	}
	stop := context.AfterFunc(interrupted(), t.abandon)
	defer stop()
	begun := time.Now()
	verdicts := t.playAll(cells, o.jobs, func(done int, v verdict) {
		o.tell(v)
		if done%20 == 0 || done == len(cells) {
			fmt.Printf("%5d of %d cells, %v\n", done, len(cells), time.Since(begun).Round(time.Second))
		}
	})
	s := summarise(verdicts, removed, time.Since(begun))
	s.jobs = o.jobs
	s.print(os.Stdout)
	if o.page != "" && !o.pairs && o.only == "" && o.order == "" {
		if err := s.write(o.page); err != nil {
			return false, err
		}
	}
	return s.red == 0, nil
}

// choose prints which cells there are, and returns those to play.
func (o options) choose() (chosen []cell, removed map[string]int, err error) {
	all := allCells()
	chosen, removed = possible(all)
	fmt.Printf("%d cells, of which %d can be:\n", len(all), len(chosen))
	for _, r := range rules() {
		fmt.Printf("  %4d removed by %q: %s\n", removed[r.name], r.name, r.why)
	}
	if o.order != "" {
		if chosen = inOrder(chosen, o.order); len(chosen) == 0 {
			return nil, nil, fmt.Errorf("there is no order %q", o.order)
		}
		fmt.Printf("%d of them are of a listener that starts %s\n", len(chosen), o.order)
	}
	switch {
	case o.pairs:
		chosen = pairwise(chosen)
		fmt.Printf("%d of them have each pair\n", len(chosen))
	case o.order == "" && o.only == "":
		chosen = byDefault(chosen)
		fmt.Printf("%d of them are played: all of the source's order, and of the other a set that has each pair\n", len(chosen))
	}
	if o.only != "" {
		chosen, err = cells.Matching(chosen, o.only)
	}
	return chosen, removed, err
}

// tell prints a cell that failed or has named an agent.
func (o options) tell(v verdict) {
	switch v.Word() {
	case "red":
		fmt.Printf("RED %s\n", v)
		v.Save(o.logs)
	case "named":
		fmt.Printf("named %s\n", v)
	}
}

// interrupted returns a context that SIGINT or SIGTERM cancels.
func interrupted() context.Context {
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	return ctx
}
