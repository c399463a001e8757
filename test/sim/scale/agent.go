package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/azptend/azptend/internal/supervisor"
)

// agent is one azptend with its listener, from the creation of the pod to its end.
type agent struct {
	w         *simulation
	identity  string
	group     int
	born      time.Duration
	running   bool // its pod runs
	watched   bool // its listener runs: azptend checks that it is still in its pool
	listening bool // its session exists
	enabled   bool // the server assigns jobs to it
	job       *job
	served    bool // it has run its one job
	gone      bool
	idleCount int // how often it became idle, for the idle timeout
	polling   polling
	online    time.Duration // since when it listens
	notBefore time.Duration // when the next call may be made, by Retry-After
}

func (a *agent) free() bool { return a.listening && a.enabled && a.job == nil }

// launch starts an agent of a group.
func (w *simulation) launch(group int) {
	a := &agent{w: w, identity: fmt.Sprintf("%s %d", agentsIdentity, w.next%w.Identities), group: group, born: w.now}
	w.next++
	w.agents = append(w.agents, a)
	w.out.Started++
	w.out.Peak = max(w.out.Peak, len(w.agents))
	w.after(w.podStart(), func() {
		a.running = true
		w.after(w.presence.between(supervisor.MinPresenceInterval, supervisor.MaxPresenceInterval), a.checkPresence)
		a.makeCalls(a.calls().Start, func() {
			a.watched = true
			w.after(w.between(listenerUp, listenerUp+listenerVary), a.startListening)
		}, a.givesUp)
	})
}

// checkPresence is azptend's check that its agent is still in its pool
// (internal/supervisor/presence.go): one request, which is not repeated if it is refused.
func (a *agent) checkPresence() {
	if a.gone {
		return
	}
	if a.watched {
		a.w.out.PresenceChecks++
		a.makeCall(presenceCheck, a.w.now, 0, func() {}, func() {})
	}
	a.w.after(a.w.presence.between(supervisor.MinPresenceInterval, supervisor.MaxPresenceInterval), a.checkPresence)
}

func (a *agent) calls() runCalls {
	switch {
	case a.w.LongLived > 0:
		return longLivedRun
	case a.served:
		return onceRun
	}
	return idleRun
}

func (a *agent) startListening() {
	a.listening, a.enabled, a.online = true, true, a.w.now
	a.polling.since = a.w.now
	a.makeCalls(a.calls().Ready, func() {}, func() {})
	a.startIdle()
	a.w.assign()
}

// startIdle starts the idle timeout.
func (a *agent) startIdle() {
	a.idleCount++
	n := a.idleCount
	if a.w.Idle > 0 && a.w.LongLived == 0 {
		a.w.after(a.w.Idle, func() {
			if n == a.idleCount && a.free() {
				a.enabled = false // the PATCH; the model leaves out that a job can be assigned before it
				a.w.out.IdleOuts++
				a.remove()
			}
		})
	}
}

// give assigns a job to an agent, which receives it at its next poll.
func (w *simulation) give(a *agent, j *job) {
	if a.job != nil || a.served && w.LongLived == 0 {
		w.err = fmt.Errorf("an agent is given a second job at %s", w.now)
		return
	}
	a.job = j
	a.idleCount++
	w.after(a.polling.delay(w.now, w.between)+roundTrip, func() {
		w.receive(j)
		w.after(workerUp, func() { a.runJob(j) })
	})
}

func (a *agent) runJob(j *job) {
	w := a.w
	w.out.Jobs++
	w.out.Waits = append(w.out.Waits, w.now-j.queued)
	if w.LongLived == 0 {
		a.served, a.enabled = true, false
		a.makeCalls(a.calls().Busy, func() {}, func() {})
	}
	w.after(j.length, func() {
		w.busy--
		w.started[j.group]--
		w.out.Worked += j.length
		addListenerJob(w.out.Listener, j.length)
		a.job = nil
		if w.LongLived > 0 {
			a.startIdle()
		} else {
			a.remove()
		}
		w.assign()
	})
}

// remove removes the agent, after its listener has exited.
func (a *agent) remove() {
	a.watched = false
	a.makeCalls(a.calls().End, a.exit, a.givesUp)
}

// makeCalls makes calls one after the other. It waits for a delayed answer, respects
// Retry-After before the next call, and repeats a refused call.
func (a *agent) makeCalls(calls []call, then, giveUp func()) {
	if len(calls) == 0 {
		then()
		return
	}
	a.makeCall(calls[0], a.w.now, limitPatience, func() { a.makeCalls(calls[1:], then, giveUp) }, giveUp)
}

// How azptend reacts to the limit: internal/azdo/throttle.go and
// internal/lifecycle/patience.go.
const (
	longestHeed   = time.Minute      // of a Retry-After in a successful answer
	callPatience  = 45 * time.Second // a pause may be two thirds of it; azptend ignores a longer one
	limitPatience = 15 * time.Minute
)

// makeCall makes a call, and repeats it when it is refused until patience has passed since
// first.
func (a *agent) makeCall(c call, first, patience time.Duration, then, giveUp func()) {
	w := a.w
	if delay := a.notBefore - w.now; delay > 0 && delay <= callPatience*2/3 {
		w.after(delay, func() { a.makeCall(c, first, patience, then, giveUp) })
		return
	}
	t := w.charge(a.identity, agentsIdentity, c)
	if t.RetryAfter > 0 {
		pause := min(t.RetryAfter, longestHeed)
		a.notBefore = w.now + t.Delay + w.between(pause, pause*5/4)
	}
	switch {
	case !t.Refuse:
		w.after(roundTrip+t.Delay, then)
	case w.now-first >= patience:
		giveUp()
	default:
		w.after(w.between(t.RetryAfter, t.RetryAfter*3/2), func() { a.makeCall(c, first, patience, then, giveUp) })
	}
}

func (a *agent) givesUp() {
	a.w.out.GaveUp++
	a.exit()
}

// exit is azptend's exit, and a little later the pod's end.
func (a *agent) exit() {
	w := a.w
	a.enabled = false
	w.after(podEnd, func() {
		a.gone = true
		w.countAgent(a)
		if i := slices.Index(w.agents, a); i >= 0 {
			w.agents = slices.Delete(w.agents, i, i+1)
		}
	})
}

// countAgent adds an agent's time and its listener's calls to the outcome.
func (w *simulation) countAgent(a *agent) {
	w.out.AgentsOn += w.now - a.born
	if a.listening {
		a.polling.advance(w.now, w.between)
		addListenerRun(w.out.Listener, a.polling.polls, w.now-a.online)
	}
}
