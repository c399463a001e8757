package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// binary is azptend as it is shipped: static, and without the race detector.
var binary string

var cellsAtOnce = flag.Int("matrix.j", atOnce(), "how many cells are played at once")

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "wrong" { // see wrong_test.go
		os.Exit(beWrong(os.Args[2], os.Args[3], os.Args[4:]))
	}
	flag.Parse()
	os.Exit(build(m))
}

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "azptend-matrix-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "azptend")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, "../../cmd/azptend")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "cannot build azptend:", err)
		return 1
	}
	return m.Run()
}
