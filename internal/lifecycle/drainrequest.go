package lifecycle

import (
	"errors"
	"time"
)

// drainRequested follows a signal, a request or an announcement of the platform.
func (t *transition) drainRequested(e DrainRequested) {
	if e.StartsGrace {
		t.startGracePeriod(e.Grace, e.At)
	}
	t.drain.cancelJob = t.drain.cancelJob || (t.policy.CancelOnTerm && e.CancelsJob)
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

// startGracePeriod begins the grace period; a length of 0 is the policy's. It began
// when the signal arrived, which may be a while ago. One that has begun can only become
// shorter, by a SIGTERM during a long announcement. Calls that were put off are made
// now: there may be no time for them later.
func (t *transition) startGracePeriod(grace time.Duration, at time.Time) {
	if grace == 0 {
		grace = t.policy.Grace
	}
	at = earliest(at, t.now)
	if !t.drain.graceStartedAt.IsZero() && !at.Add(grace).Before(t.Deadline()) {
		return
	}
	t.drain.graceStartedAt, t.drain.grace, t.Budget = at, grace, SplitGrace(grace)
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

// userInterrupt is SIGINT. Only this signal escalates: a platform may repeat SIGTERM,
// but a second Ctrl-C is a person's decision. Only SIGINT is counted, so the first one
// cancels no job, whatever was asked for before.
func (t *transition) userInterrupt(e UserInterrupt) {
	at := earliest(e.At, t.now)
	if t.Interrupts > 0 && at.Sub(t.drain.interruptedAt) < secondInterruptAfter {
		return
	}
	t.Interrupts, t.drain.interruptedAt = t.Interrupts+1, at
	t.startGracePeriod(0, at)
	switch {
	case t.Interrupts == 1:
		t.startDrain("received SIGINT")
	case t.Phase == Booting:
		t.finishBoot(End{Outcome: OK, Reason: "received SIGINT again before an agent was started"})
	case t.Interrupts == 2:
		if t.Listener == Running {
			t.interrupt(byUser)
		}
	case t.Interrupts == 3:
		if t.Listener == Running { // it was not running yet when the second one came
			t.drain.interruptCause, t.drain.mayBeCut = byUser, t.hasJob()
		}
		if t.Listener == Running || t.Listener == Interrupted {
			t.kill()
		}
	default:
		t.exitNow(byUser, errDidNotWait)
	}
}

// errDidNotWait is why an agent is abandoned when a person insisted.
var errDidNotWait = errors.New("received SIGINT for the fourth time before the server had removed it")
