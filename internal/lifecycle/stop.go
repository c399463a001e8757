package lifecycle

import "time"

// interrupt tells the listener to cancel its job and exit. Whether that cut a job is
// known when it has exited.
func (t *transition) interrupt(cause End) {
	t.drain.interruptCause, t.drain.mayBeCut = cause, t.hasJob() || cause == notSeen
	t.interruptAndScan()
	t.drain.killAt = earliest(t.now.Add(t.budget.Stop), t.stopDeadline())
	t.stopDraining()
}

func (t *transition) kill() {
	if t.drain.interruptCause == (End{}) {
		t.drain.interruptCause = agentGone
	}
	t.Listener = Killed
	t.do(KillListener{})
	t.drain.killAt = t.now.Add(killTimeout)
	t.stopDraining()
}

// stopDraining continues with stopping. The calls of draining are of no more use,
// and the removal must not wait for them.
func (t *transition) stopDraining() {
	if t.Phase != Draining {
		return
	}
	t.Phase = Stopping
	t.cancelCut()
	t.unschedule()
	if t.call.inFlight != NoCall {
		t.call.abortAt = t.now
	}
}

func (t *transition) advanceStopping() {
	switch {
	case t.Listener == Running && t.drain.killAt.IsZero():
		t.stopIdleListener()
	case t.Listener != Absent:
	case t.Registration == Registered:
		t.startRemoving()
		t.advanceRemoving()
	case t.call.inFlight == NoCall:
		t.afterRemoval()
	}
}

// stopIdleListener stops a listener whose agent is removed. One that was to take a
// single job exits by itself.
func (t *transition) stopIdleListener() {
	t.Phase = Stopping
	t.drain.killAt = t.idleStopDeadline()
	if t.served() {
		return
	}
	t.drain.interruptCause, t.drain.mayBeCut = agentGone, false
	if t.Job == RunningJob {
		t.drain.interruptCause, t.drain.mayBeCut = budgetSpent, true
	}
	t.interruptAndScan()
}

// interruptAndScan sends SIGINT to the listener and scans. If a worker runs now,
// this cuts its job, whether azptend knew of that or not.
func (t *transition) interruptAndScan() {
	t.Listener = Interrupted
	t.do(InterruptListener{})
	t.scan()
}

func (t *transition) idleStopDeadline() time.Time {
	return earliest(t.now.Add(t.budget.Stop), t.exitDeadline())
}
