package systemd

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"time"
)

// UnitOptions are what a unit depends on.
type UnitOptions struct {
	Name        string        // the unit's, without .service
	Executable  string        // azptend's own file
	User        string        // whom azptend and the jobs run as
	AgentDir    string        // the agent's folder
	EnvFile     string        // the file with the settings; systemd reads it as root
	GracePeriod time.Duration // from SIGTERM to SIGKILL
	AllowSudo   bool          // jobs may become another user
}

// stopMargin is what systemd waits longer than azptend plans for: leaving takes a
// moment too.
const stopMargin = 5 * time.Second

// unsafeInUnit matches characters that have a meaning in a unit's values (systemd.unit(5),
// systemd.service(5)).
var unsafeInUnit = regexp.MustCompile("[\\x00-\\x20\\x7f%$\\\\\"';]")

var unitName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

var userName = regexp.MustCompile(`^[a-z_][a-z0-9_-]*\$?$`)

// Validate says everything that is wrong with the options. What goes into a unit
// must not be able to add lines to it, or words to a command.
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

// Unit is the unit's text. It holds no secret.
func Unit(o UnitOptions) string {
	hardening := hardening
	if o.AllowSudo {
		hardening = noHardening
	}
	return fmt.Sprintf(`# Written by azptend service. What is decided here is explained in azptend's docs/vm.md.
[Unit]
Description=Azure Pipelines agent, tended by azptend
Documentation=https://github.com/azptend/azptend
Wants=network-online.target
After=network-online.target
# Every start counts there, and after its limit Restart= does nothing any more: an
# agent of --once starts as often as there are jobs.
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart=%s run
EnvironmentFile=%s
Environment=AZP_AGENT_DIR=%s AZP_GRACE_PERIOD=%d
User=%s
WorkingDirectory=%s
# Ready is when the agent listens: a name that another holds may be waited for.
TimeoutStartSec=15min

# SIGTERM is for azptend alone, which finishes the job; SIGKILL is for what is left.
KillMode=mixed
TimeoutStopSec=%d
# An agent that left, however it did, is started anew; not where that cannot help:
# settings (64), the identity's rights (77), the agent's folder (78).
Restart=always
RestartSec=5
RestartPreventExitStatus=64 77 78
# azptend's loop says that it lives; one that is stuck for so long is killed.
WatchdogSec=2min

# A job that needs too much memory ends; the agent does not.
OOMPolicy=continue
TasksMax=infinity
LimitNOFILE=1048576

%s
[Install]
WantedBy=multi-user.target
`, o.Executable, o.EnvFile, o.AgentDir, int(o.GracePeriod.Seconds()), o.User, o.AgentDir, int((o.GracePeriod + stopMargin).Seconds()), hardening)
}

// hardening is what an agent and its jobs tolerate: they build, test and talk to
// Docker, and have no business with the machine's clock, kernel and name.
const hardening = `NoNewPrivileges=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictRealtime=yes
`

// noHardening is the same without what would keep jobs from sudo: each of the others
// implies NoNewPrivileges for a unit that is not root's (systemd.exec(5)).
const noHardening = `# Jobs may use sudo (--sudo): everything that would harden this unit forbids it.
NoNewPrivileges=no
`

// EnvFileTemplate is the beginning of a file of settings, for a person to fill in.
const EnvFileTemplate = `# Settings of azptend run, one a line: see azptend's README. systemd reads this
# file as root: leave it root's, mode 0600.
#AZP_URL=https://dev.azure.com/your-organisation
#AZP_POOL=your-pool
#MANAGED_IDENTITY_OBJECT_ID=
`
