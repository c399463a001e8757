package lifecycle

import "time"

// This file is the draining: no further job is accepted, and the running one is
// finished.

// advanceDraining: disable, then one look decides, and a job that slipped in is
// served.
func (t *transition) advanceDraining() {
	if t.Listener == Running {
		t.scanPeriodically()
	}
	if !t.hasJob() && !reached(t.sinceGraceStart(t.budget.Drain), t.now) {
		t.cancelCut() // what AZP_ON_TERM was to cancel is over
	}
	switch {
	case t.call == Launch:
		// The listener is being started: it will be known in a moment.
	case t.Listener != Running:
		t.startRemoving()
		t.advanceRemoving()
	case t.cancels && t.hasJob() && t.tryCut(onTerm):
		t.killAt = t.stopDeadline() // what was to be drained with is spent on stopping well
	case t.Registration == Removed && t.Job == NoJob:
		t.Phase = Stopping
		t.advanceStopping()
	case !t.nothingScheduled(), t.cutAwaitsScan():
	case t.Registration == Registered && t.acceptance == notDisabled:
		t.schedule(Disable, 0)
	case t.Job != RunningJob:
		t.schedule(Inspect, 0)
	}
}

func (t *transition) disabled(r Result) {
	switch {
	case r.Outcome == OK:
		t.acceptance, t.missed = disabled, false
		t.unschedule()
	case r.Outcome == NotFound:
		if t.Phase == Draining || t.Phase == Busy {
			t.agentNotFound(Disable)
		}
	case r.retryable():
		if t.Phase == Draining || t.Phase == Busy {
			t.retryUntilDrainEnds(Disable, r)
		}
	default:
		t.acceptance = disableRefused
		t.unschedule()
	}
}

func (t *transition) inspected(e InspectResult) {
	if t.Phase == Starting && t.Listener == Absent {
		t.restartOrFinish(e.Result)
		return
	}
	if t.serving() && t.Listener == Running {
		t.recheckedAgent(e.Result)
		return
	}
	t.noteWorker(e.Worker) // whatever the server says
	if t.Phase != Draining || t.Registration == Registered && t.acceptance == notDisabled {
		return // a look from before the drain: the agent is disabled first
	}
	switch {
	case e.Outcome == NotFound:
		t.unschedule() // a DELETE will make sure of it
		t.agentNotShown(e.Worker.runs())
	case t.Job == RunningJob:
		t.unschedule() // it started while we looked; its end is the next thing to wait for
	case e.Outcome == OK:
		t.missed = false
		t.weighEvidence(e)
	case e.retryable(): // counts as busy
		t.retryUntilDrainEnds(Inspect, e.Result)
	default:
		// We may not look. The server still refuses a DELETE while a job runs, and
		// the process table shows a worker.
		if t.Job == UnknownJob && e.Worker.runs() {
			t.inspectLater()
			return
		}
		if t.Job == UnknownJob {
			t.Job = NoJob
		}
		t.startRemoving()
	}
}

// weighEvidence weighs the witnesses: one that says busy is enough, idle needs all. A
// lost socket is no witness for idle, so the two others must say it for a while.
func (t *transition) weighEvidence(e InspectResult) {
	t.assigned = e.Assigned
	if e.Assigned || e.Worker.runs() {
		t.idleSince = time.Time{}
		t.inspectLater()
		return
	}
	t.tries = 0
	switch {
	case t.Job == NoJob:
		t.startRemoving()
	case t.idleSince.IsZero():
		t.idleSince = t.now
		t.schedule(Inspect, idleConfirmTime)
	case t.now.Sub(t.idleSince) < idleConfirmTime:
		t.schedule(Inspect, idleConfirmTime-t.now.Sub(t.idleSince))
	default:
		t.Job = NoJob
		t.startRemoving()
	}
}

// inspectLater looks again, later each time.
func (t *transition) inspectLater() {
	t.tries++
	t.schedule(Inspect, min(inspectInterval<<min(t.tries-1, 8), maxRetryPause))
}

// agentNotShown is for an agent that the server does not show: only a worker is
// left to wait for. It may show late what it was told just before (docs/
// assumptions.md, read-own-write), so the agent is gone when a DELETE says so,
// which is refused while a job runs.
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
	if !t.retry(c, r, t.drainDeadline()) {
		t.next, t.when = c, t.drainDeadline() // too late for another: the deadline decides
	}
}
