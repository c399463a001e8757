package systemd_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/azptend/azptend/internal/systemd"
)

func options() systemd.UnitOptions {
	return systemd.UnitOptions{Name: "azptend", Executable: "/usr/local/bin/azptend", User: "agent", AgentDir: "/azp", EnvFile: "/etc/azptend/agent.env", GracePeriod: time.Hour}
}

// The unit as a reader of the docs sees it: a change is to be looked at.
func TestUnit(t *testing.T) {
	for file, o := range map[string]systemd.UnitOptions{
		"testdata/hardened.service": options(),
		"testdata/sudo.service":     {Name: "a", Executable: "/opt/azptend", User: "builds", AgentDir: "/srv/agent", EnvFile: "/etc/agent.env", GracePeriod: 90 * time.Second, AllowSudo: true},
	} {
		if err := o.Validate(); err != nil {
			t.Error(err)
		}
		want, err := os.ReadFile(file)
		if got := systemd.Unit(o); got != string(want) {
			t.Errorf("%s: %v; the unit is\n%s", file, err, got)
		}
	}
}

// systemd kills no sooner than azptend plans for.
func TestTheGracePeriodIsSystemds(t *testing.T) {
	unit := systemd.Unit(options())
	for _, line := range []string{"AZP_GRACE_PERIOD=3600\n", "TimeoutStopSec=3605\n", "KillMode=mixed\n"} {
		if !strings.Contains(unit, line) {
			t.Errorf("the unit lacks %q", line)
		}
	}
}

// systemd's start limit counts every start, those after an end that was wanted
// too (systemd.unit(5)): six jobs of --once within ten minutes were once the end
// of an agent.
func TestItIsStartedAgainHoweverOften(t *testing.T) {
	unit := systemd.Unit(options())
	if !strings.Contains(unit, "\nStartLimitIntervalSec=0\n") || strings.Contains(unit, "StartLimitBurst") || !strings.Contains(unit, "\nRestart=always\n") {
		t.Error("the unit has a start limit, or is not started again")
	}
}

func TestNothingSneaksIn(t *testing.T) {
	for what, change := range map[string]func(*systemd.UnitOptions){
		"a line in the folder":       func(o *systemd.UnitOptions) { o.AgentDir = "/azp\nExecStartPre=/bin/evil" },
		"a word in the folder":       func(o *systemd.UnitOptions) { o.AgentDir = "/azp AZP_X=1" },
		"a specifier":                func(o *systemd.UnitOptions) { o.AgentDir = "/azp/%i" },
		"a relative program":         func(o *systemd.UnitOptions) { o.Executable = "azptend" },
		"a user with a line":         func(o *systemd.UnitOptions) { o.User = "agent\nGroup=root" },
		"a folder in the name":       func(o *systemd.UnitOptions) { o.Name = "../azptend" },
		"no user":                    func(o *systemd.UnitOptions) { o.User = "" },
		"no grace period":            func(o *systemd.UnitOptions) { o.GracePeriod = 0 },
		"a variable in the file":     func(o *systemd.UnitOptions) { o.EnvFile = "/etc/$HOME" },
		"an argument to the program": func(o *systemd.UnitOptions) { o.Executable = "/usr/bin/azptend drain" },
	} {
		o := options()
		change(&o)
		if err := o.Validate(); err == nil {
			t.Errorf("%s is accepted", what)
		}
	}
}
