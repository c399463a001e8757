package lifecycle

import "time"

// This file is the end of the listener, and with it of the life.

// interrupt tells the listener to cancel its job and end. Whether that cuts a job is
// known when it has ended.
func (t *transition) interrupt(c cutCause) {
	t.toldFor, t.mayBeCut = c, t.hasJob() || c == notSeen
	t.interruptAndScan()
	t.killAt = earliest(t.now.Add(t.budget.Stop), t.stopDeadline())
	t.stopDraining()
}

func (t *transition) kill() {
	if t.toldFor == (cutCause{}) {
		t.toldFor = agentGone
	}
	t.Listener = Killed
	t.do(KillListener{})
	t.killAt = t.now.Add(killTimeout)
	t.stopDraining()
}

// stopDraining goes on to stopping. Draining's calls are of no more use, and the
// removal must not wait for them.
func (t *transition) stopDraining() {
	if t.Phase != Draining {
		return
	}
	t.Phase = Stopping
	t.cancelCut()
	t.unschedule()
	if t.call != NoCall {
		t.abortAt = t.now
	}
}

func (t *transition) advanceStopping() {
	switch {
	case t.Listener == Running && t.killAt.IsZero():
		t.stopIdleListener()
	case t.Listener != Absent:
	case t.Registration == Registered:
		t.startRemoving()
		t.advanceRemoving()
	case t.call == NoCall:
		t.afterRemoval()
	}
}

// stopIdleListener ends a listener whose agent is removed. One that was to take
// a single job is ending by itself.
func (t *transition) stopIdleListener() {
	t.Phase = Stopping
	t.killAt = t.idleStopDeadline()
	if t.served() {
		return
	}
	t.toldFor, t.mayBeCut = agentGone, false
	if t.Job == RunningJob {
		t.toldFor, t.mayBeCut = budgetSpent, true
	}
	t.interruptAndScan()
}

// interruptAndScan sends the listener the signal to end, and looks: a worker that is there now
// has a job that this cuts, whether azptend knew of it or not.
func (t *transition) interruptAndScan() {
	t.Listener = Interrupted
	t.do(InterruptListener{})
	t.scan()
}

func (t *transition) idleStopDeadline() time.Time {
	return earliest(t.now.Add(t.budget.Stop), t.exitDeadline())
}

// afterRemoval is for when the agent is removed or named, and its listener gone.
func (t *transition) afterRemoval() {
	switch {
	case t.rejoin && t.Registration == External: // an earlier life's listener has ended
		t.rejoin, t.Phase, t.assigned, t.idleSince = false, Starting, false, time.Time{}
		t.unschedule()
		t.schedule(Launch, 0)
	case t.rejoin:
		t.startReregistering()
	default:
		t.finish()
	}
}
