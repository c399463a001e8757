package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/azptend/azptend/internal/supervisor"
)

// agent is one azptend with its listener, from the pod's creation to its end.
type agent struct {
	w         *world
	payer     string
	born      time.Duration
	running   bool // its pod runs
	watched   bool // its listener runs: azptend looks whether it is still in its pool
	listening bool // its session exists
	enabled   bool // it is given jobs
	job       *job
	served    bool // it has had its one job
	gone      bool
	rests     int // how often it came to rest, for the idle timeout
	polling   polling
	online    time.Duration // since when it listens
	notBefore time.Duration // the server's wish, for the next call
}

func (a *agent) free() bool { return a.listening && a.enabled && a.job == nil }

// launch starts an agent. Those that stay are there already, but for azptend.
func (w *world) launch() {
	a := &agent{w: w, payer: fmt.Sprintf("%s %d", agentsIdentity, w.next%w.Identities), born: w.now}
	w.next++
	w.agents = append(w.agents, a)
	w.out.Lives++
	w.out.Peak = max(w.out.Peak, len(w.agents))
	w.after(w.podStart(), func() {
		a.running = true
		w.after(w.looks.between(supervisor.MinPresenceInterval, supervisor.MaxPresenceInterval), a.look)
		a.asks(a.life().Start, func() {
			a.watched = true
			w.after(w.between(listenerUp, listenerUp+listenerVary), a.listens)
		}, a.givesUp)
	})
}

// look is azptend's check that its agent is still in its pool (internal/supervisor/presence.go):
// one request, which is not made again when it is refused.
func (a *agent) look() {
	if a.gone {
		return
	}
	if a.watched {
		a.w.out.Looks++
		a.ask(rosterLook, a.w.now, 0, func() {}, func() {})
	}
	a.w.after(a.w.looks.between(supervisor.MinPresenceInterval, supervisor.MaxPresenceInterval), a.look)
}

func (a *agent) life() lifeCalls {
	switch {
	case a.w.Residents > 0:
		return residentLife
	case a.served:
		return onceLife
	}
	return idleLife
}

func (a *agent) listens() {
	a.listening, a.enabled, a.online = true, true, a.w.now
	a.polling.since = a.w.now
	a.asks(a.life().Ready, func() {}, func() {})
	a.rest()
	a.w.assign()
}

// rest is when it waits for a job; who waits for too long leaves.
func (a *agent) rest() {
	a.rests++
	rest := a.rests
	if a.w.Idle > 0 && a.w.Residents == 0 {
		a.w.after(a.w.Idle, func() {
			if rest == a.rests && a.free() {
				a.enabled = false // the PATCH; that a job may come before it is a race that azptend wins
				a.w.out.IdleOuts++
				a.leaves()
			}
		})
	}
}

// give has an agent take a job, when it next looks.
func (w *world) give(a *agent, j *job) {
	if a.job != nil || a.served && w.Residents == 0 {
		w.err = fmt.Errorf("an agent is given a second job at %s", w.now)
		return
	}
	a.job = j
	a.rests++
	w.after(a.polling.sees(w.now, w.between)+roundTrip, func() {
		w.receive(j)
		w.after(workerUp, func() { a.works(j) })
	})
}

func (a *agent) works(j *job) {
	w := a.w
	w.out.Jobs++
	w.out.Waits = append(w.out.Waits, w.now-j.queued)
	if w.Residents == 0 {
		a.served, a.enabled = true, false
		a.asks(a.life().Busy, func() {}, func() {})
	}
	w.after(j.length, func() {
		w.busy--
		w.started--
		w.out.Worked += j.length
		listenerJob(w.out.Listener, j.length)
		a.job = nil
		if w.Residents > 0 {
			a.rest()
		} else {
			a.leaves()
		}
		w.assign()
	})
}

// leaves is the removal, once the listener has ended.
func (a *agent) leaves() {
	a.watched = false
	a.asks(a.life().End, a.ends, a.givesUp)
}

// asks makes calls one after the other. A delayed answer is waited for, and what the
// server then asks for is heeded before the next; a refused call is made again.
func (a *agent) asks(calls []call, then, never func()) {
	if len(calls) == 0 {
		then()
		return
	}
	a.ask(calls[0], a.w.now, limitPatience, func() { a.asks(calls[1:], then, never) }, never)
}

// What azptend makes of the limit: internal/azdo/throttle.go and
// internal/lifecycle/patience.go.
const (
	longestHeed   = time.Minute      // of a Retry-After that came with an answer
	callPatience  = 45 * time.Second // of which a pause may be two thirds; else it goes at once
	limitPatience = 15 * time.Minute
)

// ask makes a call, and makes it again when it is refused until patience has passed
// since first.
func (a *agent) ask(c call, first, patience time.Duration, then, never func()) {
	w := a.w
	if wish := a.notBefore - w.now; wish > 0 && wish <= callPatience*2/3 {
		w.after(wish, func() { a.ask(c, first, patience, then, never) })
		return
	}
	t := w.charge(a.payer, agentsIdentity, c)
	if t.RetryAfter > 0 {
		pause := min(t.RetryAfter, longestHeed)
		a.notBefore = w.now + t.Delay + w.between(pause, pause*5/4)
	}
	switch {
	case !t.Refuse:
		w.after(roundTrip+t.Delay, then)
	case w.now-first >= patience:
		never()
	default:
		w.after(w.between(t.RetryAfter, t.RetryAfter*3/2), func() { a.ask(c, first, patience, then, never) })
	}
}

func (a *agent) givesUp() {
	a.w.out.GaveUp++
	a.ends()
}

// ends is the end of azptend, and a little later of the pod.
func (a *agent) ends() {
	w := a.w
	a.enabled = false
	w.after(podEnd, func() {
		a.gone = true
		w.leaveBooks(a)
		if i := slices.Index(w.agents, a); i >= 0 {
			w.agents = slices.Delete(w.agents, i, i+1)
		}
	})
}

// leaveBooks adds an agent's life to the outcome.
func (w *world) leaveBooks(a *agent) {
	w.out.AgentsOn += w.now - a.born
	if a.listening {
		a.polling.advance(w.now, w.between)
		listenerLife(w.out.Listener, a.polling.polls, w.now-a.online)
	}
}
