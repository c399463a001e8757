package main

import (
	"os"
	"testing"

	"github.com/azptend/azptend/test/internal/launch"
)

// TestRealLives: a real azptend makes the calls that the simulation counts, in
// each kind of life.
func TestRealLives(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds azptend")
	}
	programs, err := launch.BuildPrograms("../../..", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range kindsOfLives() {
		t.Run(k.Name, func(t *testing.T) {
			t.Parallel()
			l, err := live(programs, k, os.Getenv("PATH"))
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

// TestCrowd: azptend's own client asks the emulator what the simulation counts, and
// as many calls are delayed as its meter says.
func TestCrowd(t *testing.T) {
	for _, cost := range []float64{1, 4} {
		c, err := gather(12, cost)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.check(); err != nil {
			t.Error(err)
		}
	}
}
