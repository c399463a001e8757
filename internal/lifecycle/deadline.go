package lifecycle

import (
	"errors"
	"time"
)

// ErrOutOfTime is why an agent is named when the grace period ended first.
var ErrOutOfTime = errors.New("the grace period ended before the server had removed it")

// checkDeadlines does what is due by the clock alone. It runs at every step, so
// no deadline waits for a Tick that comes late.
func (t *transition) checkDeadlines() {
	if t.Phase == Gone {
		return
	}
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
	if reached(t.abortAt, t.now) {
		t.abortAt = time.Time{}
		t.do(AbortCall{})
	}
	switch t.Phase {
	case Draining:
		if reached(t.sinceGraceStart(t.budget.Drain), t.now) {
			t.drainBudgetSpent()
		}
	case Stopping:
		if reached(t.killAt, t.now) {
			t.stopBudgetSpent()
		}
	}
}

// exitDeadlineReached leaves with what is there: the platform kills us otherwise. Only an azptend
// that was frozen gets here with a job that was not told to end. It looks once
// whether that job still runs, for what it knows is old.
func (t *transition) exitDeadlineReached() {
	if t.Listener == Running && t.endAt.IsZero() {
		t.beginCut()
		t.scan()
		t.endAt = t.now.Add(lastScanTimeout)
		if last := t.Deadline().Add(-t.budget.exitMargin() / 2); last.After(t.now) {
			t.endAt = earliest(t.endAt, last)
		}
		return
	}
	if t.call != NoCall {
		t.do(AbortCall{})
	}
	if t.Listener == Running && t.hasJob() {
		c := t.budgetCause(t.cutSeen)
		t.setEnd(c.code, c.why, nil)
	}
	if t.Registration == Registered || t.Registration == Pending {
		t.abandon(ErrOutOfTime)
	}
	if t.Phase == Booting {
		t.finishBoot(0, t.Reason, ErrOutOfTime)
		return
	}
	t.finish()
}

// abortDeadline says when a call that is in flight when the platform speaks is no
// longer waited for: it may have been given more time than is left. A POST is
// waited for as long as it can still be undone, for an aborted one may be acted
// on later; a look-up is simply made again.
func (s State) abortDeadline() time.Time {
	switch s.call {
	case Register, Disable, Inspect, Launch: // a launch may hang with its file system
		return s.drainDeadline()
	case LookUp, RemoveConflicting:
		return s.clock
	case Prepare, Remove:
		return s.removeCallDeadline(s.clock)
	default:
		return time.Time{}
	}
}

// drainBudgetSpent cancels the job: what is left of the grace period is needed
// to stop it and to remove the agent.
func (t *transition) drainBudgetSpent() {
	if t.Listener == Running {
		t.tryCut(budgetSpent)
		return
	}
	t.startRemoving()
}

// removeCallDeadline is how long one removal is waited for, while a clock runs: for half
// of what is left, so that one answer that never comes is not a ghost. To repeat
// a removal is safe: one that was acted on is answered with 404.
func (s State) removeCallDeadline(now time.Time) time.Time {
	end := s.exitDeadline()
	if half := end.Sub(now) / 2; half > minCallTime {
		return now.Add(half)
	}
	return end
}

func (t *transition) stopBudgetSpent() {
	switch t.Listener {
	case Running, Interrupted:
		t.kill()
	default: // killed and not dead, or an update that does not end: go on without it
		t.Listener, t.Job, t.killAt = Absent, NoJob, time.Time{}
	}
}
