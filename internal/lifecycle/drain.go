package lifecycle

import "time"

// advanceDraining disables the agent, then inspects it. If the inspection shows a job,
// which was assigned just before, that job is finished first.
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
			t.drain.killAt = t.stopDeadline() // the listener gets the time of both parts, drain and stop
			return
		}
	}
	switch {
	case t.call.inFlight == Launch: // its answer says whether a listener runs
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
		t.unschedule() // it started meanwhile: wait for its end
	case e.Outcome == OK:
		t.registration.notFoundOnce = false
		t.weighEvidence(e)
	case e.retryable(): // counts as busy
		t.retryUntilDrainEnds(Inspect, e.Result)
	case e.Worker.runs():
		// This identity has no permission to inspect the agent. But the process table
		// shows a worker, and the server refuses a DELETE while a job runs.
		t.inspectLater()
	default:
		if t.Job == UnknownJob {
			t.Job = NoJob
		}
		t.startRemoving()
	}
}

// weighEvidence decides after an inspection. The agent is busy if one source says so,
// and idle if all agree. If the socket was lost, server and process table must both say
// idle for idleConfirmTime.
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

// inspectLater inspects again, after a longer pause each time.
func (t *transition) inspectLater() {
	t.call.failures++
	t.schedule(Inspect, min(inspectInterval<<min(t.call.failures-1, 8), maxRetryPause))
}

// agentNotShown follows an inspection that does not show the agent. If no worker runs,
// azptend goes on to remove the agent. The inspection proves nothing: a server may read
// from an outdated copy (docs/assumptions.md, read-own-write). The DELETE decides, and is
// refused while a job runs.
func (t *transition) agentNotShown(worker bool) {
	switch {
	case t.Job == RunningJob: // wait for its end
	case worker:
		t.inspectLater()
	default:
		t.Job = NoJob
		if t.Registration != Removed {
			t.startRemoving()
		}
	}
}

// retryUntilDrainEnds repeats a call until draining ends.
func (t *transition) retryUntilDrainEnds(c Call, r Result) {
	if !t.retry(c, r, t.lastDrainMoment()) {
		t.call.next, t.call.nextAt = c, t.lastDrainMoment() // no time for another try: the deadline decides
	}
}
