package test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/azptend/azptend/test/internal/launch"
)

// programs are what the scripts run, built as they are shipped. The race detector
// would make other programs of them. Thief is test/thief.
var (
	programs launch.Programs
	thief    string
)

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
	thief = filepath.Join(dir, "thief")
	programs, err = launch.BuildPrograms("..", dir)
	if err := errors.Join(err, launch.GoBuild("thief", thief)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
