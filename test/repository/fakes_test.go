package repository

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/azptend/azptend/test/internal/launch"
)

// fakes are the packages of the fake Azure and the fake agent.
var fakes = []string{module + "internal/emulator", module + "internal/fakeagent"}

// buildPrograms builds azptend and azptend-lab like released programs.
func buildPrograms(t *testing.T) launch.Programs {
	t.Helper()
	p, err := launch.BuildPrograms("../..", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestTheProductLinksNoFake: azptend runs with a pool administrator's identity, so it must not contain
// a fake server or agent. azptend-lab has both, which shows that the test can find them.
func TestTheProductLinksNoFake(t *testing.T) {
	programs := buildPrograms(t)
	for _, tt := range []struct {
		command, binary string
		links           bool
	}{
		{"../../cmd/azptend", programs.Azptend, false},
		{"../../cmd/azptend-lab", programs.Lab, true},
	} {
		out, err := exec.Command("go", "list", "-deps", tt.command).Output()
		if err != nil {
			t.Fatalf("go list %s: %v", tt.command, err)
		}
		content, err := os.ReadFile(tt.binary)
		if err != nil {
			t.Fatal(err)
		}
		for _, fake := range fakes {
			if depends := strings.Contains(string(out), fake+"\n"); depends != tt.links {
				t.Errorf("%s depends on %s: %v", tt.command, fake, depends)
			}
			// A stripped binary still has the names of functions, for stack traces.
			if linked := bytes.Contains(content, []byte(fake+".")); linked != tt.links {
				t.Errorf("%s holds symbols of %s: %v", tt.binary, fake, linked)
			}
		}
	}
}

// TestProgramNameIsIgnored: azptend ignores the name that it is started with. Only azptend-lab is
// the fake agent if it is started with an agent's name.
func TestProgramNameIsIgnored(t *testing.T) {
	programs := buildPrograms(t)
	for _, name := range []string{"Agent.Listener", "/azp/bin/Agent.Listener", "Agent.Worker", "emulate", "azptend-lab"} {
		cmd := exec.Command(programs.Azptend)
		cmd.Args = []string{name, "version"}
		if out, err := cmd.CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "azptend ") {
			t.Errorf("azptend started as %s prints %q, %v", name, out, err)
		}
	}
	cmd := exec.Command(programs.Lab)
	cmd.Args = []string{"Agent.Listener", "--version"}
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "5.999.0\n" {
		t.Errorf("the lab started as Agent.Listener prints %q, %v", out, err)
	}
}
