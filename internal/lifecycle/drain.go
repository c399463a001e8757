package lifecycle

import "time"

// This file is the draining: no further job is accepted, and the running one is
// finished.

// proceedDraining: disable, then one look decides, and a job that slipped in is
// served.
func (t *turn) proceedDraining() {
	if t.Listener == Running {
		t.watchWork()
	}
	if !t.hasJob() && !reached(t.onClock(t.budget.Drain), t.now) {
		t.callOffCut() // what AZP_ON_TERM was to cancel is over
	}
	switch {
	case t.call == Launch:
		// The listener is being started: it will be known in a moment.
	case t.Listener != Running:
		t.startRemoving()
		t.proceedRemoving()
	case t.cancels && t.hasJob() && t.cutDue(onTerm):
		t.killAt = t.stopEnds() // what was to be drained with is spent on stopping well
	case t.Registration == Removed && t.Job == NoJob:
		t.Phase = Stopping
		t.proceedStopping()
	case !t.unplanned(), t.cutUnseen():
	case t.Registration == Held && t.acceptance == open:
		t.plan(Disable, 0)
	case t.Job != RunningJob:
		t.plan(Inspect, 0)
	}
}

func (t *turn) disabled(r Result) {
	switch {
	case r.Outcome == OK:
		t.acceptance, t.missed = closed, false
		t.unplan()
	case r.Outcome == Missing:
		if t.Phase == Draining || t.Phase == Busy {
			t.missing(Disable)
		}
	case r.worthAnotherTry():
		if t.Phase == Draining || t.Phase == Busy {
			t.tryUntilDrainEnds(Disable, r)
		}
	default:
		t.acceptance = stuck
		t.unplan()
	}
}

func (t *turn) inspected(e Inspected) {
	if t.Phase == Starting && t.Listener == Absent {
		t.endExplained(e.Result)
		return
	}
	if t.serving() && t.Listener == Running {
		t.doubtAnswered(e.Result)
		return
	}
	t.see(e.Work) // whatever the server says
	if t.Phase != Draining || t.Registration == Held && t.acceptance == open {
		return // a look from before the drain: the agent is disabled first
	}
	switch {
	case e.Outcome == Missing:
		t.unplan() // a DELETE will make sure of it
		t.lookedAlone(e.Work.worker())
	case t.Job == RunningJob:
		t.unplan() // it started while we looked; its end is the next thing to wait for
	case e.Outcome == OK:
		t.missed = false
		t.looked(e)
	case e.worthAnotherTry(): // counts as busy
		t.tryUntilDrainEnds(Inspect, e.Result)
	default:
		// We may not look. The server still refuses a DELETE while a job runs, and
		// the process table shows a worker.
		if t.Job == UnknownJob && e.Work.worker() {
			t.lookLater()
			return
		}
		if t.Job == UnknownJob {
			t.Job = NoJob
		}
		t.startRemoving()
	}
}

// looked weighs the witnesses: one that says busy is enough, idle needs all. A
// lost socket is no witness for idle, so the two others must say it for a while.
func (t *turn) looked(e Inspected) {
	t.assigned = e.Assigned
	if e.Assigned || e.Work.worker() {
		t.idleSince = time.Time{}
		t.lookLater()
		return
	}
	t.tries = 0
	switch {
	case t.Job == NoJob:
		t.startRemoving()
	case t.idleSince.IsZero():
		t.idleSince = t.now
		t.plan(Inspect, settle)
	case t.now.Sub(t.idleSince) < settle:
		t.plan(Inspect, settle-t.now.Sub(t.idleSince))
	default:
		t.Job = NoJob
		t.startRemoving()
	}
}

// lookLater looks again, later each time.
func (t *turn) lookLater() {
	t.tries++
	t.plan(Inspect, min(recheck<<min(t.tries-1, 8), longestPause))
}

// lookedAlone is for an agent that the server does not show: only a worker is
// left to wait for. It may show late what it was told just before (docs/
// assumptions.md, read-own-write), so the agent is gone when a DELETE says so,
// which is refused while a job runs.
func (t *turn) lookedAlone(worker bool) {
	switch {
	case t.Job == RunningJob: // its end is the next thing to wait for
	case worker:
		t.lookLater()
	default:
		t.Job = NoJob
		if t.Registration != Removed {
			t.startRemoving()
		}
	}
}

// tryUntilDrainEnds repeats a call for as long as draining lasts.
func (t *turn) tryUntilDrainEnds(c Call, r Result) {
	if !t.tryAgain(c, r, t.drainEnds()) {
		t.next, t.when = c, t.drainEnds() // too late for another: the deadline decides
	}
}
