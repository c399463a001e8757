package lifecycle

import (
	"errors"
	"time"
)

// drainRequested follows a signal, a request or a scheduled event of the platform.
func (t *transition) drainRequested(e DrainRequested) {
	if e.StartsGrace {
		t.startGracePeriod(e.Grace, e.At)
	}
	t.drain.cancelJob = t.drain.cancelJob || (t.policy.CancelOnTerm && e.CancelsJob)
	t.startDrain(e.Reason)
}

// startDrain begins to end the run. Only the first call has an effect: later requests
// change neither the reason nor a deadline.
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
		} // otherwise remove that agent first: this may be the last start
	case Registering:
		t.stopRegistering()
	case Starting, Idle, Busy:
		t.Phase = Draining
		switch t.call.inFlight {
		case NoCall:
			t.unschedule()
		case Inspect: // its answer would be older than the drain, and a job could arrive before it
			t.do(AbortCall{})
		}
	}
}

// startGracePeriod begins the grace period; a length of 0 is the policy's. It began
// when the signal arrived, which may be a while ago. One that has begun can only become
// shorter, for example by SIGTERM after a scheduled event. A scheduled retry is made
// now, because there may be no time for it later.
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

// stopRegistering ends a registration that is under way. If a call is in flight, its
// answer decides.
func (t *transition) stopRegistering() {
	switch {
	case t.call.inFlight != NoCall:
	case t.Registration == Pending:
		t.schedule(LookUp, 0)
	default:
		t.finish()
	}
}

// userInterrupt follows SIGINT. Only this signal escalates: a platform may repeat
// SIGTERM, but a person decides to press Ctrl-C again. Other signals and requests are
// not counted, so the first SIGINT never cancels a job.
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

// errDidNotWait is why an agent is abandoned after the fourth SIGINT.
var errDidNotWait = errors.New("received SIGINT for the fourth time before the server had removed it")
