package lifecycle

import "time"

// This file is the removal from the pool.

func (t *transition) startRemoving() {
	t.Phase = Removing
	t.cancelCut()
	t.patience = t.now.Add(removeTimeout)
	t.unschedule()
}

func (t *transition) advanceRemoving() {
	switch {
	case t.call != NoCall:
	case t.Registration == Registered:
		if t.next == NoCall {
			t.schedule(Remove, 0)
		}
	case t.Job != NoJob && t.Listener == Running && !reached(t.drainDeadline(), t.now):
		t.Phase = Draining // it was removed by somebody else, and its job still runs
	case t.Listener == Running:
		t.stopIdleListener()
	case t.Listener != Absent:
		t.Phase = Stopping
		if t.killAt.IsZero() {
			t.killAt = t.idleStopDeadline()
		}
	default:
		t.afterRemoval()
	}
}

func (t *transition) removeAnswered(r Result) {
	switch r.Outcome {
	case AnswerLost: // if it was acted on, the next answer is a 404
		t.missed = true
	case JobRunning: // so it is there, whatever was said before
		t.missed = false
		t.serverReportsJob()
	}
	switch {
	case r.Outcome == OK:
		t.Registration = Removed
		t.unschedule()
	case r.Outcome == NotFound:
		t.agentNotFound(Remove)
	case r.Outcome == JobRunning && t.Listener == Running && !t.served():
		t.Phase = Draining
		t.assigned = true
		t.unschedule()
		t.schedule(Inspect, inspectInterval)
	case t.Phase == Draining && r.retryable(): // a job started meanwhile: once it has ended
	case t.Phase == Stopping && (r.Outcome == JobRunning || r.retryable()): // once the listener has ended
	case r.Outcome == JobRunning, r.retryable():
		if !t.retry(Remove, r, t.removeDeadline()) {
			t.abandon(r.Err)
		}
	case !t.refused:
		// Once more: a ghost is worse than a request in vain, and a sign-in page is
		// what a service shows that is in trouble itself.
		t.refused = true
		if t.Phase == Removing && !t.retry(Remove, r, t.removeDeadline()) {
			t.abandon(r.Err)
		}
	default:
		t.abandon(r.Err)
	}
}

// serverReportsJob follows the server's word that the agent has a job, where the
// listener was killed that was to take one and had not been heard to: it died too
// soon to say so, or was not heard. The job cannot be had twice.
func (t *transition) serverReportsJob() {
	if t.Listener != Absent || t.exit.Signal == 0 || !t.policy.Once || t.Jobs > 0 {
		return
	}
	t.Jobs, t.rejoin = 1, false
	t.setEndedInJob(t.exit)
}

// agentNotFound follows a 404 to a change, which is believed when a 404 was said before:
// who answers may not have seen the agent yet, or not be the server. Until then
// the call is made once more, where it is still of use. A look (Inspect) is no
// witness: it may be answered from a copy that is late (docs/assumptions.md,
// read-own-write).
func (t *transition) agentNotFound(c Call) {
	if t.Registration != Registered || t.missed {
		t.Registration = Removed
		t.unschedule()
		return
	}
	t.missed = true
	if c != Remove || t.Phase == Removing {
		t.unschedule()
		t.schedule(c, shortPause)
	}
}

// served says that the one job of --once has come and gone: a server that still
// calls it running has not heard its end yet.
func (t *transition) served() bool { return t.policy.Once && t.Jobs > 0 && t.Job == NoJob }

// removeDeadline is when removing is given up: at the platform's deadline, or, while
// there is none, when a dead job's lock must have lapsed.
func (t *transition) removeDeadline() time.Time {
	if end := t.exitDeadline(); !end.IsZero() {
		return end
	}
	return t.patience
}
