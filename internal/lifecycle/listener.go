package lifecycle

import (
	"fmt"
	"time"
)

// This file is the middle of a life: the listener starts, serves jobs, ends and
// is started again.

func (t *transition) launched(r Result) {
	if r.Outcome != OK {
		if t.Reason == "" || r.Outcome != Unreachable { // else it was aborted, because the end was asked for
			t.setEnd(codeFor(r.Outcome), "cannot start the listener", r.Err)
		}
		t.startRemoving()
		return
	}
	t.unschedule()
	if t.policy.RegisterOnly { // nothing was started: the agent's files were written
		t.handOff()
		return
	}
	t.Listener, t.Job, t.quietSince, t.inherited, t.held = Running, NoJob, t.now, false, false
	t.readyAt, t.killAt, t.idleSince, t.outlived = time.Time{}, time.Time{}, time.Time{}, false
	t.exit, t.doubts, t.refusedAt, t.launchAt = Exit{}, 0, time.Time{}, t.now
	t.clearListener()
	if t.Phase == Removing { // the end came while it was being started
		t.Phase = Draining
	}
}

// handOff leaves the agent to who has its files now; unless the end was asked
// for in the meantime.
func (t *transition) handOff() {
	if t.Reason != "" {
		t.startRemoving()
		return
	}
	t.Registration = External
	t.finishWith(0, "registered the agent for another to run", nil)
}

func (t *transition) sessionReady() {
	if t.Listener == Running && t.readyAt.IsZero() {
		t.readyAt = t.now
		t.heldSince = time.Time{}
	}
	t.refusedAt = time.Time{}
	if t.Phase != Starting || t.Listener != Running {
		return
	}
	t.Phase = Idle
	if t.Job != NoJob {
		t.Phase = Busy
	}
}

// agentMaybeDeleted asks the server whether the agent is there. One that is refused is not
// ready for a job, until its listener says that it has reconnected. One that has a
// job is there.
func (t *transition) agentMaybeDeleted(e AgentMaybeDeleted) {
	if t.Listener != Running || !t.serving() || t.Job == RunningJob {
		return
	}
	if e.LogonRefused {
		if t.refusedAt.IsZero() {
			t.refusedAt = t.now
		}
		if t.Phase == Idle {
			t.Phase = Starting
		}
	}
	if t.Registration == Registered && t.nothingScheduled() {
		t.schedule(Inspect, 0)
	}
}

// recheckedAgent judges a look at an agent whose listener runs. A look that does not
// show the agent may be late or wrong. After enoughDoubts of them in a row azptend
// drains: the answer to disabling or deleting the agent decides (missing).
func (t *transition) recheckedAgent(r Result) {
	switch {
	case t.Job == RunningJob, r.Outcome == OK:
		t.doubts = 0
	case t.next != NoCall: // something more urgent came up
	case r.Outcome == NotFound:
		if t.doubts++; t.doubts < maxNotShown {
			t.schedule(Inspect, recheckInterval)
			return
		}
		t.reregisterUnlessOnce(deletedByOthers)
		t.Phase = Draining // for it may be there all the same, and be given a job
	case t.doubts > 0 && r.retryable():
		t.schedule(Inspect, recheckInterval)
	}
}

const deletedByOthers = "the agent was deleted on the server"

// readyDeadline is when azptend gives up on an agent that another azptend has registered
// and whose listener does not become ready: without an identity azptend cannot ask
// whether the agent still exists. Zero is never.
func (s State) readyDeadline() time.Time {
	if s.Registration != External || s.Phase != Starting || s.Listener != Running {
		return time.Time{}
	}
	if !s.refusedAt.IsZero() {
		return s.refusedAt.Add(externalReadyTimeout)
	}
	return s.launchAt.Add(externalReadyTimeout)
}

// readyDeadlineReached drains first: a job may run that azptend does not know of.
func (t *transition) readyDeadlineReached() {
	why := fmt.Sprintf("the listener did not become ready within %v", externalReadyTimeout)
	if !t.refusedAt.IsZero() {
		why = fmt.Sprintf("the server has refused the agent's registration for %v: it was deleted, most likely", externalReadyTimeout)
	}
	t.setEnd(exitUnreachable, why, nil)
	t.Phase = Draining
	t.unschedule()
}

// sessionConflict follows a listener that meets the session of an earlier one, which
// was killed: it tries for four minutes, and then gives up, while the server may
// keep that session for five (agent-protocol.md 5.1, 5.5).
func (t *transition) sessionConflict() {
	if t.Listener != Running || !t.readyAt.IsZero() {
		return
	}
	t.held = true
	if t.heldSince.IsZero() {
		t.heldSince = t.now
	}
}

// waitsForOldSession says that the listener ended because of that session, and that
// the next one will outlast it.
func (t *transition) waitsForOldSession() bool {
	return t.exit == Exit{Code: 1} && t.held && t.now.Sub(t.heldSince) < sessionTimeout
}

func (t *transition) jobStarted() {
	t.Job, t.doubts, t.refusedAt = RunningJob, 0, time.Time{} // who is given a job is there
	t.Jobs++
	if t.serving() {
		t.Phase = Busy
		if t.policy.Once && t.acceptance == notDisabled && t.Registration == Registered {
			// Now, so that after the job only the DELETE is left, and no second job
			// can be assigned in between (issue agent#3994).
			t.schedule(Disable, 0)
			if t.call == Inspect { // a doubt, which the job has answered
				t.do(AbortCall{})
			}
		}
	}
	if t.Phase == Removing && t.Listener == Running {
		t.Phase = Draining // it slipped in, and is served
		t.unschedule()
	}
	if t.Listener == Interrupted { // it began before the listener was told to end, which cancels it
		t.mayBeCut = true
	}
	t.countJob()
}

// serving says that the agent is in the middle of its life.
func (t *transition) serving() bool {
	return t.Phase == Starting || t.Phase == Idle || t.Phase == Busy
}

func (t *transition) jobFinished() {
	t.Job, t.quietSince, t.assigned, t.outlived = NoJob, t.now, false, t.Reason != ""
	t.clearWorker()
	t.cancelCut() // it is not this job that is to be cut
	switch {
	case t.Phase == Busy && t.policy.Once:
		t.setEnd(0, "one job served", nil)
		early := t.next == Disable // it ended before the call was made
		t.startRemoving()
		if early {
			t.schedule(Disable, 0)
		}
	case t.Phase == Busy:
		t.Phase = Idle
	case t.Phase == Draining && t.next == Inspect:
		t.unschedule() // what a look was put off for has happened
	}
}

func (t *transition) socketLost() {
	if t.Listener != Running && t.Listener != Interrupted {
		return
	}
	t.Job, t.quietSince = UnknownJob, t.now
	if t.Phase == Idle {
		t.Phase = Busy
	}
	if t.policy.Limits.Jobs > 0 {
		t.startDrain(cannotCountJobs)
	}
}

// listenerExited follows the listener's end, asked for or not.
func (t *transition) listenerExited(ended ListenerExited) {
	e, wasRunning := ended.Exit, t.Listener == Running
	had, mayHaveWorked := t.Job == RunningJob, t.Job == UnknownJob && t.work.runs() && !t.inherited
	if !wasRunning {
		t.judgeCut(ended)
	}
	mayHaveHad := t.Job == UnknownJob && !t.inherited
	if mayHaveHad {
		t.Jobs++ // it may have had one, and one that was to take one job may have taken it
	}
	t.Listener, t.Job = Absent, NoJob
	t.clearListener()
	if (e.Code == 3 || e.Code == 4) && e.Signal == 0 && t.Phase != Stopping {
		t.Listener = Updating // its script waits for us to reap it, and moves bin (agent-protocol.md 4.3)
		t.do(AwaitUpdate{})
	}
	if (had || mayHaveHad || e.Signal != 0) && t.Listener == Absent && t.Phase != Stopping {
		// Killed before it could say that a job had begun, or with a socket that was
		// lost, it may have left a worker.
		t.do(KillListener{}) // its worker and the job's processes: nobody renews their lock now
	}
	switch t.Phase {
	case Starting, Idle, Busy:
		t.exitedUnexpectedly(ended, had)
	case Draining, Removing, Stopping:
		if wasRunning {
			t.exitedDuringShutdown(ended, had)
		}
		if wasRunning && mayHaveWorked && t.Listener != Updating {
			t.setEnd(exitTryAgain, endedUnseen, nil)
		}
	}
}

// exitedDuringShutdown follows the end of a listener that may have been told to end by
// others than us, once the end was asked for: a platform may send SIGTERM to every
// process, and the listener cancels its job then (Container Apps:
// docs/container-apps.md). We may have told it too, when that job was over. What we hear may come in any order: the
// job's end before the SIGTERM that has ended it.
func (t *transition) exitedDuringShutdown(ended ListenerExited, had bool) {
	switch {
	case t.Listener == Updating:
	case had && ended.Exit != Exit{}:
		t.setEnd(ended.exitCode(), fmt.Sprintf("the listener ended in the middle of a job: %v", ended.Exit), nil)
	case ended.Cut == SurelyCut, ended.Cut == MaybeCut && (had || t.outlived):
		t.setEnd(exitTryAgain, cutByOthers, nil)
	case had:
		t.setEnd(exitTryAgain, endedInJob, nil)
	}
}

const (
	cutByOthers = "the job was cut: the listener was told to end by somebody else than azptend"
	endedInJob  = "the listener ended in the middle of a job, with exit code 0"
	endedUnseen = "a job may have been cut: the listener ended, a worker ran when azptend last looked, and nothing tells how the job ended"
)

func (e Exit) String() string {
	if e.Signal != 0 {
		return fmt.Sprintf("signal %d", e.Signal)
	}
	return fmt.Sprintf("exit code %d", e.Code)
}

// exitedUnexpectedly is the table of agent-protocol.md 4.1, for an agent that nobody
// asked to end. An agent that was to take one job and has received it is never
// started again, whatever the code: the job cannot be had twice.
func (t *transition) exitedUnexpectedly(ended ListenerExited, had bool) {
	e, served := ended.Exit, t.policy.Once && t.Jobs > 0
	switch {
	case served && e == Exit{} && ended.Cut == SurelyCut:
		t.setEnd(exitTryAgain, cutByOthers, nil)
		t.startRemoving()
	case served && e == Exit{} && had:
		t.setEnd(exitTryAgain, endedInJob, nil)
		t.startRemoving()
	case served && (e == Exit{} || t.Listener == Updating):
		t.setEnd(0, "one job served", nil)
		t.startRemoving()
	case served:
		t.setEndedInJob(e)
		t.startRemoving()
	case t.Listener == Updating:
		t.Phase = Starting
	case e == Exit{}:
		t.reregisterUnlessOnce("the listener ended by itself")
	case e.Signal != 0:
		// Its session stays on the server for five minutes, and the next listener
		// would give up on that conflict after four (agent-protocol.md 5.1, 5.5). A
		// new registration has a new session.
		t.exit = e
		t.reregister(fmt.Sprintf("the listener was killed by %v", e), e.exitCode())
	default:
		// The listener's code does not say whether the agent still exists: 1 and 2
		// both may mean that somebody deleted it. The server knows.
		t.Phase, t.exit = Starting, e
		t.unschedule()
		t.schedule(Inspect, 0)
	}
}

// setEndedInJob says that a listener ended before its one job did.
func (t *transition) setEndedInJob(e Exit) {
	t.setEnd(e.exitCode(), fmt.Sprintf("the listener ended in the middle of its job: %v", e), nil)
}

// restartOrFinish decides on a listener that ended with a fault, now that the
// server was asked about the agent.
func (t *transition) restartOrFinish(r Result) {
	if r.Outcome == NotFound {
		t.reregisterUnlessOnce(deletedByOthers) // a DELETE makes sure of it
		return
	}
	t.missed = false
	if t.waitsForOldSession() {
		t.schedule(Launch, minRetryPause)
		return
	}
	t.countRestart()
	if (t.exit == Exit{Code: 1}) || t.restarts > maxRestarts {
		t.setEnd(t.exit.exitCode(), fmt.Sprintf("the listener ended with %v", t.exit), nil)
		t.startRemoving()
		return
	}
	t.schedule(Launch, min(minRetryPause<<(t.restarts-1), maxRetryPause))
}

// countRestart counts the restarts since the listener last stayed ready for
// long.
func (t *transition) countRestart() {
	if !t.readyAt.IsZero() && t.now.Sub(t.readyAt) >= restartResetTime {
		t.restarts = 0
	}
	t.restarts++
}

// reregisterUnlessOnce leaves with --once, for a platform that starts one agent a job will
// start another; else it registers anew, a few times an hour.
func (t *transition) reregisterUnlessOnce(why string) {
	if t.policy.Once {
		t.setEnd(0, why, nil)
		t.startRemoving()
		return
	}
	t.reregister(why, exitUnreachable)
}

// reregister removes the agent and registers anew, or gives up with code where
// that was done too often, or is not ours to do.
func (t *transition) reregister(why string, code int) {
	t.rejoined = since(t.rejoined, t.now.Add(-reregisterWindow))
	switch {
	case t.Registration == External:
		t.setEnd(code, why, nil)
	case len(t.rejoined) >= maxReregistrations:
		t.setEnd(code, fmt.Sprintf("%s, for the %d. time within an hour", why, maxReregistrations+1), nil)
	default:
		t.rejoined = append(t.rejoined, t.now)
		t.rejoin = true
	}
	t.startRemoving()
}

// since returns a copy of the times after since.
func since(times []time.Time, since time.Time) []time.Time {
	var kept []time.Time
	for _, at := range times {
		if at.After(since) {
			kept = append(kept, at)
		}
	}
	return kept
}

// startReregistering begins again where the first registration began.
func (t *transition) startReregistering() {
	pause := reregisterPause * time.Duration(len(t.rejoined))
	t.Phase, t.Registration, t.AgentID = Registering, Unregistered, 0
	t.rejoin, t.acceptance, t.assigned, t.watched = false, notDisabled, false, time.Time{}
	t.missed, t.refused, t.restarts, t.doubts, t.refusedAt = false, false, 0, 0, time.Time{}
	t.patience = t.now.Add(pause + reregisterTimeout)
	t.unschedule()
	t.schedule(Register, pause)
}

func (t *transition) updateEnded() {
	if t.Listener != Updating {
		return
	}
	t.Listener = Absent
	if t.Phase == Starting {
		t.unschedule()
		t.countRestart()
		var pause time.Duration
		if t.restarts > 1 { // an update that fails, again and again
			pause = min(minRetryPause<<min(t.restarts-2, 8), maxRetryPause)
		}
		t.schedule(Launch, pause)
	}
}
