package lifecycle

import "time"

func (t *transition) startRemoving() {
	t.Phase = Removing
	t.cancelCut()
	t.drain.stopSince = time.Time{}
	t.call.giveUpAt = t.now.Add(removeTimeout)
	t.unschedule()
}

func (t *transition) advanceRemoving() {
	switch {
	case t.call.inFlight != NoCall:
	case t.Registration == Registered:
		if t.call.next == NoCall {
			t.schedule(Remove, 0)
		}
	case t.Job != NoJob && t.Listener == Running:
		t.Phase = Draining // somebody else removed the agent, and its job still runs
	case t.Listener == Running:
		t.stopIdleListener()
	case t.Listener != Absent:
		t.Phase = Stopping
		if t.drain.killAt.IsZero() {
			t.drain.killAt = t.idleStopDeadline()
		}
	default:
		t.afterRemoval()
	}
}

func (t *transition) removeAnswered(r Result) {
	switch r.Outcome {
	case AnswerLost: // if the server acted on it, the next answer is a 404
		t.registration.notFoundOnce = true
	case JobRunning: // the agent exists, whatever earlier answers said
		t.registration.notFoundOnce = false
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
		t.session.jobAssigned = true
		t.unschedule()
		t.schedule(Inspect, inspectInterval)
	case t.Phase == Draining && r.retryable(): // a job started meanwhile: remove again after it
	case t.Phase == Stopping && (r.Outcome == JobRunning || r.retryable()): // remove again after the listener's exit
	case r.Outcome == JobRunning, r.retryable():
		t.retryRemove(r)
	case !t.registration.removeRefused:
		// Try once more, to avoid a ghost: a service in trouble may answer with a
		// sign-in page.
		t.registration.removeRefused = true
		if t.Phase == Removing {
			t.retryRemove(r)
		}
	default:
		t.abandon(r.Err)
	}
}

// retryRemove repeats the removal until the exit deadline. If there is none, it repeats
// it for removeTimeout: the lock of a dead job must have expired by then.
func (t *transition) retryRemove(r Result) {
	until := t.exitDeadline()
	if until.IsZero() {
		until = t.call.giveUpAt
	}
	if !t.retry(Remove, r, until) {
		t.abandon(r.Err)
	}
}

// serverReportsJob counts the job of a run with Once whose listener was killed before
// it reported a job, if the server says that the agent has one.
func (t *transition) serverReportsJob() {
	if t.Listener != Absent || t.session.lastExit.Signal == 0 || !t.policy.Once || t.Jobs > 0 {
		return
	}
	t.Jobs, t.registration.reregister = 1, false
	t.setEnd(exitedInJob(t.session.lastExit))
}

// agentNotFound follows a 404 to a PATCH or DELETE of the agent. Only a second one counts:
// the first may come from an outdated copy, or from a proxy. After the first one the call
// is repeated if it is still useful. An inspection proves nothing, because it may be
// answered from an outdated copy (docs/assumptions.md, read-own-write).
func (t *transition) agentNotFound(c Call) {
	if t.Registration != Registered || t.registration.notFoundOnce {
		t.Registration = Removed
		t.unschedule()
		return
	}
	t.registration.notFoundOnce = true
	if c != Remove || t.Phase == Removing {
		t.unschedule()
		t.schedule(c, shortPause)
	}
}

// served says that the one job of a run with Once is over. The server may report it as
// running for a while.
func (t *transition) served() bool { return t.policy.Once && t.Jobs > 0 && t.Job == NoJob }

// afterRemoval is called when the agent is removed or abandoned and its listener is
// gone.
func (t *transition) afterRemoval() {
	switch {
	case t.registration.reregister && t.Registration == External: // a previous run's listener has exited
		t.registration.reregister, t.Phase = false, Starting
		t.unschedule()
		t.schedule(Launch, 0)
	case t.registration.reregister:
		t.startReregistering()
	default:
		t.finish()
	}
}
