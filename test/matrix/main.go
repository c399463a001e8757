package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

func main() {
	binary := flag.String("binary", "bin/azptend", "azptend")
	page := flag.String("o", "", "the page whose part to write; only with all cells")
	pairs := flag.Bool("pairwise", false, "only a set that has each pair")
	only := flag.String("cells", "", "only the cells whose name matches this regular expression")
	jobs := flag.Int("j", atOnce(), "how many at once")
	logs := flag.String("logs", "", "a folder for what azptend said in the cells that fail")
	list := flag.Bool("list", false, "only name the cells")
	flag.Parse()
	ok, err := run(*binary, *page, *only, *logs, *jobs, *pairs, *list)
	if err != nil {
		fmt.Fprintln(os.Stderr, "matrix:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

func run(binary, page, only, logs string, jobs int, pairs, list bool) (ok bool, err error) {
	all := allCells()
	cells, removed := possible(all)
	fmt.Printf("%d cells, of which %d can be:\n", len(all), len(cells))
	for _, r := range rules() {
		fmt.Printf("  %4d removed by %q: %s\n", removed[r.name], r.name, r.why)
	}
	if pairs {
		cells = pairwise(cells)
		fmt.Printf("%d of them have each pair\n", len(cells))
	}
	if only != "" {
		if cells, err = chosen(cells, only); err != nil {
			return false, err
		}
	}
	if list {
		for _, c := range cells {
			fmt.Println(c)
		}
		return true, nil
	}
	if binary, err = filepath.Abs(binary); err != nil {
		return false, err
	}
	t, err := openTheatre(binary)
	if err != nil {
		return false, err
	}
	defer t.close()
	stop := context.AfterFunc(interrupted(), t.abandon)
	defer stop()
	begun := time.Now()
	verdicts := t.playAll(cells, jobs, func(done int, v verdict) {
		switch {
		case v.red():
			fmt.Printf("RED %s\n", v)
			keep(logs, v)
		case len(v.facts.agents) > 0:
			fmt.Printf("named %s\n", v)
		}
		if done%20 == 0 || done == len(cells) {
			fmt.Printf("%5d of %d cells, %v\n", done, len(cells), time.Since(begun).Round(time.Second))
		}
	})
	s := summarise(verdicts, removed, time.Since(begun))
	s.jobs = jobs
	s.print(os.Stdout)
	if page != "" && !pairs && only == "" {
		if err := s.write(page); err != nil {
			return false, err
		}
	}
	return s.red == 0, nil
}

// interrupted ends with a Ctrl-C.
func interrupted() context.Context {
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	return ctx
}

func chosen(cells []cell, only string) ([]cell, error) {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return nil, err
	}
	var some []cell
	for _, c := range cells {
		if pattern.MatchString(c.String()) {
			some = append(some, c)
		}
	}
	return some, nil
}

var unfit = regexp.MustCompile(`[^a-zA-Z0-9]+`)

// keep writes what azptend said.
func keep(dir string, v verdict) {
	if dir == "" {
		return
	}
	name := filepath.Join(dir, unfit.ReplaceAllString(v.cell.String(), "-")+".log")
	_ = os.WriteFile(name, []byte(v.String()+"\n"+v.facts.said), 0o644)
}
