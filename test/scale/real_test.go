package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestRealLives: a real azptend makes the calls that the simulation counts, in
// each kind of life.
func TestRealLives(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds azptend")
	}
	binary := filepath.Join(t.TempDir(), "azptend")
	if out, err := exec.Command("go", "build", "-o", binary, "../../cmd/azptend").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, k := range kindsOfLives() {
		t.Run(k.Name, func(t *testing.T) {
			t.Parallel()
			l, err := live(binary, k, os.Getenv("PATH"))
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
