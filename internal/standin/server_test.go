//go:build unix

package standin

import (
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
		again := r.start()
		again.mustEnd(1)
		mustMatch(t, again.stderr(), `^The agent no longer exists on the server\. Please reconfigure the agent\.\nFailed to create session\. `)
	})
	t.Run("unauthorized", func(t *testing.T) {
		r := newRig(t)
		r.em.SetBeliefs(emulator.Beliefs{RemovedAgentUnauthorized: true})
		p := r.start()
		r.await(emulator.EventSessionCreated)
		remove(r)
		// The refused token is asked for anew, and refused: "revoked" (6).
		p.mustEnd(0)
		mustMatch(t, p.stderr(), `revoked`)
	})
	t.Run("token revoked", func(t *testing.T) {
		r := newRig(t)
		r.fault(emulator.Fault{Path: "/sessions", Status: 401, Body: `{"message":"revoked","typeKey":"TaskAgentAccessTokenExpiredException"}`})
		r.start().mustEnd(0)
	})
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
	mustMatch(t, second.stderr(), `Stop retry on SessionConflictException after retried for 240 seconds\.\nFailed to create session\. The task agent .* already has an active session for owner`)
	mustMatch(t, second.stdout(), `Agent connect error: .*Retrying until reconnected\.\n`)

	third := r.start() // gets in once the first leaves
	r.eventually("the third to be refused", func() bool { return strings.Contains(third.stdout(), "Agent connect error") })
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
	r.em.Advance(10 * time.Second) // twice the session's life at this scale
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
