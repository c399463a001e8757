package repository

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/azptend/azptend/test/internal/launch"
)

// fakes are the packages that play Azure and Microsoft's agent.
var fakes = []string{module + "internal/emulator", module + "internal/fakeagent"}

// buildPrograms builds azptend and azptend-lab as they are shipped.
func buildPrograms(t *testing.T) launch.Programs {
	t.Helper()
	p, err := launch.BuildPrograms("../..", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestTheProductLinksNoFake: azptend runs with a pool administrator's identity, so
// nothing that plays a server or an agent may be in it. The lab has both, which
// shows that this test sees them.
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
			// The names of functions stay in a stripped binary too: stack traces need them.
			if linked := bytes.Contains(content, []byte(fake+".")); linked != tt.links {
				t.Errorf("%s holds symbols of %s: %v", tt.binary, fake, linked)
			}
		}
	}
}

// TestProgramNameIsIgnored: azptend is azptend by every name. Only the lab
// is the fake agent when it is started as one.
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
