package lifecycle

import "time"

// advanceDraining disables the agent, then lets one inspection decide. A job that
// slipped in is finished.
func (t *transition) advanceDraining() {
	if t.Listener == Running {
		t.scanPeriodically()
	}
	if !t.hasJob() && !reached(t.drainPartEnd(), t.now) {
		t.cancelCut() // the job that AZP_ON_TERM was to cancel is over
	}
	if t.drain.cancelJob && t.hasJob() && t.Listener == Running {
		t.scanBeforeCut()
		if t.cutIsDue() {
			t.interrupt(onTerm)
			t.drain.killAt = t.stopDeadline() // the time for draining is added to that for stopping
			return
		}
	}
	switch {
	case t.call.inFlight == Launch: // whether the listener runs is known in a moment
	case t.Listener != Running:
		t.startRemoving()
		t.advanceRemoving()
	case !t.nothingScheduled(), t.cutAwaitsScan():
	case t.Registration == Removed && t.Job == NoJob:
		t.startRemoving()
		t.advanceRemoving()
	case t.Registration == Registered && t.registration.disable == notDisabled:
		t.schedule(Disable, 0)
	case t.Job != RunningJob:
		t.schedule(Inspect, 0)
	}
}

func (t *transition) disabled(r Result) {
	matters := t.Phase == Draining || t.Phase == Busy
	switch {
	case r.Outcome == OK:
		t.registration.disable, t.registration.notFoundOnce = disabled, false
		t.unschedule()
	case r.Outcome == NotFound:
		if matters {
			t.agentNotFound(Disable)
		}
	case r.retryable():
		if matters {
			t.retryUntilDrainEnds(Disable, r)
		}
	default:
		t.registration.disable = disableRefused
		t.unschedule()
	}
}

func (t *transition) inspected(e InspectResult) {
	if t.Phase == Starting && t.Listener == Absent {
		t.restartOrFinish(e.Result)
		return
	}
	if t.serving() && t.Listener == Running {
		t.agentRechecked(e.Result)
		return
	}
	t.noteWorker(e.Worker) // whatever the server says
	if t.Phase != Draining || t.Registration == Registered && t.registration.disable == notDisabled {
		return // an inspection from before the drain: the agent is disabled first
	}
	switch {
	case e.Outcome == NotFound:
		t.unschedule()
		t.agentNotShown(e.Worker.runs())
	case t.Job == RunningJob:
		t.unschedule() // it started meanwhile; its end is the next thing to wait for
	case e.Outcome == OK:
		t.registration.notFoundOnce = false
		t.weighEvidence(e)
	case e.retryable(): // counts as busy
		t.retryUntilDrainEnds(Inspect, e.Result)
	case e.Worker.runs():
		// This identity may not inspect the agent. The process table still shows a
		// worker, and the server refuses a DELETE while a job runs.
		t.inspectLater()
	default:
		if t.Job == UnknownJob {
			t.Job = NoJob
		}
		t.startRemoving()
	}
}

// weighEvidence follows an inspection. One source that says busy is enough; idle
// needs all. A lost socket says nothing, so the other two must say idle for a while.
func (t *transition) weighEvidence(e InspectResult) {
	t.session.jobAssigned = e.Assigned
	if e.Assigned || e.Worker.runs() {
		t.drain.idleSince = time.Time{}
		t.inspectLater()
		return
	}
	t.call.failures = 0
	if t.Job == UnknownJob {
		if t.drain.idleSince.IsZero() {
			t.drain.idleSince = t.now
		}
		if left := idleConfirmTime - t.now.Sub(t.drain.idleSince); left > 0 {
			t.schedule(Inspect, left)
			return
		}
		t.Job = NoJob
	}
	t.startRemoving()
}

// inspectLater inspects again, later each time.
func (t *transition) inspectLater() {
	t.call.failures++
	t.schedule(Inspect, min(inspectInterval<<min(t.call.failures-1, 8), maxRetryPause))
}

// agentNotShown follows an inspection that does not show the agent: only a worker is
// left to wait for. A server may show late what it was told just before
// (docs/assumptions.md, read-own-write). So the agent is gone only when a DELETE says
// so, which is refused while a job runs.
func (t *transition) agentNotShown(worker bool) {
	switch {
	case t.Job == RunningJob: // its end is the next thing to wait for
	case worker:
		t.inspectLater()
	default:
		t.Job = NoJob
		if t.Registration != Removed {
			t.startRemoving()
		}
	}
}

// retryUntilDrainEnds repeats a call for as long as draining lasts.
func (t *transition) retryUntilDrainEnds(c Call, r Result) {
	if !t.retry(c, r, t.lastDrainMoment()) {
		t.call.next, t.call.nextAt = c, t.lastDrainMoment() // too late for another: the deadline decides
	}
}
