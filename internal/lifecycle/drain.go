package lifecycle

import "time"

// This file is the end of a life: draining, removing, stopping.

func (t *turn) drainAsked(e DrainAsked) {
	if e.Clock {
		t.startClock(e.Grace)
		// A notice is no SIGTERM: what it leaves is for the job.
		t.cancels = t.cancels || (t.policy.CancelOnTerm && e.Grace == 0)
	}
	t.hearFirst()
	t.endFor(e.Reason)
}

// hearFirst notes the first word of all. Later ones change nothing.
func (t *turn) hearFirst() {
	if t.heard.IsZero() {
		t.heard = t.now
	}
}

// endFor begins to end the life, for whoever asks first; asking again changes
// nothing and extends nothing.
func (t *turn) endFor(reason string) {
	if t.Reason != "" {
		return
	}
	t.Reason, t.rejoin = reason, false
	t.decide(0, reason, nil)
	switch t.Phase {
	case Booting:
		t.leave()
	case Registering:
		t.stopRegistering()
	case Starting, Idle, Busy:
		t.Phase = Draining
		if t.call == NoCall {
			t.unplan()
		}
	}
}

// startClock begins the grace period, of the policy's length where none is given.
// One that runs is only ever made shorter: a SIGTERM in the middle of a long
// notice. What was put off is done now: there may not be time for it later.
func (t *turn) startClock(grace time.Duration) {
	if grace == 0 {
		grace = t.policy.Grace
	}
	if !t.clock.IsZero() && !t.now.Add(grace).Before(t.Deadline()) {
		return
	}
	t.clock, t.grace, t.budget = t.now, grace, Split(grace)
	t.abortAt = t.abortBy()
	if t.Phase == Stopping {
		t.killAt = earliest(t.killAt, t.stopEnds())
	}
	switch t.next {
	case LookUp, Disable, Inspect, Remove:
		t.when, t.tries = t.now, 0
	}
}

// stopRegistering ends a registration between two calls; one in flight is
// waited for.
func (t *turn) stopRegistering() {
	switch {
	case t.call != NoCall:
	case t.Registration == Asked:
		t.plan(LookUp, 0)
	default:
		t.leave()
	}
}

// personInterrupts is SIGINT. Only this signal escalates: a platform's repeated
// SIGTERM is impatience, a person's second Ctrl-C is a decision.
func (t *turn) personInterrupts() {
	t.startClock(0)
	if t.heard.IsZero() { // the first word: a limit's is none
		t.hearFirst()
		t.endFor("interrupted by a person")
		return
	}
	if t.now.Sub(t.heard) < insistAfter {
		return
	}
	t.heard = t.now
	switch t.Listener {
	case Running:
		if t.hasJob() {
			t.decide(exitPerson, "a person cancelled the job", nil)
		}
		t.interrupt()
	case Interrupted:
		t.kill()
	}
}

// hasJob says that a job runs, by the listener's or the last look's word.
func (t *turn) hasJob() bool { return t.Job == RunningJob || t.assigned }

// interrupt tells the listener to cancel its job and end.
func (t *turn) interrupt() {
	t.Listener = Interrupted
	t.do(Interrupt{})
	t.killAt = earliest(t.now.Add(t.budget.Stop), t.stopEnds())
	t.stopDraining()
}

func (t *turn) kill() {
	t.Listener = Killed
	t.do(Kill{})
	t.killAt = t.now.Add(killPatience)
	t.stopDraining()
}

// stopDraining goes on to stopping. Draining's calls are of no more use, and the
// removal must not wait for them.
func (t *turn) stopDraining() {
	if t.Phase != Draining {
		return
	}
	t.Phase = Stopping
	t.unplan()
	if t.call != NoCall {
		t.abortAt = t.now
	}
}

// proceedDraining: disable, then one look decides, and a job that slipped in is
// served.
func (t *turn) proceedDraining() {
	switch {
	case t.call == Launch:
		// The listener is being started: it will be known in a moment.
	case t.Listener != Running:
		t.startRemoving()
		t.proceedRemoving()
	case t.cancels && t.hasJob():
		t.decide(exitTryAgain, cancelOnTerm, nil)
		t.interrupt()
		t.killAt = t.stopEnds() // what was to be drained with is spent on stopping well
	case t.Registration == Removed && t.Job == NoJob:
		t.Phase = Stopping
		t.proceedStopping()
	case !t.unplanned():
	case t.Registration == Held && t.acceptance == open:
		t.plan(Disable, 0)
	case t.Job != RunningJob:
		t.plan(Inspect, 0)
	}
}

func (t *turn) disabled(r Result) {
	switch {
	case r.Outcome == OK:
		t.acceptance = closed
		t.unplan()
	case r.Outcome == Missing:
		t.Registration = Removed
		t.unplan()
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
	if t.Phase != Draining {
		return
	}
	switch {
	case e.Outcome == Missing:
		t.unplan()
		t.lookedAlone(e.Worker)
	case t.Job == RunningJob:
		t.unplan() // it started while we looked; its end is the next thing to wait for
	case e.Outcome == OK:
		t.looked(e)
	case e.worthAnotherTry(): // counts as busy
		t.tryUntilDrainEnds(Inspect, e.Result)
	default:
		// We may not look. The server still refuses a DELETE while a job runs.
		t.startRemoving()
	}
}

// looked weighs the witnesses: one that says busy is enough, idle needs all. A
// lost socket is no witness for idle, so the two others must say it for a while.
func (t *turn) looked(e Inspected) {
	t.assigned = e.Assigned || (e.Worker && t.Job == UnknownJob)
	if e.Assigned || e.Worker {
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
	case t.Job == UnknownJob && worker:
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

func (t *turn) startRemoving() {
	t.Phase = Removing
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

// stopIdleListener ends a listener whose agent is removed. One that was to take
// a single job is ending by itself.
func (t *turn) stopIdleListener() {
	t.Phase = Stopping
	t.killAt = t.stopIdleBy()
	if t.served() {
		return
	}
	if t.Job == RunningJob {
		t.decide(exitTryAgain, jobCut, nil)
	}
	t.Listener = Interrupted
	t.do(Interrupt{})
}

const jobCut = "the job was cut: the grace period's part for draining was spent"

func (t *turn) stopIdleBy() time.Time {
	return earliest(t.now.Add(t.budget.Stop), t.lastCall())
}

func (t *turn) deleted(r Result) {
	switch {
	case r.Outcome == OK || r.Outcome == Missing:
		t.Registration = Removed
		t.unplan()
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
	default:
		t.name(r.Err)
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

func (t *turn) proceedStopping() {
	switch {
	case t.Listener == Running && t.killAt.IsZero():
		t.stopIdleListener()
	case t.Listener != Absent:
	case t.Registration == Held:
		t.startRemoving()
		t.proceedRemoving()
	case t.call == NoCall:
		t.finish()
	}
}

// finish is for when the agent is removed or named, and its listener gone.
func (t *turn) finish() {
	if t.rejoin {
		t.registerAnew()
		return
	}
	t.leave()
}
