package lifecycle

import "time"

// This file is about the words that end a life: a signal, a request, a limit.

func (t *transition) drainRequested(e DrainRequested) {
	if e.WithDeadline {
		t.startGracePeriod(e.Grace)
		// A notice is no SIGTERM: what it leaves is for the job.
		t.cancels = t.cancels || (t.policy.CancelOnTerm && e.Grace == 0)
	}
	t.noteFirstRequest()
	t.startDrain(e.Reason)
}

// noteFirstRequest notes the first word of all. Later ones change nothing.
func (t *transition) noteFirstRequest() {
	if t.heard.IsZero() {
		t.heard = t.now
	}
}

// startDrain begins to end the life, for whoever asks first; asking again changes
// nothing and extends nothing.
func (t *transition) startDrain(reason string) {
	if t.Reason != "" {
		return
	}
	t.Reason, t.rejoin = reason, false
	t.setEnd(0, reason, nil)
	switch t.Phase {
	case Booting:
		if t.former == 0 {
			t.finish()
		} // else it is removed first: there may be no other start
	case Registering:
		t.stopRegistering()
	case Starting, Idle, Busy:
		t.Phase = Draining
		if t.call == NoCall {
			t.unschedule()
		}
	}
}

// startGracePeriod begins the grace period, of the policy's length where none is given.
// One that runs is only ever made shorter: a SIGTERM in the middle of a long
// notice. What was put off is done now: there may not be time for it later.
func (t *transition) startGracePeriod(grace time.Duration) {
	if grace == 0 {
		grace = t.policy.Grace
	}
	if !t.clock.IsZero() && !t.now.Add(grace).Before(t.Deadline()) {
		return
	}
	t.clock, t.grace, t.budget = t.now, grace, SplitGrace(grace)
	t.endAt = time.Time{}
	t.cancelCut()
	t.abortAt = t.abortDeadline()
	if t.Phase == Stopping {
		t.killAt = earliest(t.killAt, t.stopDeadline())
	}
	switch t.next {
	case Prepare, LookUp, Disable, Inspect, Remove:
		t.when, t.tries = t.now, 0
	}
}

// stopRegistering ends a registration between two calls; one in flight is
// waited for.
func (t *transition) stopRegistering() {
	switch {
	case t.call != NoCall:
	case t.Registration == Pending:
		t.schedule(LookUp, 0)
	default:
		t.finish()
	}
}

// userInterrupt is SIGINT. Only this signal escalates: a platform's repeated
// SIGTERM is impatience, a person's second Ctrl-C is a decision.
func (t *transition) userInterrupt() {
	t.startGracePeriod(0)
	if t.heard.IsZero() { // the first word: a limit's is none
		t.noteFirstRequest()
		t.startDrain("interrupted by a person")
		return
	}
	if t.now.Sub(t.heard) < secondInterruptAfter {
		return
	}
	t.heard, t.insisted = t.now, true
	if t.Phase == Booting {
		t.finishBoot(0, "a person did not want to wait", nil)
		return
	}
	switch t.Listener {
	case Running:
		t.interrupt(byUser)
	case Interrupted:
		t.kill()
	}
}
