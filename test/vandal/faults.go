package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// fault is azptend without one of its guards: a small edit of its source, made
// through an overlay when it is built. The product has no switch for it.
type fault struct {
	guard string
	edits []edit
	cells string // a regular expression: each of these cells must go red
	short bool   // it runs with every test
}

// edit replaces a text that must be in a file exactly once.
type edit struct{ file, from, to string }

// faults are the guards that are known to be needed.
func faults() []fault { return nil }

// overlay writes what `go build -overlay` wants into a directory, and returns its
// path. It fails where the source is no longer as the fault expects it.
func (f fault) overlay(module, dir string) (string, error) {
	module, err := filepath.Abs(module)
	if err != nil {
		return "", err
	}
	sources := map[string]string{}
	for _, e := range f.edits {
		path := filepath.Join(module, filepath.FromSlash(e.file))
		text, known := sources[path]
		if !known {
			b, err := os.ReadFile(path)
			if err != nil {
				return "", fmt.Errorf("the fault %q: %w", f.guard, err)
			}
			text = string(b)
		}
		if n := strings.Count(text, e.from); n != 1 {
			return "", fmt.Errorf("the fault %q no longer fits: %s has this text %d times, not once:\n%s", f.guard, e.file, n, e.from)
		}
		sources[path] = strings.Replace(text, e.from, e.to, 1)
	}
	replace := map[string]string{}
	for path, text := range sources {
		to := filepath.Join(dir, fmt.Sprintf("%d-%s", len(replace), filepath.Base(path)))
		if err := os.WriteFile(to, []byte(text), 0o644); err != nil {
			return "", err
		}
		replace[path] = to
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	return file, os.WriteFile(file, b, 0o644)
}

// build builds azptend with the fault in it.
func (f fault) build(module, dir string) (binary string, err error) {
	overlay, err := f.overlay(module, dir)
	if err != nil {
		return "", err
	}
	binary = filepath.Join(dir, "azptend")
	return binary, goBuild(filepath.Join(module, "cmd", "azptend"), binary, "-overlay", overlay)
}

// goBuild builds a program, static, with more arguments for the compiler.
func goBuild(program, to string, more ...string) error {
	args := append([]string{"build", "-trimpath", "-ldflags=-s -w", "-o", to}, more...)
	cmd := exec.Command("go", append(args, program)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build %s: %w\n%s", program, err, said)
	}
	return nil
}

// play plays the fault's cells, and returns those that did not go red.
func (f fault) play(module, self string, jobs int) (played int, green []verdict, err error) {
	dir, err := os.MkdirTemp("", "azptend-vandal-fault-*")
	if err != nil {
		return 0, nil, err
	}
	defer os.RemoveAll(dir)
	binary, err := f.build(module, dir)
	if err != nil {
		return 0, nil, err
	}
	t, err := openTheatre(binary, self)
	if err != nil {
		return 0, nil, err
	}
	defer t.close()
	pattern, err := regexp.Compile(f.cells)
	if err != nil {
		return 0, nil, err
	}
	var cells []cell
	for _, c := range allCells() {
		if pattern.MatchString(c.String()) && c.impossible() == "" {
			cells = append(cells, c)
		}
	}
	for _, v := range t.playAll(cells, jobs, func(int, verdict) {}) {
		if len(v.broken) == 0 { // that it could not be played proves nothing
			green = append(green, v)
		}
	}
	return len(cells), green, nil
}

// runFaults plays all faults, and says whether each was found out.
func runFaults(jobs int, only string) (ok bool, err error) {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return false, err
	}
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	module, err := os.Getwd()
	if err != nil {
		return false, err
	}
	ok = true
	for _, f := range faults() {
		if !pattern.MatchString(f.guard) {
			continue
		}
		played, green, err := f.play(module, self, jobs)
		if err != nil {
			return false, err
		}
		fmt.Printf("without %s: %d of %d cells are red\n", f.guard, played-len(green), played)
		for _, v := range green {
			fmt.Printf("GREEN %s\n", v)
		}
		ok = ok && len(green) == 0 && played > 0
	}
	return ok, nil
}
