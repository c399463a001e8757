package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/azptend/azptend/internal/emulator"
)

// playScenes plays the scenes in order. Each starts with an agent that listens.
func playScenes(ctx context.Context, w *world, m *machine) error {
	for _, scene := range []struct {
		what string
		play func(context.Context, *world, *machine) error
	}{
		{"cloud-init made an agent that listens", made},
		{"systemctl stop finishes the job, which sees no settings", stopped},
		{"azptend that is killed is started again, and removes the agent it left", killed},
		{"an agent that left is started again, more often than systemd's limit", drained},
		{"azptend that is stuck is killed by the watchdog", stuck},
		{"what needs a person is not started again", wrong},
		{"jobs compile and start containers, and change nothing of the machine", builds},
		{"jobs compile under the page's stricter drop-in, and start no containers", stricter},
		{"jobs use sudo, if the unit allows it", sudo},
		{"the machine's shutdown finishes the job", shutDown},
	} {
		if err := scene.play(ctx, w, m); err != nil {
			return fmt.Errorf("%s: %w", scene.what, err)
		}
		fmt.Println("ok:", scene.what)
	}
	return nil
}

func made(ctx context.Context, w *world, m *machine) error {
	if err := w.await(ctx, emulator.EventSessionCreated); err != nil {
		return err
	}
	return m.until(ctx, "systemd to hear that it is ready", func() bool {
		return m.property(ctx, "ActiveState") == "active" && strings.HasPrefix(m.property(ctx, "StatusText"), "idle: agent ")
	})
}

// secrets is a script that fails if it can read the unit's settings.
const secrets = "if cat /etc/azptend/azptend.env || env | grep IDENTITY_; then exit 1; fi\nsleep 1"

func stopped(ctx context.Context, w *world, m *machine) error {
	job, err := w.begin(ctx, secrets)
	if err != nil {
		return err
	}
	if out, err := m.in(ctx, "systemctl", "stop", "azptend"); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	_, ended := w.succeeded(job)
	if result := m.property(ctx, "Result"); result != "success" {
		ended = errors.Join(ended, fmt.Errorf("the unit's result is %s", result))
	}
	return errors.Join(ended, w.empty(), start(ctx, w, m))
}

// start starts the unit, and waits for its session. systemctl returns when the agent listens.
func start(ctx context.Context, w *world, m *machine) error {
	if out, err := m.in(ctx, "systemctl", "start", "azptend"); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return w.await(ctx, emulator.EventSessionCreated)
}

func killed(ctx context.Context, w *world, m *machine) error {
	if out, err := m.in(ctx, "systemctl", "kill", "--signal=KILL", "--kill-who=main", "azptend"); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	if err := errors.Join(w.await(ctx, emulator.EventAgentRemoved), made(ctx, w, m)); err != nil {
		return err
	}
	if n := len(w.State().Pool("Default").Agents); n != 1 {
		return fmt.Errorf("the pool has %d agents", n)
	}
	return nil
}

// override writes lines into the [Service] section of a drop-in of the unit.
func (m *machine) override(ctx context.Context, lines string) error {
	dir := filepath.Join(m.root, "etc/systemd/system/azptend.service.d")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "walk.conf"), []byte("[Service]\n"+lines), 0o600); err != nil {
		return err
	}
	out, err := m.in(ctx, "systemctl", "daemon-reload")
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// drained drains seven times: two times more than systemd starts a unit within ten seconds, unless
// its limit is off. It shortens the pause before each start.
func drained(ctx context.Context, w *world, m *machine) error {
	if err := m.override(ctx, "RestartSec=10ms\n"); err != nil {
		return err
	}
	for range 7 {
		if out, err := m.in(ctx, "setpriv", "--reuid=agent", "--regid=agent", "--init-groups", "azptend", "drain", "--wait"); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		if err := made(ctx, w, m); err != nil {
			return err
		}
	}
	return nil
}

func stuck(ctx context.Context, w *world, m *machine) error {
	if err := m.override(ctx, "WatchdogSec=3\n"); err != nil {
		return err
	}
	if out, err := m.in(ctx, "systemctl", "restart", "azptend"); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	pid := m.property(ctx, "MainPID")
	if err := w.await(ctx, emulator.EventSessionCreated); err != nil {
		return err
	}
	if out, err := m.in(ctx, "kill", "-STOP", pid); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	if err := errors.Join(w.await(ctx, emulator.EventAgentRemoved), made(ctx, w, m)); err != nil {
		return err
	}
	if said, _ := m.in(ctx, "journalctl", "--unit", "azptend", "--no-pager"); !strings.Contains(said, "Watchdog timeout") {
		return errors.New("no watchdog is in the unit's log")
	}
	return nil
}

func wrong(ctx context.Context, w *world, m *machine) error {
	settings := filepath.Join(m.root, "etc/azptend/azptend.env")
	right, err := os.ReadFile(settings)
	if err != nil {
		return err
	}
	if err := os.WriteFile(settings, append(right, "AZP_ON_TERM=nonsense\n"...), 0o600); err != nil {
		return err
	}
	if out, err := m.in(ctx, "systemctl", "restart", "azptend"); err == nil {
		return errors.New("it was started: " + out)
	}
	state, code := m.property(ctx, "ActiveState"), m.property(ctx, "ExecMainStatus")
	if state != "failed" || code != "64" {
		return fmt.Errorf("the unit is %s with %s", state, code)
	}
	return errors.Join(w.empty(), os.WriteFile(settings, right, 0o600), start(ctx, w, m))
}

// compiles is a script that compiles and runs a program.
const compiles = `cd "$(mktemp -d)"
echo 'int main(void) { return 0; }' > main.c
tcc main.c -o main && ./main || exit 1
`

// contains is a command that does what a container engine without privileges begins with.
const contains = "unshare --user --map-root-user --mount --pid --fork sh -c 'mount -t tmpfs none /mnt'"

// confined is a script that fails if it can change the machine.
const confined = `for file in /usr/changed /etc/changed /sys/fs/cgroup/changed; do ! touch $file || exit 1; done
! sudo -n true || exit 1
`

func builds(ctx context.Context, w *world, m *machine) error {
	if err := w.play(ctx, compiles+contains+" || exit 1\n"+confined); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(m.root, "usr/changed")); err == nil {
		return errors.New("the job has changed /usr")
	}
	return nil
}

func stricter(ctx context.Context, w *world, m *machine) error {
	lines, err := m.dropIn()
	if err != nil {
		return err
	}
	restart := func(lines string) error {
		if err := m.override(ctx, lines); err != nil {
			return err
		}
		return restarted(ctx, w, m)
	}
	if err := restart(lines); err != nil {
		return err
	}
	err = w.play(ctx, compiles+"! "+contains+" || exit 1\n"+confined)
	return errors.Join(err, restart(""))
}

// restarted restarts the unit.
func restarted(ctx context.Context, w *world, m *machine) error {
	if out, err := m.in(ctx, "systemctl", "restart", "azptend"); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return w.await(ctx, emulator.EventSessionCreated)
}

func sudo(ctx context.Context, w *world, m *machine) error {
	sudoers := filepath.Join(m.root, "etc/sudoers.d/agent")
	if err := os.WriteFile(sudoers, []byte("agent ALL=(ALL) NOPASSWD: ALL\n"), 0o440); err != nil {
		return err
	}
	write := func(more ...string) error {
		command := append([]string{"azptend", "service", "--user", "agent", "--write", "/etc/systemd/system"}, more...)
		if out, err := m.in(ctx, command...); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		if out, err := m.in(ctx, "systemctl", "daemon-reload"); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return restarted(ctx, w, m)
	}
	// Without --sudo it fails, although the machine would allow it.
	if err := w.play(ctx, confined); err != nil {
		return err
	}
	if err := write("--sudo"); err != nil {
		return err
	}
	err := w.play(ctx, compiles+"sudo -n touch /usr/changed || exit 1\n")
	return errors.Join(err, write())
}

func shutDown(ctx context.Context, w *world, m *machine) error {
	job, err := w.begin(ctx, "sleep 2")
	if err != nil {
		return err
	}
	if out, err := m.in(ctx, "systemctl", "poweroff"); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	select {
	case <-m.off:
	case <-ctx.Done():
		return ctx.Err()
	}
	_, ended := w.succeeded(job)
	return errors.Join(ended, w.empty())
}
