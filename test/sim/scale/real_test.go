package main

import (
	"os"
	"testing"

	"github.com/azptend/azptend/test/internal/launch"
)

// TestRealRuns checks that a real azptend makes the calls that the simulation counts, in
// each kind of run.
func TestRealRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds azptend")
	}
	programs, err := launch.BuildPrograms("../../..", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range runKinds() {
		t.Run(k.Name, func(t *testing.T) {
			t.Parallel()
			l, err := measureRun(programs, k, os.Getenv("PATH"))
			if err != nil {
				t.Fatal(err)
			}
			if why := l.Azptend.differs(k.modelled()); why != "" {
				t.Errorf("a real azptend and the simulation differ in %s: %v", why, l.Azptend)
			}
			t.Logf("token %d, listener %v", l.Token, l.Listener)
		})
	}
}

// TestRealLooks checks that a real keeper makes the calls that the simulation counts for a look.
func TestRealLooks(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds azptend")
	}
	programs, err := launch.BuildPrograms("../../..", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := measureLooks(programs, os.Getenv("PATH")); err != nil {
		t.Error(err)
	}
}

// TestClientCalls checks that azptend's own client makes the calls that the simulation
// counts, and that as many are delayed as its meter says.
func TestClientCalls(t *testing.T) {
	for _, cost := range []float64{1, 4} {
		c, err := checkClient(12, cost)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.check(); err != nil {
			t.Error(err)
		}
	}
}
