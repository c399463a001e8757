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

// guardFaults are builds of azptend without one of its protections. With them the thief
// must succeed.
func guardFaults() []fault.Fault {
	const notify = "internal/mslistener/notifications.go"
	return []fault.Fault{
		fault.New("undumpable",
			fault.Replace("internal/cli/cli.go", "p.undumpable = proc.MakeUndumpable()", "_ = proc.MakeUndumpable")),
		fault.New("filter",
			fault.Replace("internal/mslistener/environ.go", "return f.unpublish(env), byName, byValue", "return environ, nil, nil")),
		fault.New("run-as",
			fault.Replace("internal/cli/run.go", "\tif err := proc.ReserveThreads(s.Agents, user); err != nil {\n", "\tuser = nil\n\tif err := proc.ReserveThreads(s.Agents, user); err != nil {\n")),
		// The process table would show a token that is given as a flag.
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
	binariesMu sync.Mutex
	binaries   = map[string]string{} // paths by guard
)

// binaryWithout returns an azptend that lacks a guard. It is built once, and its program
// has the guard's name.
func binaryWithout(t *testing.T, guard string) string {
	t.Helper()
	binariesMu.Lock()
	defer binariesMu.Unlock()
	if binary := binaries[guard]; binary != "" {
		return binary
	}
	all := guardFaults()
	binary := filepath.Join(filepath.Dir(programs.Azptend), guard)
	check(t, all[slices.IndexFunc(all, func(f fault.Fault) bool { return f.Guard == guard })].Build("../..", binary))
	binaries[guard] = binary
	return binary
}

// TestGuardFaultsFit checks that each fault fits the source. It needs no privilege.
func TestGuardFaultsFit(t *testing.T) {
	for _, f := range guardFaults() {
		if _, err := f.Overlay("../..", t.TempDir()); err != nil {
			t.Error(err)
		}
	}
}

func setupWith(part string) identitySetup {
	all := identitySetups()
	return all[slices.IndexFunc(all, func(setup identitySetup) bool { return strings.Contains(setup.name, part) })]
}

// TestEachGuardIsNeeded removes one protection where no other protection remains, and the
// thief succeeds.
func TestEachGuardIsNeeded(t *testing.T) {
	t.Parallel()
	plain, container, other := accounts()[0], accounts()[1], accounts()[3]
	for _, tt := range []struct {
		guard, setup string
		who          account
		want         []finding // findings, in any place
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
			tt.who.skipIfImpossible(t)
			t.Parallel()
			h := newHarness(t, nil)
			setupWith(tt.setup).give(h, tt.who)
			args := []string{"run"}
			if tt.guard == "argv" {
				args = append(args, "--token="+h.takeEnv("AZP_TOKEN"))
			}
			l := h.runThief(tt.who, binaryWithout(t, tt.guard), args...)
			for _, want := range tt.want {
				if !slices.ContainsFunc(l.findings, func(f finding) bool { return f.How == want.How && f.What == want.What }) {
					t.Errorf("without %s the thief did not get %s by %s: %v", tt.guard, want.What, want.How, l.findings)
				}
			}
			said := h.process.Output()
			if believed := strings.Contains(said, forged); believed != (tt.guard == "closed-port") {
				t.Errorf("azptend believed the thief: %v; azptend said:\n%s", believed, said)
			}
		})
	}
}

// TestDumpableHookLeaksToken: the token leaks from a hook that is dumpable, although
// azptend is closed.
func TestDumpableHookLeaksToken(t *testing.T) {
	t.Parallel()
	who := accounts()[0]
	h := newHarness(t, nil)
	setupWith("preStop hook").give(h, who)
	h.hook = []string{binaryWithout(t, "undumpable"), "drain", "--wait"}
	l := h.runThief(who, programs.Azptend, "run")
	for _, how := range []string{"environ", "mem"} {
		if !slices.Contains(l.findings, finding{how, "undumpable", "personal access token"}) {
			t.Errorf("the thief did not get the token by %s in the hook: %v", how, l.findings)
		}
	}
}

// takeEnv removes a variable from azptend's environment and returns its value.
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

// slowListener is a listener that starts late, so that another process can connect to the
// port before it.
const slowListener = `#!/bin/bash
if [ "$1" = run ]; then while [ ! -e "%s" ]; do sleep 0.02; done; fi
exec -a "$0" "$(dirname "$0")/listener" "$@"
`

// TestForeignConnectionToNotificationPort plays a daemon of an earlier job when the
// listener starts again: it connects before the listener does, and sends a forged event.
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
				program = binaryWithout(t, "peer-check")
			}
			h := newHarness(t, nil)
			who := accounts()[0]
			setupWith("IDENTITY_HEADER").give(h, who)
			listener := filepath.Join(h.agent, "bin", "Agent.Listener")
			check(t, os.Rename(listener, filepath.Join(h.agent, "bin", "listener")))
			script := fmt.Sprintf(slowListener, filepath.Join(h.dir, "flags", "listen"))
			check(t, os.WriteFile(listener, []byte(script), 0o755))

			// A listener without a connection counts as busy until the drain's deadline.
			h.env = append(h.env, "AZP_GRACE_PERIOD=20s")
			h.start(who, program, "run")
			h.says("Started the listener")
			forge := exec.CommandContext(h.ctx, thief, h.plan("plan"), "forge")
			forge.Env = []string{"AGENT_HOMEDIRECTORY=" + h.agent}
			if out, err := forge.CombinedOutput(); err != nil { // the log lines below show that it connected
				h.fatalf("thief forge: %v\n%s", err, out)
			}
			h.createFlag("listen")
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
			if said := h.process.Output(); strings.Contains(said, forged) == guarded {
				t.Errorf("findings %v; azptend said:\n%s", l.findings, said)
			}
		})
	}
}

// TestManyConnectionsToNotificationPort plays another job on the machine, or a daemon of an
// earlier job, between the listener's session and its connection, when the port must be
// open. It holds thousands of connections, connects as fast as it can, and sends forged
// events. The listener still connects, its jobs are noticed, and azptend logs the rejected
// connections in two lines.
func TestManyConnectionsToNotificationPort(t *testing.T) {
	t.Parallel()
	for _, who := range accounts() {
		if who.caps != nil {
			continue
		}
		t.Run(who.name, func(t *testing.T) {
			who.skipIfImpossible(t)
			t.Parallel()
			h := newHarness(t, nil)
			setupWith("IDENTITY_HEADER").give(h, who)
			h.env = append(h.env, "AZPTEND_FAKEAGENT_FLAGS_TAKE=3s", "AZP_GRACE_PERIOD=20s")
			h.start(who, programs.Azptend, "run")
			h.says("The agent is ready")
			ctx, done := context.WithTimeout(context.Background(), timeout)
			defer done()
			flood := exec.CommandContext(ctx, thief, h.plan("plan"), "flood")
			flood.Env = []string{"AGENT_HOMEDIRECTORY=" + h.agent}
			out, err := flood.CombinedOutput() // it exits when azptend closes the port after the listener has connected
			if err != nil || !strings.Contains(string(out), `"flood"`) {
				h.fatalf("thief flood: %v\n%s", err, out)
			}
			t.Logf("%s", out)
			h.job(1, h.plan("plan", h.agent))
			h.says("A job started")
			h.drain(1)
			h.says("A job finished")
			said := h.process.Output()
			if n := strings.Count(said, "Rejected a connection"); n != 2 {
				t.Errorf("azptend logged %d times that it rejected a connection:\n%s", n, said)
			}
			if strings.Contains(said, forged) || strings.Contains(said, "counts as busy") {
				t.Errorf("azptend believed the flood:\n%s", said)
			}
		})
	}
}
