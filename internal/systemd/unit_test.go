package systemd_test

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/azptend/azptend/internal/systemd"
)

func options() systemd.UnitOptions {
	return systemd.UnitOptions{Name: "azptend", Executable: "/usr/local/bin/azptend", User: "agent", AgentDir: "/azp", EnvFile: "/etc/azptend/agent.env", GracePeriod: time.Hour}
}

// packaged are the options of the unit in the deb and rpm, which is in deploy/package.
func packaged() systemd.UnitOptions {
	o := options()
	o.Executable, o.EnvFile = "/usr/bin/azptend", "/etc/azptend/azptend.env"
	return o
}

var update = flag.Bool("update", false, "write the golden files")

// TestUnit compares units with golden files, and those of the packages with what azptend service writes.
func TestUnit(t *testing.T) {
	golden(t, "../../deploy/package/azptend.env", systemd.EnvFileTemplate)
	for file, o := range map[string]systemd.UnitOptions{
		"../../deploy/package/azptend.service": packaged(),
		"testdata/hardened.service":            options(),
		"testdata/sudo.service":                {Name: "a", Executable: "/opt/azptend", User: "builds", AgentDir: "/srv/agent", EnvFile: "/etc/agent.env", GracePeriod: 90 * time.Second, AllowSudo: true},
	} {
		if err := o.Validate(); err != nil {
			t.Error(err)
		}
		golden(t, file, systemd.Unit(o))
	}
}

// golden compares a text with a file. With -update it writes the file.
func golden(t *testing.T, file, text string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != text {
		t.Errorf("%s differs (%v); go test ./internal/systemd -update writes it. The text is\n%s", file, err, text)
	}
}

// TestStopTimeout: systemd waits longer than the grace period.
func TestStopTimeout(t *testing.T) {
	unit := systemd.Unit(options())
	for _, line := range []string{"AZP_GRACE_PERIOD=3600\n", "TimeoutStopSec=3605\n", "KillMode=mixed\n"} {
		if !strings.Contains(unit, line) {
			t.Errorf("the unit lacks %q", line)
		}
	}
}

// TestNoStartLimit: systemd's start limit counts all starts, also those after an exit with code 0
// (systemd.unit(5)). With a limit, an agent with --once was not restarted after six jobs in ten
// minutes.
func TestNoStartLimit(t *testing.T) {
	unit := systemd.Unit(options())
	if !strings.Contains(unit, "\nStartLimitIntervalSec=0\n") || strings.Contains(unit, "StartLimitBurst") || !strings.Contains(unit, "\nRestart=always\n") {
		t.Error("the unit has a start limit, or is not started again")
	}
}

// TestHardeningFitsTheOptions: root keeps the capabilities for AZP_RUN_AS, an agent below /usr can
// write to its directory, and sudo works with --sudo.
func TestHardeningFitsTheOptions(t *testing.T) {
	for what, tt := range map[string]struct {
		change       func(*systemd.UnitOptions)
		line, lacked string
	}{
		"a user without privileges": {func(*systemd.UnitOptions) {}, "CapabilityBoundingSet=", "ReadWritePaths=/azp"},
		"root":                      {func(o *systemd.UnitOptions) { o.User = "root" }, "NoNewPrivileges=yes", "CapabilityBoundingSet="},
		"an agent below /usr":       {func(o *systemd.UnitOptions) { o.AgentDir = "/usr/local/agent" }, "ReadWritePaths=/usr/local/agent", "NoNewPrivileges=no"},
		"sudo":                      {func(o *systemd.UnitOptions) { o.AllowSudo = true }, "NoNewPrivileges=no", "ProtectSystem=full"},
	} {
		o := options()
		tt.change(&o)
		lines := strings.Split(systemd.Unit(o), "\n")
		if !slices.Contains(lines, tt.line) || slices.Contains(lines, tt.lacked) {
			t.Errorf("the unit of %s lacks %s, or has %s", what, tt.line, tt.lacked)
		}
	}
}

func TestValuesCannotAddLines(t *testing.T) {
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
