package fakeagent

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/azptend/azptend/internal/emulator"
)

func TestUpdate(t *testing.T) {
	const messages = "/_apis/distributedtask/pools/1/messages?agentId=1&api-version=7.1-preview.1"
	for _, c := range []struct {
		name string
		args []string
		code int
	}{{"run", nil, 3}, {"once", []string{"--once"}, 4}} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			p := r.start(c.args...)
			created := r.await(emulator.EventSessionCreated)
			r.admin("POST", messages, nil, nil)
			p.mustEnd(c.code)
			r.eventually("the update's marker", func() bool {
				found, _ := filepath.Glob(filepath.Join(r.root, "_diag", "SelfUpdate-*.log.succeed"))
				return len(found) == 1
			})
			target := r.agent().PendingUpdate
			if to, err := os.Readlink(filepath.Join(r.root, "bin")); err != nil || to != "bin."+target {
				t.Errorf("bin leads to %q, %v", to, err)
			}
			again := r.start()
			r.awaitAfter(created.Seq, emulator.EventSessionCreated)
			again.signal(syscall.SIGINT)
			again.mustEnd(0)
			if a := r.agent(); a.Version != target && target != "" || a.PendingUpdate != "" {
				t.Errorf("after the update: %+v", a)
			}
		})
	}
	t.Run("disabled", func(t *testing.T) {
		r := newRig(t)
		r.env = append(r.env, "agent.disableupdate=1")
		p := r.start()
		r.await(emulator.EventSessionCreated)
		r.admin("POST", messages, nil, nil)
		r.await(emulator.EventMessageDeleted)
		p.signal(syscall.SIGINT)
		p.mustEnd(0)
	})
	t.Run("after the job", func(t *testing.T) {
		r := newRig(t)
		r.queue("echo up\nwhile [ ! -e go ]; do sleep 0.02; done\n")
		p := r.start()
		reached, release := r.hold("/feed")
		reached()
		release()
		r.admin("POST", messages, nil, nil)
		r.eventually("the update to wait", func() bool { return strings.Contains(p.stdout(), "Waiting for current job") })
		if err := os.WriteFile(filepath.Join(r.root, "_work/1/s/go"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		p.mustEnd(3)
		if ev := r.await(emulator.EventJobFinished); ev.Result != "succeeded" {
			t.Errorf("result %q", ev.Result)
		}
	})
}

func TestStart(t *testing.T) {
	r := newRig(t)
	version := r.startArgs("--version")
	version.mustEnd(0)
	if got := version.stdout(); got != Version+"\n" {
		t.Errorf("version %q", got)
	}
	configure := r.startArgs("configure", "--unattended")
	configure.mustEnd(1)

	odd := r.start("--frobnicate")
	r.await(emulator.EventSessionCreated)
	odd.signal(syscall.SIGINT)
	odd.mustEnd(0)
	mustMatch(t, odd.stderr(), `Unrecognized .*--frobnicate`)

	env := r.env
	r.env = append(slices.Clone(env), "AZPTEND_FAKEAGENT_EXIT=7")
	r.start().mustEnd(7)
	r.env = append(slices.Clone(env), "AZPTEND_FAKEAGENT_EXIT=2", "AZPTEND_FAKEAGENT_EXIT_AFTER=session")
	r.start().mustEnd(2)
	for _, bad := range []string{"TIME_SCALE=0.1", "FLAGS_TAKE=-1s", "CONNECTS=never", "CLOSES=never", "REFUSED=stays"} {
		r.env = []string{"AZPTEND_FAKEAGENT_" + bad}
		r.start().mustEnd(1)
	}
	r.env = env

	for _, name := range []string{".credentials_rsaparams", ".credentials", ".agent"} {
		if err := os.Remove(filepath.Join(r.root, name)); err != nil {
			t.Fatal(err)
		}
		p := r.start()
		p.mustEnd(2)
		mustMatch(t, p.stderr(), `^An error occurred: `)
	}
}

// TestOrderedExits: a test can order how the listener exits.
func TestOrderedExits(t *testing.T) {
	start := func(t *testing.T, settings ...string) (*rig, *running) {
		r := newRig(t)
		r.env = append(r.env, settings...)
		p := r.start()
		r.await(emulator.EventSessionCreated)
		return r, p
	}
	for code := range 3 {
		_, p := start(t, "AZPTEND_FAKEAGENT_OBEYS=1")
		p.signal(syscall.Signal(orderSignalBase + code))
		p.mustEnd(code)
	}
	t.Run("update", func(t *testing.T) {
		r, p := start(t, "AZPTEND_FAKEAGENT_OBEYS=1")
		p.signal(syscall.Signal(orderSignalBase + 4))
		p.mustEnd(4)
		r.eventually("the update's marker", func() bool {
			found, _ := filepath.Glob(filepath.Join(r.root, "_diag", "SelfUpdate-*.log.succeed"))
			return len(found) == 1
		})
	})
	t.Run("deaf", func(t *testing.T) {
		r, p := start(t, "AZPTEND_FAKEAGENT_TERM=ignore")
		p.signal(syscall.SIGTERM)
		r.queue("kill -TERM $$; echo lives")
		if ev := r.await(emulator.EventJobFinished); ev.Result != "succeeded" {
			t.Errorf("a job of a listener that ignores SIGTERM ended as %s", ev.Result)
		}
		p.signal(syscall.SIGINT)
		p.mustEnd(0)
	})
	t.Run("slow", func(t *testing.T) {
		_, p := start(t, "AZPTEND_FAKEAGENT_TERM=300ms", "AZPTEND_FAKEAGENT_PLAYS=v4")
		begun := time.Now()
		p.signal(syscall.SIGTERM)
		p.mustEnd(0)
		if took := time.Since(begun); took < 300*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}
