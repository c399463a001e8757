package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// binary is the azptend that the scripts run: built here as it is shipped,
// static and without the race detector, which would be another program. The
// other two are test/thief and test/unguarded.
var binary, thief, unguarded string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "azptend-test-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // tests run them as other users
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for name, program := range map[string]*string{"../cmd/azptend": &binary, "./thief": &thief, "./unguarded": &unguarded} {
		*program = filepath.Join(dir, filepath.Base(name))
		build := exec.Command("go", "build", "-trimpath", "-o", *program, name)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintf(os.Stderr, "cannot build %s: %v\n", name, err)
			return 1
		}
	}
	return m.Run()
}
