package lifecycle

import "time"

// This file is the removal from the pool.

func (t *turn) startRemoving() {
	t.Phase = Removing
	t.callOffCut()
	t.patience = t.now.Add(removePatience)
	t.unplan()
}

func (t *turn) proceedRemoving() {
	switch {
	case t.call != NoCall:
	case t.Registration == Held:
		if t.next == NoCall {
			t.plan(Remove, 0)
		}
	case t.Job != NoJob && t.Listener == Running && !reached(t.drainEnds(), t.now):
		t.Phase = Draining // it was removed by somebody else, and its job still runs
	case t.Listener == Running:
		t.stopIdleListener()
	case t.Listener != Absent:
		t.Phase = Stopping
		if t.killAt.IsZero() {
			t.killAt = t.stopIdleBy()
		}
	default:
		t.finish()
	}
}

func (t *turn) deleted(r Result) {
	switch r.Outcome {
	case Lost: // if it was acted on, the next answer is a 404
		t.missed = true
	case JobRunning: // so it is there, whatever was said before
		t.missed = false
		t.jobWitnessed()
	}
	switch {
	case r.Outcome == OK:
		t.Registration = Removed
		t.unplan()
	case r.Outcome == Missing:
		t.missing(Remove)
	case r.Outcome == JobRunning && t.Listener == Running && !t.served():
		t.Phase = Draining
		t.assigned = true
		t.unplan()
		t.plan(Inspect, recheck)
	case t.Phase == Draining && r.worthAnotherTry(): // a job started meanwhile: once it has ended
	case t.Phase == Stopping && (r.Outcome == JobRunning || r.worthAnotherTry()): // once the listener has ended
	case r.Outcome == JobRunning, r.worthAnotherTry():
		if !t.tryAgain(Remove, r, t.removeEnds()) {
			t.name(r.Err)
		}
	case !t.refused:
		// Once more: a ghost is worse than a request in vain, and a sign-in page is
		// what a service shows that is in trouble itself.
		t.refused = true
		if t.Phase == Removing && !t.tryAgain(Remove, r, t.removeEnds()) {
			t.name(r.Err)
		}
	default:
		t.name(r.Err)
	}
}

// jobWitnessed follows the server's word that the agent has a job, where the
// listener was killed that was to take one and had not been heard to: it died too
// soon to say so, or was not heard. The job cannot be had twice.
func (t *turn) jobWitnessed() {
	if t.Listener != Absent || t.exit.Signal == 0 || !t.policy.Once || t.Jobs > 0 {
		return
	}
	t.Jobs, t.rejoin = 1, false
	t.decideEndedInJob(t.exit)
}

// missing follows a 404 to a change, which is believed when a 404 was said before:
// who answers may not have seen the agent yet, or not be the server. Until then
// the call is made once more, where it is still of use. A look (Inspect) is no
// witness: it may be answered from a copy that is late (docs/assumptions.md,
// read-own-write).
func (t *turn) missing(c Call) {
	if t.Registration != Held || t.missed {
		t.Registration = Removed
		t.unplan()
		return
	}
	t.missed = true
	if c != Remove || t.Phase == Removing {
		t.unplan()
		t.plan(c, shortestPause)
	}
}

// served says that the one job of --once has come and gone: a server that still
// calls it running has not heard its end yet.
func (t *turn) served() bool { return t.policy.Once && t.Jobs > 0 && t.Job == NoJob }

// removeEnds is when removing is given up: at the platform's deadline, or, while
// there is none, when a dead job's lock must have lapsed.
func (t *turn) removeEnds() time.Time {
	if end := t.lastCall(); !end.IsZero() {
		return end
	}
	return t.patience
}
