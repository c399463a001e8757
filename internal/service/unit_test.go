package service_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/azptend/azptend/internal/service"
)

func options() service.Options {
	return service.Options{Name: "azptend", Program: "/usr/local/bin/azptend", User: "agent", AgentDir: "/azp", Variables: "/etc/azptend/agent.env", Grace: time.Hour}
}

// The unit as a reader of the docs sees it: a change is to be looked at.
func TestUnit(t *testing.T) {
	for file, o := range map[string]service.Options{
		"testdata/hardened.service": options(),
		"testdata/sudo.service":     {Name: "a", Program: "/opt/azptend", User: "builds", AgentDir: "/srv/agent", Variables: "/etc/agent.env", Grace: 90 * time.Second, Sudo: true},
	} {
		if err := o.Validate(); err != nil {
			t.Error(err)
		}
		want, err := os.ReadFile(file)
		if got := service.Unit(o); got != string(want) {
			t.Errorf("%s: %v; the unit is\n%s", file, err, got)
		}
	}
}

// systemd kills no sooner than azptend plans for.
func TestTheGracePeriodIsSystemds(t *testing.T) {
	unit := service.Unit(options())
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
	unit := service.Unit(options())
	if !strings.Contains(unit, "\nStartLimitIntervalSec=0\n") || strings.Contains(unit, "StartLimitBurst") || !strings.Contains(unit, "\nRestart=always\n") {
		t.Error("the unit has a start limit, or is not started again")
	}
}

func TestNothingSneaksIn(t *testing.T) {
	for what, change := range map[string]func(*service.Options){
		"a line in the folder":       func(o *service.Options) { o.AgentDir = "/azp\nExecStartPre=/bin/evil" },
		"a word in the folder":       func(o *service.Options) { o.AgentDir = "/azp AZP_X=1" },
		"a specifier":                func(o *service.Options) { o.AgentDir = "/azp/%i" },
		"a relative program":         func(o *service.Options) { o.Program = "azptend" },
		"a user with a line":         func(o *service.Options) { o.User = "agent\nGroup=root" },
		"a folder in the name":       func(o *service.Options) { o.Name = "../azptend" },
		"no user":                    func(o *service.Options) { o.User = "" },
		"no grace period":            func(o *service.Options) { o.Grace = 0 },
		"a variable in the file":     func(o *service.Options) { o.Variables = "/etc/$HOME" },
		"an argument to the program": func(o *service.Options) { o.Program = "/usr/bin/azptend drain" },
	} {
		o := options()
		change(&o)
		if err := o.Validate(); err == nil {
			t.Errorf("%s is accepted", what)
		}
	}
}
