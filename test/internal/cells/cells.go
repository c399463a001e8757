// Package cells runs the cells of a matrix of tests, many at once, and checks properties that
// must be true of all cells. test/sim/matrix and test/security/vandal use it.
package cells

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"time"
)

// Facts are the observations of a cell.
type Facts interface {
	Summary() string  // for finding the cause of a failure
	AgentsLeft() bool // agents stay in the pool
	Output() string   // what azptend printed
}

// Property must be true of all cells.
type Property[C fmt.Stringer, F Facts] struct {
	Name   string
	What   string            // for the page
	Broken func(C, F) string // why it is not true; "" if it is
}

// Verdict is the result of a cell.
type Verdict[C fmt.Stringer, F Facts] struct {
	Cell   C
	Facts  F
	Err    error             // why the cell could not be run to its end
	Broken map[string]string // by property, why it is not true
	Took   time.Duration
	Names  []string // names of the properties, in their order
}

// Judge checks all properties of a cell.
func Judge[C fmt.Stringer, F Facts](properties []Property[C, F], c C, f F, err error) Verdict[C, F] {
	v := Verdict[C, F]{Cell: c, Facts: f, Err: err, Broken: map[string]string{}}
	for _, p := range properties {
		v.Names = append(v.Names, p.Name)
		if why := p.Broken(c, f); why != "" {
			v.Broken[p.Name] = why
		}
	}
	return v
}

// Red says whether the cell failed.
func (v Verdict[C, F]) Red() bool { return v.Err != nil || len(v.Broken) > 0 }

// Word is "red", "named" if an agent stays and the log names it, or "passed".
func (v Verdict[C, F]) Word() string {
	switch {
	case v.Red():
		return "red"
	case v.Facts.AgentsLeft():
		return "named"
	}
	return "passed"
}

// String is the cell with all its failures.
func (v Verdict[C, F]) String() string {
	text := v.Cell.String()
	if v.Err != nil {
		text += fmt.Sprintf("\n    it could not be played to its end: %v", v.Err)
	}
	for _, name := range v.Names {
		if why := v.Broken[name]; why != "" {
			text += fmt.Sprintf("\n    %s: no: %s", name, why)
		}
	}
	return text + fmt.Sprintf("\n    %s, %v", v.Facts.Summary(), v.Took.Round(100*time.Millisecond))
}

var unfitForNames = regexp.MustCompile(`[^a-zA-Z0-9]+`)

// Save writes azptend's output to a directory; "" is none.
func (v Verdict[C, F]) Save(dir string) {
	if dir == "" {
		return
	}
	name := filepath.Join(dir, unfitForNames.ReplaceAllString(v.Cell.String(), "-")+".log")
	_ = os.MkdirAll(dir, 0o755)
	_ = os.WriteFile(name, []byte(v.String()+"\n"+v.Facts.Output()), 0o644)
}

// PlayAll runs the cells, jobs of them at once, and reports each when it ends.
func PlayAll[C fmt.Stringer, F Facts](all []C, jobs int, play func(number int, c C) Verdict[C, F], report func(done int, v Verdict[C, F])) []Verdict[C, F] {
	verdicts := make([]Verdict[C, F], len(all))
	next := make(chan int)
	go func() {
		defer close(next)
		for i := range all {
			next <- i
		}
	}()
	var players sync.WaitGroup
	var mu sync.Mutex
	done := 0
	for range jobs {
		players.Go(func() {
			for i := range next {
				begun := time.Now()
				v := play(i, all[i])
				v.Took = time.Since(begun)
				verdicts[i] = v
				mu.Lock()
				done++
				report(done, v)
				mu.Unlock()
			}
		})
	}
	players.Wait()
	return verdicts
}

// Matching are the cells whose name matches a regular expression.
func Matching[C fmt.Stringer](all []C, expression string) ([]C, error) {
	pattern, err := regexp.Compile(expression)
	if err != nil {
		return nil, err
	}
	var some []C
	for _, c := range all {
		if pattern.MatchString(c.String()) {
			some = append(some, c)
		}
	}
	return some, nil
}

// Unnamed are the agents whose ids are not in the output. The first group of named is an id, or
// the word "unknown", which stands for all.
func Unnamed(ids []int, output string, named *regexp.Regexp) []int {
	var left []int
	names := map[string]bool{}
	for _, m := range named.FindAllStringSubmatch(output, -1) {
		if m[1] == "unknown" {
			return nil
		}
		names[m[1]] = true
	}
	for _, id := range ids {
		if !names[strconv.Itoa(id)] {
			left = append(left, id)
		}
	}
	return left
}
