package lifecycle

import (
	"errors"
	"time"
)

// ErrOutOfTime is why an agent is named when the grace period ended first.
var ErrOutOfTime = errors.New("the grace period ended before the server had removed it")

// keepDeadlines does what is due by the clock alone. It runs at every step, so
// no deadline waits for a Tick that comes late.
func (t *turn) keepDeadlines() {
	if t.Phase == Gone {
		return
	}
	if reached(t.lastCall(), t.now) {
		t.endNow()
		return
	}
	t.keepLimits()
	if t.Phase == Gone {
		return
	}
	if reached(t.startEnds(), t.now) {
		t.giveUpStarting()
	}
	if reached(t.abortAt, t.now) {
		t.abortAt = time.Time{}
		t.do(Abort{})
	}
	switch t.Phase {
	case Draining:
		if reached(t.onClock(t.budget.Drain), t.now) {
			t.drainBudgetSpent()
		}
	case Stopping:
		if reached(t.killAt, t.now) {
			t.stopBudgetSpent()
		}
	}
}

// endNow leaves with what is there: the platform kills us otherwise. Only an azptend
// that was frozen gets here with a job that was not told to end. It looks once
// whether that job still runs, for what it knows is old.
func (t *turn) endNow() {
	if t.Listener == Running && t.endAt.IsZero() {
		t.beginCut()
		t.look()
		t.endAt = t.now.Add(lastLook)
		if last := t.Deadline().Add(-t.budget.leaveMargin() / 2); last.After(t.now) {
			t.endAt = earliest(t.endAt, last)
		}
		return
	}
	if t.call != NoCall {
		t.do(Abort{})
	}
	if t.Listener == Running && t.hasJob() {
		c := t.spentCause(t.cutSeen)
		t.decide(c.code, c.why, nil)
	}
	if t.Registration == Held || t.Registration == Asked {
		t.name(ErrOutOfTime)
	}
	if t.Phase == Booting {
		t.leaveBoot(0, t.Reason, ErrOutOfTime)
		return
	}
	t.leave()
}

// abortBy says when a call that is in flight when the platform speaks is no
// longer waited for: it may have been given more time than is left. A POST is
// waited for as long as it can still be undone, for an aborted one may be acted
// on later; a look-up is simply made again.
func (s State) abortBy() time.Time {
	switch s.call {
	case Register, Disable, Inspect, Launch: // a launch may hang with its file system
		return s.drainEnds()
	case LookUp, RemoveTwin:
		return s.clock
	case Prepare, Remove:
		return s.removalBy(s.clock)
	default:
		return time.Time{}
	}
}

// drainBudgetSpent cancels the job: what is left of the grace period is needed
// to stop it and to remove the agent.
func (t *turn) drainBudgetSpent() {
	if t.Listener == Running {
		t.cutDue(budgetSpent)
		return
	}
	t.startRemoving()
}

// removalBy is how long one removal is waited for, while a clock runs: for half
// of what is left, so that one answer that never comes is not a ghost. To repeat
// a removal is safe: one that was acted on is answered with 404.
func (s State) removalBy(now time.Time) time.Time {
	end := s.lastCall()
	if half := end.Sub(now) / 2; half > shortestTry {
		return now.Add(half)
	}
	return end
}

func (t *turn) stopBudgetSpent() {
	switch t.Listener {
	case Running, Interrupted:
		t.kill()
	default: // killed and not dead, or an update that does not end: go on without it
		t.Listener, t.Job, t.killAt = Absent, NoJob, time.Time{}
	}
}
