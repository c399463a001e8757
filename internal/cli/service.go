//go:build unix

package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/systemd"
	"github.com/azptend/azptend/internal/text"
)

func newService(p Process) *cobra.Command {
	var o systemd.UnitOptions
	var write string
	c := &cobra.Command{
		Use:   "service",
		Short: "Write a systemd unit that runs the agent on this machine",
		Long: `Write a systemd unit that runs the agent on this machine: to standard output, or with --write into a directory such as /etc/systemd/system. --write also creates the file with the settings (--env-file) if it does not exist. service starts nothing; it prints what to do next.

The agent runs as --user, which must exist on this machine for --write. A unit that is printed may be for another machine, or for a user that is not in /etc/passwd. --grace-period is how long a running job may take to finish after systemd stops the service.

Secrets have no flag. Write AZP_TOKEN or AZP_CLIENTSECRET into the file with the settings, which systemd reads as root.`,
	}
	c.Flags().SortFlags = false
	c.Flags().StringVar(&o.User, "user", "agent", "user that runs the agent and its jobs")
	c.Flags().StringVar(&o.EnvFile, "env-file", "", "file with the settings (default: /etc/azptend/NAME.env)")
	c.Flags().BoolVar(&o.AllowSudo, "sudo", false, "let jobs use sudo, which disables most of the unit's hardening")
	c.Flags().StringVar(&o.Name, "name", "azptend", "name of the unit")
	c.Flags().StringVar(&write, "write", "", "directory to write the unit into")
	config.AddServiceFlags(c.Flags())
	c.RunE = func(*cobra.Command, []string) error {
		s, err := config.LoadService(c.Flags(), p.Environ)
		if err != nil {
			return exitcode.With(exitcode.Usage, err)
		}
		o.AgentDir, o.GracePeriod = s.AgentDir, s.Grace
		if o.EnvFile == "" {
			o.EnvFile = "/etc/azptend/" + o.Name + ".env"
		}
		program, err := Self()
		if err != nil {
			return fmt.Errorf("cannot find this program: %w", err)
		}
		o.Executable = program
		if err := o.Validate(); err != nil {
			return exitcode.With(exitcode.Usage, fmt.Errorf("cannot write the unit: %w", err))
		}
		if err := checkUnitUser(p, o.User, write != ""); err != nil {
			return err
		}
		if write == "" {
			fmt.Fprint(p.Stdout, systemd.Unit(o))
			return nil
		}
		return writeService(p, o, filepath.Join(write, o.Name+".service"))
	}
	return c
}

// checkUnitUser refuses to write a unit for a user that this machine does not have: systemd
// would fail to start it, with status 217. A unit that is only printed may be for another
// machine, or for a user of a directory service, which this static program cannot see.
func checkUnitUser(p Process, name string, written bool) error {
	if _, err := user.Lookup(name); err == nil {
		return nil
	}
	if !written {
		p.remark(slog.LevelWarn, fmt.Sprintf("this machine has no user %q: create it before the unit starts", name), "")
		return nil
	}
	return exitcode.With(exitcode.Usage, text.WithHint(
		fmt.Errorf("cannot write the unit: --user is %q, and this machine has no such user", name),
		"create it (useradd --create-home "+name+"), or print the unit without --write if it is for another machine or the user is not in /etc/passwd",
	))
}

func writeService(p Process, o systemd.UnitOptions, unit string) error {
	if err := os.WriteFile(unit, []byte(systemd.Unit(o)), 0o644); err != nil {
		return exitcode.With(exitcode.DirUnusable, fmt.Errorf("cannot write the unit: %w", err))
	}
	fmt.Fprintf(p.Stdout, "wrote %s\n", unit)
	made, err := writeIfMissing(o.EnvFile, systemd.EnvFileTemplate)
	if err != nil {
		return exitcode.With(exitcode.DirUnusable, fmt.Errorf("cannot write the settings: %w", err))
	}
	if made {
		fmt.Fprintf(p.Stdout, "wrote %s: set AZP_URL, AZP_POOL and the identity in it\n", o.EnvFile)
	} else {
		fmt.Fprintf(p.Stdout, "left %s unchanged\n", o.EnvFile)
	}
	_, err = fmt.Fprintf(p.Stdout, `next, as root:
  runuser -u %s -- %s install --agent-dir %s --agent-version VERSION --agent-sha256 SUM
  systemd-run --pipe --wait --collect --quiet -p User=%s -p EnvironmentFile=%s \
    -E AZP_AGENT_DIR=%s -E AZP_GRACE_PERIOD=%d %s doctor
  systemctl daemon-reload && systemctl enable --now %s
`, o.User, o.Executable, o.AgentDir, o.User, o.EnvFile, o.AgentDir, int(o.GracePeriod.Seconds()), o.Executable, o.Name)
	return err
}

// writeIfMissing writes a file of settings that only root can read, unless it exists.
func writeIfMissing(name, text string) (made bool, err error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return false, err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	_, err = f.WriteString(text)
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err == nil, err
}
