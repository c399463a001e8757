package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/azptend/azptend/test/internal/launch"
)

// packages are those that the page's commands need and a minimal Debian lacks.
const packages = "systemd,systemd-sysv,dbus,sudo,curl,ca-certificates"

// more is installed by apt: debootstrap configures cloud-init's Python in an order that fails. tcc is
// a small compiler for jobs.
const more = "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends cloud-init tcc libc6-dev"

// machine is a Debian booted by systemd-nspawn. It has the host's network, so it reaches the
// emulator on the host's loopback.
type machine struct {
	page   string // docs/vm.md
	root   string
	nspawn *exec.Cmd
	leader string        // the host's process id of its PID 1
	off    chan struct{} // closed when it is shut down
}

// fill creates the machine's disk.
func (m *machine) fill(ctx context.Context, base string) error {
	if _, err := os.Stat(filepath.Join(base, "etc/debian_version")); err != nil {
		fmt.Println("debootstrap --variant=minbase --include=" + packages + " bookworm")
		if err := run(exec.CommandContext(ctx, "debootstrap", "--variant=minbase", "--include="+packages, "bookworm", base)); err != nil {
			return fmt.Errorf("cannot make a Debian: %w", err)
		}
	}
	if _, err := os.Stat(filepath.Join(base, "usr/bin/tcc")); err != nil { // also in a base of an older version
		if err := run(exec.CommandContext(ctx, "chroot", base, "sh", "-c", more)); err != nil {
			return fmt.Errorf("cannot install cloud-init and a compiler: %w", err)
		}
	}
	return run(exec.CommandContext(ctx, "cp", "-a", base, m.root))
}

// copyDownloads copies the files that the page downloads into the machine, and returns the SHA-256
// of the agent's archive.
func (m *machine) copyDownloads(ctx context.Context, programs launch.Programs) (string, error) {
	if err := run(exec.CommandContext(ctx, "cp", programs.Azptend, filepath.Join(m.root, "srv/azptend"))); err != nil {
		return "", err
	}
	return programs.Pack(filepath.Join(m.root, "srv/agent.tar.gz"))
}

// seed gives the page's cloud-config to cloud-init, with the emulator's settings, and with local
// files in place of the page's addresses. Before that, cloud-init validates the cloud-config.
func (m *machine) seed(ctx context.Context, sum string, settings []string) error {
	b, err := os.ReadFile(m.page)
	if err != nil {
		return err
	}
	_, after, found := strings.Cut(string(b), "```yaml\n#cloud-config\n")
	config, _, closed := strings.Cut(after, "```")
	if !found || !closed {
		return errors.New(m.page + " has no cloud-config")
	}
	config = "#cloud-config\n" + config
	for _, change := range []struct{ from, to string }{
		{"      AZP_URL=https://dev.azure.com/your-organisation\n      AZP_POOL=your-pool\n      MANAGED_IDENTITY_OBJECT_ID=00000000-0000-0000-0000-000000000000\n",
			"      " + strings.Join(settings, "\n      ") + "\n"},
		{"https://your-storage/azptend", "file:///srv/azptend"},
		{`--agent-version 5.282.3 --agent-sha256 "…"`, "--file /srv/agent.tar.gz --agent-sha256 " + sum},
	} {
		if strings.Count(config, change.from) != 1 {
			return fmt.Errorf("the cloud-config of %s is to have %q, once", m.page, change.from)
		}
		config = strings.Replace(config, change.from, change.to, 1)
	}
	dir := filepath.Join(m.root, "var/lib/cloud/seed/nocloud")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "meta-data"), []byte("instance-id: walked\n"), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "user-data"), []byte(config), 0o600); err != nil {
		return err
	}
	return run(exec.CommandContext(ctx, "chroot", m.root, "cloud-init", "schema", "--config-file", "/var/lib/cloud/seed/nocloud/user-data"))
}

// dropIn is the stricter drop-in of the page, without its section's name, which override writes.
func (m *machine) dropIn() (string, error) {
	b, err := os.ReadFile(m.page)
	if err != nil {
		return "", err
	}
	_, after, found := strings.Cut(string(b), "```ini\n[Service]\n")
	lines, _, closed := strings.Cut(after, "```")
	if !found || !closed {
		return "", errors.New(m.page + " has no drop-in")
	}
	return lines, nil
}

// boot starts the machine.
func (m *machine) boot(ctx context.Context) error {
	m.nspawn = exec.CommandContext(ctx, "systemd-nspawn", "--directory="+m.root, "--boot", "--register=no", "--keep-unit", "--quiet", "--console=pipe")
	m.off = make(chan struct{})
	if err := m.nspawn.Start(); err != nil {
		return fmt.Errorf("cannot boot the machine: %w", err)
	}
	go func() { _ = m.nspawn.Wait(); close(m.off) }()
	children := fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", m.nspawn.Process.Pid)
	return m.until(ctx, "its first process to be there", func() bool {
		b, _ := os.ReadFile(children)
		m.leader = strings.TrimSpace(string(b))
		comm, _ := os.ReadFile("/proc/" + m.leader + "/comm")
		return m.leader != "" && strings.TrimSpace(string(comm)) == "systemd"
	})
}

// kill stops a machine that was not shut down.
func (m *machine) kill() {
	_ = m.nspawn.Process.Kill()
	<-m.off
}

// in runs a command inside the machine.
func (m *machine) in(ctx context.Context, command ...string) (string, error) {
	words := append([]string{"--target", m.leader, "--mount", "--uts", "--ipc", "--pid", "env", "-i",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "AZP_AGENT_DIR=/azp"}, command...)
	out, err := exec.CommandContext(ctx, "nsenter", words...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// property returns a property of the unit.
func (m *machine) property(ctx context.Context, name string) string {
	out, _ := m.in(ctx, "systemctl", "show", "azptend", "--property="+name, "--value")
	return out
}

// until polls a condition for which systemd has no event that could be awaited here.
func (m *machine) until(ctx context.Context, what string, is func() bool) error {
	ctx, stop := context.WithTimeout(ctx, 2*time.Minute)
	defer stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for ; !is(); <-tick.C {
		select {
		case <-ctx.Done():
			return fmt.Errorf("cannot wait any longer for %s", what)
		case <-m.off:
			return fmt.Errorf("the machine is off, and was to wait for %s", what)
		default:
		}
	}
	return nil
}

// run runs a command, and includes its output in an error.
func run(c *exec.Cmd) error {
	out, err := c.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", c.Args[0], err, strings.TrimSpace(string(out)))
	}
	return nil
}
