package fakeagent

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/azptend/azptend/internal/emulator"
)

func TestAgentDeleted(t *testing.T) {
	remove := func(r *rig) {
		r.admin("DELETE", "/_apis/distributedtask/pools/1/agents/1?api-version=7.1", nil, nil)
	}
	t.Run("while listening, and started again", func(t *testing.T) {
		r := newRig(t)
		p := r.start()
		r.await(emulator.EventSessionCreated)
		remove(r)
		p.mustEnd(2)
		mustMatch(t, p.stderr(), `An error occurred: No agent found`)
	})
	t.Run("before its session", func(t *testing.T) {
		r := newRig(t)
		r.fault(emulator.Fault{Path: "/sessions", Status: 404, Body: `{"message":"no","typeKey":"TaskAgentNotFoundException"}`})
		p := r.start()
		p.mustEnd(1)
		mustMatch(t, p.stderr(), `^The agent no longer exists on the server\. Please reconfigure the agent\.\nFailed to create session\. `)
	})
	t.Run("unauthorized", func(t *testing.T) {
		r := newRig(t)
		r.em.SetAssumptions(emulator.Assumptions{RemovedAgentUnauthorized: true})
		p := r.start()
		r.await(emulator.EventSessionCreated)
		remove(r)
		// The listener asks for a token again, which is refused. That is not a final error.
		mustRetry(t, p)
		p.signal(syscall.SIGINT)
		p.mustEnd(0)
		again := r.start() // the same without a session
		mustRetry(t, again)
		again.signal(syscall.SIGINT)
		again.mustEnd(0)
	})
	t.Run("unauthorized, as it once was played", func(t *testing.T) {
		r := newRig(t)
		r.em.SetAssumptions(emulator.Assumptions{RemovedAgentUnauthorized: true})
		r.env = append(r.env, "AZPTEND_FAKEAGENT_REFUSED=ends")
		p := r.start()
		r.await(emulator.EventSessionCreated)
		remove(r)
		p.mustEnd(0)
		r.start().mustEnd(1)
	})
	t.Run("token revoked", func(t *testing.T) {
		r := newRig(t)
		r.fault(emulator.Fault{Path: "/sessions", Status: 401, Body: `{"message":"revoked","typeKey":"TaskAgentAccessTokenExpiredException"}`})
		r.start().mustEnd(0)
	})
}

// mustRetry waits until the listener has logged once that its token is refused, and has retried
// several times since.
func mustRetry(t *testing.T, p *running) {
	t.Helper()
	tried := func() int {
		n := 0
		logs, _ := filepath.Glob(filepath.Join(p.r.root, "_diag", "Agent_*.log"))
		for _, name := range logs {
			b, _ := os.ReadFile(name)
			n += strings.Count(string(b), "VssOAuthTokenRequestException: Registration ")
		}
		return n
	}
	before := tried()
	p.r.eventually("several refusals", func() bool { return tried() >= before+3 })
	if n := strings.Count(p.stderr(), "Agent connect error: Registration "); n != 1 {
		t.Errorf("said %d times that it cannot connect:\n%s", n, p.stderr())
	}
}

// TestOrder checks the order of a start: session, look-ups, socket, messages. It also checks the
// order with AZPTEND_FAKEAGENT_CONNECTS.
func TestOrder(t *testing.T) {
	for _, c := range []struct{ name, setting, want string }{
		{"as the source has it", "AZPTEND_FAKEAGENT_FLAGS_TAKE=300ms", "session socket message"},
		{"as it once was played", "AZPTEND_FAKEAGENT_CONNECTS=first", "socket session message"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			perf := t.TempDir()
			r.env = append(r.env, c.setting, "VSTS_AGENT_PERFLOG="+perf)
			ln, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			r.amend(map[string]any{"notificationSocketAddress": ln.Addr().String()})
			r.queue("true")
			counted := func(what string) bool {
				b, _ := os.ReadFile(filepath.Join(perf, "Agent.perf"))
				return strings.Contains(string(b), what)
			}
			reached, release := r.hold("/sessions")
			polls, deliver := r.hold("/messages")
			p := r.start("--once")
			reached()
			var order []string
			if c.want[:6] == "socket" {
				order = append(order, accepted(t, ln)) // while the call for the session is held
			}
			release()
			r.eventually("the session", func() bool { return counted("SessionCreated:") })
			order = append(order, "session")
			if len(order) == 1 {
				order = append(order, accepted(t, ln))
			}
			polls()
			if counted("MessageReceived_") {
				t.Error("there is a message before the first poll was answered")
			}
			deliver()
			p.mustEnd(0)
			if counted("MessageReceived_PipelineAgentJobRequest:") {
				order = append(order, "message")
			}
			if got := strings.Join(order, " "); got != c.want {
				t.Errorf("the order is %q, not %q", got, c.want)
			}
		})
	}
}

// accepted waits for the listener's connection.
func accepted(t *testing.T, ln net.Listener) string {
	t.Helper()
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return "socket"
}

func TestSessionRefused(t *testing.T) {
	for name, c := range map[string]struct {
		fault emulator.Fault
		code  int
	}{
		"access denied": {emulator.Fault{Status: 403, Body: `{"message":"no","typeKey":"AccessDeniedException"}`}, 1},
		"unauthorized":  {emulator.Fault{Status: 401, Body: `{"message":"no"}`}, 1},
		"sign-in page":  {emulator.Fault{Status: 203, Body: `<html>`, ContentType: "text/html"}, 1},
		"no pool":       {emulator.Fault{Status: 404, Body: `{"message":"no","typeKey":"TaskAgentPoolNotFoundException"}`}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			c.fault.Path = "/sessions"
			r.fault(c.fault)
			p := r.start()
			p.mustEnd(c.code)
			mustMatch(t, p.stderr(), `Failed to create session\. `)
		})
	}
}

func TestSessionConflict(t *testing.T) {
	r := newRig(t)
	first := r.start()
	r.await(emulator.EventSessionCreated)
	second := r.start()
	second.mustEnd(1)
	// The eighth try is the last: the log says 240 seconds, and the listener has waited 210.
	mustMatch(t, second.stderr(), `^A session for this agent already exists\.
\S+ \S+Z: Agent connect error: .* Retrying until reconnected\.
(A session for this agent already exists\.\n){7}Stop retry on SessionConflictException after retried for 240 seconds\.
Failed to create session\. The task agent .* already has an active session for owner`)

	third := r.start() // gets a session once the first exits
	r.eventually("the third to be refused", func() bool { return strings.Contains(third.stderr(), "Agent connect error") })
	first.signal(syscall.SIGINT)
	first.mustEnd(0)
	r.eventually("the third to get in", func() bool { return strings.Contains(third.stdout(), "Listening for Jobs") })
	third.signal(syscall.SIGINT)
	third.mustEnd(0)
}

func TestServerIsAwayAtFirst(t *testing.T) {
	r := newRig(t)
	r.fault(emulator.Fault{Path: "/sessions", Status: 503, Times: 2})
	r.fault(emulator.Fault{Path: "/messages", Reset: true, Times: 2})
	j := r.queue("echo hello\n")
	p := r.start("--once")
	p.mustEnd(0)
	if got, _ := r.em.Job(j.RequestID); got.Result != "succeeded" {
		t.Errorf("result %q", got.Result)
	}
	if n := strings.Count(p.stdout(), "Agent reconnected."); n != 2 {
		t.Errorf("reconnected %d times:\n%s", n, p.stdout())
	}
}

func TestSessionExpires(t *testing.T) {
	r := newRig(t)
	reached, release := r.hold("/messages")
	p := r.start()
	first := r.await(emulator.EventSessionCreated)
	reached()
	r.em.Advance(10 * time.Second) // twice the lifetime of a session at this scale
	r.await(emulator.EventSessionExpired)
	release()
	second := r.awaitAfter(first.Seq, emulator.EventSessionCreated)
	r.queue("echo with the new key\n")
	if ev := r.await(emulator.EventJobFinished); ev.Result != "succeeded" {
		t.Errorf("result %q", ev.Result)
	}
	p.signal(syscall.SIGINT)
	p.mustEnd(0)
	if ev := r.awaitAfter(second.Seq, emulator.EventSessionDeleted); ev.Session != second.Session {
		t.Errorf("deleted session %s, not %s", ev.Session, second.Session)
	}
}
