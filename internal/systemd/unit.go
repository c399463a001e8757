package systemd

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"time"
)

// UnitOptions are the values in a unit.
type UnitOptions struct {
	Name        string        // of the unit, without .service
	Executable  string        // path of azptend
	User        string        // the user that azptend and the jobs run as
	AgentDir    string        // the agent's directory
	EnvFile     string        // the file with the settings; systemd reads it as root
	GracePeriod time.Duration // from SIGTERM to SIGKILL
	AllowSudo   bool          // jobs may become another user
}

// stopMargin is added to the grace period for TimeoutStopSec, because the exit takes a moment.
const stopMargin = 5 * time.Second

// unsafeInUnit matches characters with a special meaning in a unit's values (systemd.unit(5),
// systemd.service(5)).
var unsafeInUnit = regexp.MustCompile("[\\x00-\\x20\\x7f%$\\\\\"';]")

var unitName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

var userName = regexp.MustCompile(`^[a-z_][a-z0-9_-]*\$?$`)

// Validate returns all problems with the options. A value must not be able to add a line to
// the unit, or an argument to a command.
func (o UnitOptions) Validate() error {
	var problems []error
	for _, path := range []struct{ flag, value string }{{"--agent-dir", o.AgentDir}, {"--env-file", o.EnvFile}, {"the program", o.Executable}} {
		if !filepath.IsAbs(path.value) || unsafeInUnit.MatchString(path.value) {
			problems = append(problems, fmt.Errorf("%s is %q, which is no absolute path that a unit can hold", path.flag, path.value))
		}
	}
	if !unitName.MatchString(o.Name) {
		problems = append(problems, fmt.Errorf("--name is %q, which is no unit's name", o.Name))
	}
	if !userName.MatchString(o.User) {
		problems = append(problems, fmt.Errorf("--user is %q, which is no user's name", o.User))
	}
	if o.GracePeriod < time.Second {
		problems = append(problems, fmt.Errorf("--grace-period is %v, which is shorter than a second", o.GracePeriod))
	}
	return errors.Join(problems...)
}

// Unit is the text of the unit. It contains no secrets.
func Unit(o UnitOptions) string {
	return fmt.Sprintf(`# Written by azptend service. azptend's docs/vm.md explains each choice.
[Unit]
Description=Azure Pipelines agent, tended by azptend
Documentation=https://github.com/azptend/azptend
Wants=network-online.target
After=network-online.target
# No limit for starts: with --once the agent starts once for each job.
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart=%s run
EnvironmentFile=%s
Environment=AZP_AGENT_DIR=%s AZP_GRACE_PERIOD=%d
User=%s
WorkingDirectory=%s
# Ready means that the agent listens. It may wait for its name (AZP_NAME_WAIT) first.
TimeoutStartSec=15min

# Only azptend gets SIGTERM, and finishes the job. SIGKILL ends what remains.
KillMode=mixed
TimeoutStopSec=%d
# Restart the agent after any exit, unless a restart cannot help: wrong settings (64),
# missing permissions (77), an unusable agent directory (78).
Restart=always
RestartSec=5
RestartPreventExitStatus=64 77 78
# systemd kills azptend if its loop is stuck for this long.
WatchdogSec=2min

# The kernel kills a job that uses too much memory; the agent continues.
OOMPolicy=continue
TasksMax=infinity
LimitNOFILE=1048576

%s
[Install]
WantedBy=multi-user.target
`, o.Executable, o.EnvFile, o.AgentDir, int(o.GracePeriod.Seconds()), o.User, o.AgentDir, int((o.GracePeriod + stopMargin).Seconds()), hardening(o))
}

// hardening are the lines that protect the machine from jobs. Jobs compile, test, use Docker and
// create user namespaces. They need not change the machine's clock, kernel or name.
func hardening(o UnitOptions) string {
	if o.AllowSudo {
		return `# Jobs may use sudo (--sudo): most hardening of this unit would prevent that.
NoNewPrivileges=no
PrivateTmp=yes
`
	}
	lines := `# Jobs keep what they need without privileges. docs/vm.md has a stricter drop-in.
NoNewPrivileges=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectSystem=full
RestrictRealtime=yes
SystemCallFilter=~@clock @module @raw-io @reboot @swap
SystemCallErrorNumber=EPERM
`
	if o.User != "root" { // root needs capabilities for AZP_RUN_AS
		lines += "CapabilityBoundingSet=\n"
	}
	if readOnly.MatchString(o.AgentDir) {
		lines += "ReadWritePaths=" + o.AgentDir + "\n"
	}
	return lines
}

// readOnly matches directories that ProtectSystem=full makes read-only.
var readOnly = regexp.MustCompile(`^/(usr|boot|efi|etc)(/|$)`)

// EnvFileTemplate is a file of settings to fill in.
const EnvFileTemplate = `# Settings of azptend run, one on each line; docs/configuration.md in azptend's
# repository lists them all. systemd reads this file as root: keep it owned by
# root, with mode 0600.
#AZP_URL=https://dev.azure.com/your-organisation
#AZP_POOL=your-pool
#MANAGED_IDENTITY_OBJECT_ID=
# Install the agent at the first start, if the agent directory holds none.
#AZP_INSTALL=true
`
