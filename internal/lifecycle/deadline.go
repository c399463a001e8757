package lifecycle

import (
	"errors"
	"time"
)

// ErrOutOfTime is why an agent is abandoned when the grace period is over.
var ErrOutOfTime = errors.New("the grace period ended before the server had removed it")

// checkDeadlines does what is due by time. It runs at every step, so no deadline waits
// for a late Tick.
func (t *transition) checkDeadlines() {
	if reached(t.exitDeadline(), t.now) {
		t.exitDeadlineReached()
		return
	}
	t.checkLimits()
	if t.Phase == Gone {
		return
	}
	if reached(t.readyDeadline(), t.now) {
		t.readyDeadlineReached()
	}
	if reached(t.call.abortAt, t.now) {
		t.call.abortAt = time.Time{}
		t.do(AbortCall{})
	}
	switch t.Phase {
	case Draining:
		switch {
		case !reached(t.drainPartEnd(), t.now):
		case t.Listener == Running: // the rest is needed to stop the job and to remove the agent
			t.scanBeforeCut()
			if t.cutIsDue() {
				t.interrupt(t.budgetCause(t.drain.cutScanned))
			}
		default:
			t.startRemoving()
		}
	case Stopping:
		switch {
		case !reached(t.drain.killAt, t.now):
		case t.Listener == Running || t.Listener == Interrupted:
			t.kill()
		default: // killed and not dead, or an update that does not end: go on without it
			t.Listener, t.Job, t.drain.killAt = Absent, NoJob, time.Time{}
		}
	}
}

// exitDeadlineReached finishes at once, before the platform kills azptend. If the
// listener was not interrupted before, azptend was frozen. What it knows of the job
// is old then, so it scans once more.
func (t *transition) exitDeadlineReached() {
	if t.Listener == Running && t.drain.exitAt.IsZero() {
		t.beginCut()
		t.scan()
		t.drain.exitAt = t.now.Add(lastScanTimeout)
		if last := t.Deadline().Add(-t.Budget.Remove / 20); last.After(t.now) {
			t.drain.exitAt = earliest(t.drain.exitAt, last)
		}
		return
	}
	t.exitNow(t.budgetCause(t.drain.cutScanned), ErrOutOfTime)
}

// exitNow reports an agent that the server still has, and finishes. cutBy is how the
// run ends if that cuts a job.
func (t *transition) exitNow(cutBy End, why error) {
	if t.call.inFlight != NoCall {
		t.do(AbortCall{})
	}
	if t.Listener == Running && t.hasJob() {
		t.setEnd(cutBy)
	}
	if t.Registration == Registered || t.Registration == Pending {
		t.abandon(why)
	}
	if t.Phase == Booting {
		t.finishBoot(End{Outcome: OK, Reason: t.Reason, Err: why})
		return
	}
	t.finish()
}

// abortDeadline is when the call that is in flight at the start of the grace period is
// aborted: its own deadline may be later than the grace period allows. Register gets as
// long as its agent can still be removed, because the server may act on an aborted POST
// later. A look-up is aborted at once and repeated.
func (s State) abortDeadline() time.Time {
	switch s.call.inFlight {
	case Register, Disable, Inspect, Launch: // a launch may hang with its file system
		return s.lastDrainMoment()
	case LookUp, RemoveConflicting:
		return s.drain.graceStartedAt
	case Prepare, Remove:
		return s.removeCallDeadline(s.drain.graceStartedAt)
	default:
		return time.Time{}
	}
}

// removeCallDeadline is the deadline of one removal during the grace period: half of
// the time left, so that there is time for another try if the answer is lost. Repeating
// a removal is safe: if the server has acted, it answers 404.
func (s State) removeCallDeadline(now time.Time) time.Time {
	end := s.exitDeadline()
	if half := end.Sub(now) / 2; half > minCallTime {
		return now.Add(half)
	}
	return end
}
