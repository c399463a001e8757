package lifecycle

import "time"

// This file is about the words that end a life: a signal, a request, a limit.

func (t *turn) drainAsked(e DrainAsked) {
	if e.Clock {
		t.startClock(e.Grace)
		// A notice is no SIGTERM: what it leaves is for the job.
		t.cancels = t.cancels || (t.policy.CancelOnTerm && e.Grace == 0)
	}
	t.hearFirst()
	t.endFor(e.Reason)
}

// hearFirst notes the first word of all. Later ones change nothing.
func (t *turn) hearFirst() {
	if t.heard.IsZero() {
		t.heard = t.now
	}
}

// endFor begins to end the life, for whoever asks first; asking again changes
// nothing and extends nothing.
func (t *turn) endFor(reason string) {
	if t.Reason != "" {
		return
	}
	t.Reason, t.rejoin = reason, false
	t.decide(0, reason, nil)
	switch t.Phase {
	case Booting:
		if t.former == 0 {
			t.leave()
		} // else it is removed first: there may be no other start
	case Registering:
		t.stopRegistering()
	case Starting, Idle, Busy:
		t.Phase = Draining
		if t.call == NoCall {
			t.unplan()
		}
	}
}

// startClock begins the grace period, of the policy's length where none is given.
// One that runs is only ever made shorter: a SIGTERM in the middle of a long
// notice. What was put off is done now: there may not be time for it later.
func (t *turn) startClock(grace time.Duration) {
	if grace == 0 {
		grace = t.policy.Grace
	}
	if !t.clock.IsZero() && !t.now.Add(grace).Before(t.Deadline()) {
		return
	}
	t.clock, t.grace, t.budget = t.now, grace, Split(grace)
	t.endAt = time.Time{}
	t.callOffCut()
	t.abortAt = t.abortBy()
	if t.Phase == Stopping {
		t.killAt = earliest(t.killAt, t.stopEnds())
	}
	switch t.next {
	case Prepare, LookUp, Disable, Inspect, Remove:
		t.when, t.tries = t.now, 0
	}
}

// stopRegistering ends a registration between two calls; one in flight is
// waited for.
func (t *turn) stopRegistering() {
	switch {
	case t.call != NoCall:
	case t.Registration == Asked:
		t.plan(LookUp, 0)
	default:
		t.leave()
	}
}

// personInterrupts is SIGINT. Only this signal escalates: a platform's repeated
// SIGTERM is impatience, a person's second Ctrl-C is a decision.
func (t *turn) personInterrupts() {
	t.startClock(0)
	if t.heard.IsZero() { // the first word: a limit's is none
		t.hearFirst()
		t.endFor("interrupted by a person")
		return
	}
	if t.now.Sub(t.heard) < insistAfter {
		return
	}
	t.heard, t.insisted = t.now, true
	if t.Phase == Booting {
		t.leaveBoot(0, "a person did not want to wait", nil)
		return
	}
	switch t.Listener {
	case Running:
		t.interrupt(byPerson)
	case Interrupted:
		t.kill()
	}
}
