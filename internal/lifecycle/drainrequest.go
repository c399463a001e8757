package lifecycle

import "time"

// drainRequested follows a signal, a request or an announcement of the platform.
func (t *transition) drainRequested(e DrainRequested) {
	if e.WithDeadline {
		t.startGracePeriod(e.Grace)
		// An announced length is no SIGTERM: the job gets that time.
		t.drain.cancelJob = t.drain.cancelJob || (t.policy.CancelOnTerm && e.Grace == 0)
	}
	if t.drain.lastRequestAt.IsZero() {
		t.drain.lastRequestAt = t.now
	}
	t.startDrain(e.Reason)
}

// startDrain begins to end the run, for the first reason that asks for it. Asking
// again changes and extends nothing.
func (t *transition) startDrain(reason string) {
	if t.Reason != "" {
		return
	}
	t.Reason, t.registration.reregister = reason, false
	t.setEnd(End{Outcome: OK, Reason: reason})
	switch t.Phase {
	case Booting:
		if t.registration.previousID == 0 {
			t.finish()
		} // else that agent is removed first: there may be no other start
	case Registering:
		t.stopRegistering()
	case Starting, Idle, Busy:
		t.Phase = Draining
		switch t.call.inFlight {
		case NoCall:
			t.unschedule()
		case Inspect: // its answer is about the time before the drain, and a job could come while it is waited for
			t.do(AbortCall{})
		}
	}
}

// startGracePeriod begins the grace period; a length of 0 is the policy's. One that
// has begun can only become shorter, by a SIGTERM during a long announcement. Calls
// that were put off are made now: there may be no time for them later.
func (t *transition) startGracePeriod(grace time.Duration) {
	if grace == 0 {
		grace = t.policy.Grace
	}
	if !t.drain.graceStartedAt.IsZero() && !t.now.Add(grace).Before(t.Deadline()) {
		return
	}
	t.drain.graceStartedAt, t.drain.grace, t.budget = t.now, grace, SplitGrace(grace)
	t.drain.exitAt = time.Time{}
	t.cancelCut()
	t.call.abortAt = t.abortDeadline()
	if t.Phase == Stopping {
		t.drain.killAt = earliest(t.drain.killAt, t.stopDeadline())
	}
	switch t.call.next {
	case Prepare, LookUp, Disable, Inspect, Remove:
		t.call.nextAt, t.call.failures = t.now, 0
	}
}

// stopRegistering ends a registration between two calls. A call in flight is
// waited for.
func (t *transition) stopRegistering() {
	switch {
	case t.call.inFlight != NoCall:
	case t.Registration == Pending:
		t.schedule(LookUp, 0)
	default:
		t.finish()
	}
}

// userInterrupt is SIGINT. Only this signal escalates: a platform may repeat
// SIGTERM, but a second Ctrl-C is a person's decision.
func (t *transition) userInterrupt() {
	t.startGracePeriod(0)
	if t.drain.lastRequestAt.IsZero() { // the first request: a limit is none
		t.drain.lastRequestAt = t.now
		t.startDrain("received SIGINT")
		return
	}
	if t.now.Sub(t.drain.lastRequestAt) < secondInterruptAfter {
		return
	}
	t.drain.lastRequestAt = t.now
	if t.Phase == Booting {
		t.finishBoot(End{Outcome: OK, Reason: "received SIGINT again before an agent was started"})
		return
	}
	switch t.Listener {
	case Running:
		t.interrupt(byUser)
	case Interrupted:
		t.kill()
	}
}
