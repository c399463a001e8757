//go:build linux

package security

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/test/internal/fault"
)

// guardFaults are azptend without one of its protections. The thief must succeed.
func guardFaults() []fault.Fault {
	const notify = "internal/mslistener/notifications.go"
	return []fault.Fault{
		fault.New("undumpable",
			fault.Replace("internal/cli/cli.go", "p.undumpable = proc.MakeUndumpable()", "_ = proc.MakeUndumpable")),
		fault.New("filter",
			fault.Replace("internal/mslistener/environ.go", "return f.unpublish(env), byName, byValue", "return environ, nil, nil")),
		fault.New("run-as",
			fault.Replace("internal/cli/run.go", "\tif err := proc.ReserveThreads(s.Agents, user); err != nil {\n", "\tuser = nil\n\tif err := proc.ReserveThreads(s.Agents, user); err != nil {\n")),
		// A token that could be given as a flag would be seen in the process table.
		fault.New("argv",
			fault.Replace("internal/config/table.go", `{Env: "AZP_TOKEN", `, `{Env: "AZP_TOKEN", Flag: "token", `)),
		fault.New("peer-check",
			fault.Replace(notify, "at := identify(", "at := 0 * identify(")),
		fault.New("closed-port",
			fault.Replace(notify, "\taccepted := make(chan *net.TCPConn, maxBatch)\n", "\tif true {\n\t\treturn p.acceptEverybody(ctx)\n\t}\n\taccepted := make(chan *net.TCPConn, maxBatch)\n"),
			fault.Replace(notify, "// ErrNotConnected says", acceptEverybody+"\n// ErrNotConnected says")),
	}
}

// acceptEverybody leaves the port open after the first connection, and merges what
// all connections send.
const acceptEverybody = `
func (p *NotificationPort) acceptEverybody(ctx context.Context) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() { _ = p.TCPListener.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	first, err := p.TCPListener.Accept()
	if err != nil {
		return nil, err
	}
	ours, theirs := net.Pipe()
	pass := func(conn net.Conn) {
		defer conn.Close()
		_, _ = io.Copy(theirs, conn)
	}
	go pass(first)
	go func() {
		for {
			next, err := p.TCPListener.Accept()
			if err != nil {
				return
			}
			go pass(next)
		}
	}()
	return ours, nil
}
`

var (
	withoutMu sync.Mutex
	withoutIt = map[string]string{} // binaries by guard
)

// without is an azptend that lacks a guard. It is built once, and its program has
// the guard's name.
func without(t *testing.T, guard string) string {
	t.Helper()
	withoutMu.Lock()
	defer withoutMu.Unlock()
	if binary := withoutIt[guard]; binary != "" {
		return binary
	}
	all := guardFaults()
	binary := filepath.Join(filepath.Dir(programs.Azptend), guard)
	check(t, all[slices.IndexFunc(all, func(f fault.Fault) bool { return f.Guard == guard })].Build("../..", binary))
	withoutIt[guard] = binary
	return binary
}

// TestGuardFaultsFit needs no privilege: each fault must still fit the source.
func TestGuardFaultsFit(t *testing.T) {
	for _, f := range guardFaults() {
		if _, err := f.Overlay("../..", t.TempDir()); err != nil {
			t.Error(err)
		}
	}
}

func setupNamed(part string) identitySetup {
	all := identitySetups()
	return all[slices.IndexFunc(all, func(setup identitySetup) bool { return strings.Contains(setup.name, part) })]
}

// TestEachGuardIsNeeded takes one protection away where no other stands behind
// it, and the thief succeeds.
func TestEachGuardIsNeeded(t *testing.T) {
	t.Parallel()
	plain, container, other := accounts()[0], accounts()[1], accounts()[3]
	for _, tt := range []struct {
		guard, setup string
		who          account
		want         []finding // wherever it was
	}{
		{"undumpable", "IDENTITY_HEADER", plain, []finding{
			{How: "environ", What: "identity header"}, {How: "mem", What: "identity header"}, {How: "mem", What: "managing token 1"}}},
		{"undumpable", "AZP_TOKEN`", container, []finding{
			{How: "environ", What: "personal access token"}, {How: "ptrace", What: "azptend itself"},
			{How: "pidfd_getfd", What: "azptend itself"}, {How: "process_vm_readv", What: "azptend itself"}}},
		{"filter", "IDENTITY_HEADER", plain, []finding{
			{How: "own environment", What: "identity header"}, {How: "file", What: "identity header"}}}, // published, and in the agent's log
		{"filter", "AZP_TOKEN`", other, []finding{
			{How: "own environment", What: "personal access token"}, {How: "file", What: "personal access token"}}},
		{"argv", "AZP_TOKEN`", other, []finding{
			{How: "argv", What: "personal access token"}, {How: "argv, from outside", What: "personal access token"}}},
		{"run-as", "AZP_TOKEN_FILE", other, []finding{{How: "file", What: "token file"}}},
		{"closed-port", "IDENTITY_HEADER", plain, []finding{{How: "notification port", What: "azptend listens"}}},
	} {
		t.Run(tt.guard+"/"+tt.setup+"/"+tt.who.name, func(t *testing.T) {
			tt.who.possible(t)
			t.Parallel()
			h := newHarness(t, nil)
			setupNamed(tt.setup).give(h, tt.who)
			args := []string{"run"}
			if tt.guard == "argv" {
				args = append(args, "--token="+h.takeEnv("AZP_TOKEN"))
			}
			l := h.runThief(tt.who, without(t, tt.guard), args...)
			for _, want := range tt.want {
				if !slices.ContainsFunc(l.findings, func(f finding) bool { return f.How == want.How && f.What == want.What }) {
					t.Errorf("without %s the thief did not get %s by %s: %v", tt.guard, want.What, want.How, l.findings)
				}
			}
			said := h.actor.Said()
			if believed := strings.Contains(said, forged); believed != (tt.guard == "closed-port") {
				t.Errorf("the thief was believed: %v; azptend said:\n%s", believed, said)
			}
		})
	}
}

// The token leaks from a hook that does not close itself, although azptend is closed.
func TestDumpableHookLeaksToken(t *testing.T) {
	t.Parallel()
	who := accounts()[0]
	h := newHarness(t, nil)
	setupNamed("preStop hook").give(h, who)
	h.hook = []string{without(t, "undumpable"), "drain", "--wait"}
	l := h.runThief(who, programs.Azptend, "run")
	for _, how := range []string{"environ", "mem"} {
		if !slices.Contains(l.findings, finding{how, "undumpable", "personal access token"}) {
			t.Errorf("the thief did not get the token by %s in the hook: %v", how, l.findings)
		}
	}
}

// takeEnv takes a variable away from what azptend is started with.
func (h *harness) takeEnv(name string) (value string) {
	h.env = slices.DeleteFunc(h.env, func(pair string) bool {
		v, is := strings.CutPrefix(pair, name+"=")
		if is {
			value = v
		}
		return is
	})
	return value
}

// A listener that is slow to come: somebody else is at the port before it.
const slowListener = `#!/bin/bash
if [ "$1" = run ]; then while [ ! -e "%s" ]; do sleep 0.02; done; fi
exec -a "$0" "$(dirname "$0")/listener" "$@"
`

// TestForeignConnectionToNotificationPort is what a daemon of an earlier job can do
// when the listener starts again: it connects before the listener does, and lies.
func TestForeignConnectionToNotificationPort(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/bin/bash"); err != nil {
		t.Skip("there is no bash")
	}
	for _, guarded := range []bool{true, false} {
		t.Run(fmt.Sprint("guarded=", guarded), func(t *testing.T) {
			t.Parallel()
			program := programs.Azptend
			if !guarded {
				program = without(t, "peer-check")
			}
			h := newHarness(t, nil)
			who := accounts()[0]
			setupNamed("IDENTITY_HEADER").give(h, who)
			listener := filepath.Join(h.agent, "bin", "Agent.Listener")
			check(t, os.Rename(listener, filepath.Join(h.agent, "bin", "listener")))
			script := fmt.Sprintf(slowListener, filepath.Join(h.dir, "signs", "listen"))
			check(t, os.WriteFile(listener, []byte(script), 0o755))

			// A listener that is not heard counts as busy until the drain's time is up.
			h.env = append(h.env, "AZP_GRACE_PERIOD=20s")
			h.start(who, program, "run")
			h.says("Started the listener")
			lie := exec.CommandContext(h.ctx, thief, h.plan("plan"), "lie")
			lie.Env = []string{"AGENT_HOMEDIRECTORY=" + h.agent}
			if out, err := lie.CombinedOutput(); err != nil { // that it came is seen below
				h.fatalf("the stranger: %v\n%s", err, out)
			}
			h.sign("listen")
			h.await(emulator.EventSessionCreated)
			if !guarded {
				h.says(`A job finished" job=` + forged)
			} else {
				h.says("Rejected a connection to the notification port")
			}
			l := h.job(1, h.plan("plan", h.agent))
			if guarded {
				h.says("A job started")
			}
			h.drain(1)
			if said := h.actor.Said(); strings.Contains(said, forged) == guarded {
				t.Errorf("findings %v; azptend said:\n%s", l.findings, said)
			}
		})
	}
}

// TestManyConnectionsToNotificationPort is what a neighbour's job, or a daemon of an
// earlier one, can do in the seconds between the listener's session and its
// connection, in which the port must be open: it holds thousands of connections,
// connects as fast as it can, and lies. The listener gets in, its jobs are heard,
// and azptend says it in two lines.
func TestManyConnectionsToNotificationPort(t *testing.T) {
	t.Parallel()
	for _, who := range accounts() {
		if who.caps != nil {
			continue
		}
		t.Run(who.name, func(t *testing.T) {
			who.possible(t)
			t.Parallel()
			h := newHarness(t, nil)
			setupNamed("IDENTITY_HEADER").give(h, who)
			h.env = append(h.env, "AZPTEND_FAKEAGENT_FLAGS_TAKE=3s", "AZP_GRACE_PERIOD=20s")
			h.start(who, programs.Azptend, "run")
			h.says("The agent is ready")
			ctx, done := context.WithTimeout(context.Background(), timeout)
			defer done()
			crowd := exec.CommandContext(ctx, thief, h.plan("plan"), "crowd")
			crowd.Env = []string{"AGENT_HOMEDIRECTORY=" + h.agent}
			out, err := crowd.CombinedOutput() // it ends when the port is closed behind the listener
			if err != nil || !strings.Contains(string(out), `"crowd"`) {
				h.fatalf("the crowd: %v\n%s", err, out)
			}
			t.Logf("%s", out)
			h.job(1, h.plan("plan", h.agent))
			h.says("A job started")
			h.drain(1)
			h.says("A job finished")
			said := h.actor.Said()
			if n := strings.Count(said, "Rejected a connection"); n != 2 {
				t.Errorf("azptend said %d times that it turned somebody away:\n%s", n, said)
			}
			if strings.Contains(said, forged) || strings.Contains(said, "counts as busy") {
				t.Errorf("the crowd was believed:\n%s", said)
			}
		})
	}
}
