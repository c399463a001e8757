package fakeagent

import (
	"context"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/azptend/azptend/internal/proc"
)

// TestMain makes the test binary the fake agent if its name is Agent.Listener or Agent.Worker:
// LayOut copies it.
func TestMain(m *testing.M) {
	if IsInvokedAs(os.Args[0]) {
		os.Exit(Main(context.Background(), os.Args, os.Environ(), os.Stdout, os.Stderr))
	}
	procs, err := proc.NewInit()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	testProcs = procs
	code := m.Run()
	procs.Close()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// testProcs starts the fake agents. A process must have only one proc.Init.
var testProcs *proc.Init
