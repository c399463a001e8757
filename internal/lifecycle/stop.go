package lifecycle

import "time"

// This file is the end of the listener, and with it of the life.

// interrupt tells the listener to cancel its job and end. Whether that cuts a job is
// known when it has ended.
func (t *turn) interrupt(c cause) {
	t.toldFor, t.mayBeCut = c, t.hasJob() || c == notSeen
	t.tell()
	t.killAt = earliest(t.now.Add(t.budget.Stop), t.stopEnds())
	t.stopDraining()
}

func (t *turn) kill() {
	if t.toldFor == (cause{}) {
		t.toldFor = agentGone
	}
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
	t.callOffCut()
	t.unplan()
	if t.call != NoCall {
		t.abortAt = t.now
	}
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

// stopIdleListener ends a listener whose agent is removed. One that was to take
// a single job is ending by itself.
func (t *turn) stopIdleListener() {
	t.Phase = Stopping
	t.killAt = t.stopIdleBy()
	if t.served() {
		return
	}
	t.toldFor, t.mayBeCut = agentGone, false
	if t.Job == RunningJob {
		t.toldFor, t.mayBeCut = budgetSpent, true
	}
	t.tell()
}

// tell sends the listener the signal to end, and looks: a worker that is there now
// has a job that this cuts, whether azptend knew of it or not.
func (t *turn) tell() {
	t.Listener = Interrupted
	t.do(Interrupt{})
	t.look()
}

func (t *turn) stopIdleBy() time.Time {
	return earliest(t.now.Add(t.budget.Stop), t.lastCall())
}

// finish is for when the agent is removed or named, and its listener gone.
func (t *turn) finish() {
	switch {
	case t.rejoin && t.Registration == Lent: // an earlier life's listener has ended
		t.rejoin, t.Phase, t.assigned, t.idleSince = false, Starting, false, time.Time{}
		t.unplan()
		t.plan(Launch, 0)
	case t.rejoin:
		t.registerAnew()
	default:
		t.leave()
	}
}
