package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/azptend/azptend/test/internal/cells"
	"github.com/azptend/azptend/test/internal/launch"
)

// options are the command line.
type options struct {
	programs            launch.Programs
	page, only, logs    string
	jobs                int
	list, short, faults bool
}

func main() {
	if is, err := runSubcommand(os.Args); is {
		if err != nil {
			fmt.Fprintln(os.Stderr, "vandal:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	var o options
	programs := launch.Flags()
	flag.StringVar(&o.page, "o", "", "the page whose part to write; only with all cells")
	flag.StringVar(&o.only, "cells", "", "only the cells whose name matches this regular expression")
	flag.BoolVar(&o.short, "short", false, "only the cells that run with every test")
	flag.IntVar(&o.jobs, "j", atOnce(), "how many at once")
	flag.StringVar(&o.logs, "logs", "", "a directory for what azptend said in the cells that fail")
	flag.BoolVar(&o.list, "list", false, "only name the cells")
	flag.BoolVar(&o.faults, "faults", false, "build azptend without each of its guards, from the source in this directory, and see that cells go red")
	flag.Parse()
	var ok bool
	var err error
	if o.programs, err = programs.Absolute(); err == nil {
		ok, err = run(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "vandal:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// runSubcommand runs the other modes of this program: it confines azptend, it is the attack
// inside a job, and it is each process that an attack starts.
func runSubcommand(args []string) (is bool, err error) {
	name, mode := filepath.Base(args[0]), ""
	if len(args) > 1 {
		mode = args[1]
	}
	switch {
	case name == "Agent.Listener", name == "Agent.Worker", filepath.Base(mode) == "_update.sh":
		// Attacks run this program as a false listener, worker or update.
		time.Sleep(maxProcessAge)
		return true, nil
	case mode == "confine" && len(args) > 3:
		return true, confine(args[2], args[3], args[4:])
	case mode == "attack" && len(args) == 3:
		return true, attackMain(args[2])
	case mode == "daemon" && len(args) == 3:
		return true, daemonMain(args[2])
	case mode == "connect" && len(args) == 5:
		return true, connectMain(args[2], args[3], args[4])
	}
	return false, nil
}

func run(o options) (ok bool, err error) {
	if o.faults {
		return runFaults(o.programs.Lab, o.jobs, o.only)
	}
	cells, err := o.choose()
	if err != nil {
		return false, err
	}
	if o.list {
		for _, c := range cells {
			fmt.Println(c)
		}
		return true, nil
	}
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	t, err := newSuite(o.programs, self)
	if err != nil {
		return false, err
	}
	defer t.close()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, func() { t.close(); os.Exit(1) })() // deferred after stop, which also ends ctx, so it runs before it
	begun := time.Now()
	verdicts := t.playAll(cells, o.jobs, func(done int, v verdict) {
		if v.Red() {
			fmt.Printf("RED %s\n", v)
			v.Save(o.logs)
		}
		if done%20 == 0 || done == len(cells) {
			fmt.Printf("%5d of %d cells, %v\n", done, len(cells), time.Since(begun).Round(time.Second))
		}
	})
	s := summary{verdicts: verdicts, jobs: o.jobs}
	s.replay(t, func(v verdict) {
		fmt.Printf("played again, alone: %s\n", v)
		if v.Red() {
			v.Save(o.logs)
		}
	})
	s.took = time.Since(begun)
	s.print(os.Stdout)
	if o.page != "" && !o.short && o.only == "" {
		if err := s.write(o.page); err != nil {
			return false, err
		}
	}
	return s.count("red") == 0, nil
}

// choose returns the cells to play.
func (o options) choose() (chosen []cell, err error) {
	all := allCells()
	if o.short {
		all = shortSet()
	}
	matching, err := cells.Matching(all, o.only)
	for _, c := range matching {
		if why := c.impossible(); why != "" {
			fmt.Printf("not played: %s: %s\n", c, why)
			continue
		}
		chosen = append(chosen, c)
	}
	return chosen, err
}
