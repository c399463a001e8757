package supervisor

import (
	"fmt"
	"sync"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/lifecycle"
)

// This file is about a listener that cannot log on. What its log says is never
// believed, for jobs can write there: it is a reason to ask the server, and a hint
// for a person.

// problemState is what a listener's log has said about its trouble.
type problemState struct {
	conflict chan struct{} // closed once it has met another's session

	mu   sync.Mutex
	last agentdir.Problem // none where the server answers it

	// These are for the goroutine that reads the log.
	hasConflict bool          // held is closed
	refused     bool          // its registration is refused
	lastAsked   time.Time     // when the server was last asked about that
	pause       time.Duration // until it is asked again
}

func newProblemState() *problemState { return &problemState{conflict: make(chan struct{})} }

func (t *problemState) latest() agentdir.Problem {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last
}

func (t *problemState) note(now agentdir.Problem) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Kind == agentdir.ServerUnreachable && t.last.Kind != agentdir.NoProblem {
		return // the listener's line about an error whose name it has logged before
	}
	t.last = now
}

// When the server refuses the agent's registration, azptend asks about the agent at
// once, and then less and less often: a job that forges such lines gains one request.
const (
	askAgainMin = time.Minute
	askAgainMax = time.Hour
)

// handleProblem reacts to a trouble in the log.
func (r *runner) handleProblem(l *startedListener, t agentdir.Problem) {
	met := l.problems
	met.note(t)
	switch {
	case t.Kind == agentdir.SessionConflict:
		if met.hasConflict {
			return
		}
		met.hasConflict = true
		close(met.conflict)
		r.post(message{from: l.process, apply: (*runner).reportSessionConflict, event: lifecycle.SessionConflict{}})
	case t.Kind == agentdir.RegistrationRefused:
		if !met.refused {
			met.refused = true
			r.log.Warn("The server refuses the agent's registration: the agent may have been deleted", "agent", r.o.Name)
		}
		if time.Since(met.lastAsked) < met.pause {
			return
		}
		met.lastAsked, met.pause = time.Now(), min(max(2*met.pause, askAgainMin), askAgainMax)
		r.post(message{from: l.process, event: lifecycle.AgentMaybeDeleted{LogonRefused: true}})
	case t.Kind == agentdir.NoProblem && met.refused:
		met.refused = false
		r.log.Info("The server accepts the agent's registration again", "agent", r.o.Name)
		r.post(message{from: l.process, event: lifecycle.SessionReady{}})
	}
}

const (
	// notReadyAfter is when it is first said that a listener is not ready, and what is
	// missing; then after twice as long each time, up to warnRarely.
	notReadyAfter = time.Minute
	notReadyMax   = time.Hour
	// maxClockSkew is how far the clock may be off: from five minutes on, the server
	// refuses what a listener logs on with.
	maxClockSkew = 4 * time.Minute
)

// warnNotReady says what a listener lacks, by its log and by our clock.
func (r *runner) warnNotReady(l *startedListener, since time.Duration) {
	missing, hint := r.missing(l.problems.latest())
	r.log.Warn("The agent is not ready", "agent", r.o.Name, "for", since.Round(time.Second).String(), "missing", missing, "hint", hint)
}

func (r *runner) missing(t agentdir.Problem) (what, hint string) {
	if r.o.ClockAhead != nil {
		if ahead := r.o.ClockAhead(); ahead.Abs() >= maxClockSkew {
			return fmt.Sprintf("the right time: the server's clock and this machine's differ by %v", ahead.Abs().Round(time.Second)),
				"set the clock; in a container it is the host's"
		}
	}
	switch t.Kind {
	case agentdir.ClockSkew:
		return "the right time: the server refuses the listener's times", "set the clock; in a container it is the host's"
	case agentdir.CertificateUntrusted:
		return "trust: the listener does not trust the server's certificate",
			"set AZP_CA_FILE (--ca-file) to the certificate authority's, or install it in the image"
	case agentdir.SessionConflict:
		return "a session: another listener has one for this agent",
			"wait if that was killed: the server keeps its session for five minutes; otherwise, end the other container that uses this agent's files"
	case agentdir.RegistrationRefused:
		return "a registration: the server refuses this agent's", "check whether the agent was deleted, or registered again elsewhere"
	case agentdir.ServerUnreachable:
		return "an answer: the listener says: " + t.Text, "check that the listener can reach the server through the same proxy as azptend"
	}
	return "a session, and the listener's log does not say why", "see the listener's lines above, and its log in _diag"
}
