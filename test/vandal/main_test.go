package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// binary is azptend as it is shipped, and vandalProgram is this program. Both are
// built here without the race detector, which needs more memory than a cell has.
var binary, vandalProgram string

var cellsAtOnce = flag.Int("vandal.j", atOnce(), "how many cells are played at once")

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(build(m))
}

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "azptend-vandal-test-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary, vandalProgram = filepath.Join(dir, "azptend"), filepath.Join(dir, "vandal")
	for program, path := range map[string]string{"../../cmd/azptend": binary, ".": vandalProgram} {
		if err := goBuild(program, path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}
