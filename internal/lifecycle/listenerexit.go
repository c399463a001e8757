package lifecycle

import (
	"fmt"
	"slices"
	"time"
)

// The ends of a run whose listener exited without being told to by azptend.
var (
	cutByOthers    = End{Outcome: JobCut, Reason: "the job was cut: another process stopped the listener"}
	exitedOKInJob  = End{Outcome: JobCut, Reason: "the listener exited during a job, with exit code 0"}
	resultNotKnown = End{Outcome: JobCut, Reason: "a job may have been cut: the listener exited, a worker ran at the last check, and the job's result is unknown"}
)

// cutByExit begins the reason of a run that went on after its listener had exited during
// a job. The listener's exit code or signal follows.
const cutByExit = "a job was cut: the listener exited during it with"

// exitedInJob is the end of a run whose listener failed during its job.
func exitedInJob(e Exit) End {
	return End{Outcome: ListenerFailed, Exit: e, Reason: fmt.Sprintf("the listener exited during its job: %v", e)}
}

// listenerExited follows the exit of the listener, expected or not.
func (t *transition) listenerExited(ended ListenerExited) {
	e, wasRunning := ended.Exit, t.Listener == Running
	hadJob, mayHaveHad := t.Job == RunningJob, t.Job == UnknownJob && !t.session.adopted
	workerRan := mayHaveHad && t.session.worker.runs()
	if !wasRunning {
		t.judgeCut(ended)
	}
	if mayHaveHad {
		t.Jobs++ // it may have taken the one job of a run with Once
	}
	t.Listener, t.Job = Absent, NoJob
	t.clearListener()
	switch {
	case t.Phase == Stopping:
	case (e.Code == 3 || e.Code == 4) && e.Signal == 0:
		t.Listener = Updating // its script waits until it is reaped, and then replaces bin (agent-protocol.md 4.3)
		t.do(AwaitUpdate{})
	case hadJob || mayHaveHad || e.Signal != 0:
		// It may have been killed before it could report a job. A worker that is left
		// is useless, because nobody renews the lock of its job.
		t.do(KillListener{})
	}
	switch t.Phase {
	case Starting, Idle, Busy:
		t.exitedUnexpectedly(ended, hadJob, workerRan)
	case Draining, Removing, Stopping:
		if wasRunning && t.Listener != Updating {
			t.exitedDuringDrain(ended, hadJob)
			if workerRan {
				t.setEnd(resultNotKnown)
			}
		}
	}
}

// exitedDuringDrain follows a listener that exited during a drain, before azptend
// told it to. A platform may send SIGTERM to every process, and the listener cancels
// its job then (Container Apps: docs/container-apps.md). The events may come in any
// order, even the end of the job before the SIGTERM that caused it.
func (t *transition) exitedDuringDrain(ended ListenerExited, hadJob bool) {
	switch {
	case hadJob && ended.Exit != Exit{}:
		t.setEnd(exitedInJob(ended.Exit))
	case ended.Cut == SurelyCut, ended.Cut == MaybeCut && (hadJob || t.session.endedAfterDrain):
		t.setEnd(cutByOthers)
	case hadJob:
		t.setEnd(exitedOKInJob)
	}
}

// exitedUnexpectedly implements the table of agent-protocol.md 4.1, for a listener that
// exited without a drain. With Once, a listener that may have received its job is
// never started again, whatever its exit code.
//
// Otherwise the agent goes on, and the run may last for days. So a cut job is recorded
// first: then no later end of the run is OK.
func (t *transition) exitedUnexpectedly(ended ListenerExited, hadJob, workerRan bool) {
	e := ended.Exit
	if t.Listener != Updating && !(t.policy.Once && t.Jobs > 0) {
		t.noteJobLost(ended, hadJob, workerRan)
	}
	switch {
	case t.policy.Once && t.Jobs > 0:
		t.setEnd(t.endAfterJob(ended, hadJob))
		t.startRemoving()
	case t.Listener == Updating:
		t.Phase = Starting
	case e == Exit{}:
		t.reregisterUnlessOnce("the listener exited by itself")
	case e.Signal != 0:
		// Its session stays on the server for five minutes, and the next listener
		// would give up on that conflict after four (agent-protocol.md 5.1, 5.5). A
		// new registration has a new session.
		t.session.lastExit = e
		t.reregister(End{Outcome: ListenerFailed, Exit: e, Reason: fmt.Sprintf("the listener was killed by %v", e)})
	default:
		// The exit code does not say whether the agent still exists: 1 and 2 may both
		// mean that somebody deleted it. So ask the server.
		t.Phase, t.session.lastExit = Starting, e
		t.unschedule()
		t.schedule(Inspect, 0)
	}
}

// noteJobLost records that a listener exited during its job, for a run that goes on.
func (t *transition) noteJobLost(ended ListenerExited, hadJob, workerRan bool) {
	switch {
	case ended.Cut == SurelyCut:
		t.setEnd(cutByOthers)
	case hadJob:
		t.setEnd(End{Outcome: JobCut, Reason: fmt.Sprintf("%s %v", cutByExit, ended.Exit)})
	case workerRan:
		t.setEnd(resultNotKnown)
	}
}

// endAfterJob is how a run with Once ends whose listener exited by itself.
func (t *transition) endAfterJob(ended ListenerExited, hadJob bool) End {
	switch {
	case t.Listener == Updating:
	case ended.Exit != Exit{}:
		return exitedInJob(ended.Exit)
	case ended.Cut == SurelyCut:
		return cutByOthers
	case hadJob:
		return exitedOKInJob
	}
	return End{Outcome: OK, Reason: jobServed}
}

// restartOrFinish follows the inspection of an agent whose listener failed.
func (t *transition) restartOrFinish(r Result) {
	if r.Outcome == NotFound {
		t.reregisterUnlessOnce(deletedByOthers) // a DELETE makes sure of it
		return
	}
	t.registration.notFoundOnce = false
	last := t.session.lastExit
	if last == (Exit{Code: 1}) && t.session.conflict && t.now.Sub(t.session.conflictSince) < sessionTimeout {
		t.schedule(Launch, minRetryPause) // the old session expires before the next listener gives up
		return
	}
	t.countRestart()
	if last == (Exit{Code: 1}) || t.session.restarts > maxRestarts {
		t.setEnd(End{Outcome: ListenerFailed, Exit: last, Reason: fmt.Sprintf("the listener exited with %v", last)})
		t.startRemoving()
		return
	}
	t.schedule(Launch, backoff(t.session.restarts-1))
}

// countRestart counts the restarts since a listener last stayed ready for
// restartResetTime.
func (t *transition) countRestart() {
	if !t.session.readyAt.IsZero() && t.now.Sub(t.session.readyAt) >= restartResetTime {
		t.session.restarts = 0
	}
	t.session.restarts++
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
		if t.session.restarts > 1 { // an update that fails again and again
			pause = backoff(t.session.restarts - 2)
		}
		t.schedule(Launch, pause)
	}
}

// reregisterUnlessOnce registers again. With Once it ends the run instead, because the
// platform starts another agent.
func (t *transition) reregisterUnlessOnce(reason string) {
	if t.policy.Once {
		t.setEnd(End{Outcome: OK, Reason: reason})
		t.startRemoving()
		return
	}
	t.reregister(End{Outcome: Unreachable, Reason: reason})
}

// reregister removes the agent and registers again. It ends the run instead after
// maxReregistrations within reregisterWindow, or if another azptend registered the agent.
func (t *transition) reregister(otherwise End) {
	lately := since(t.registration.reregisteredAt, t.now.Add(-reregisterWindow))
	switch {
	case t.Registration == External:
		t.setEnd(otherwise)
	case len(lately) >= maxReregistrations:
		otherwise.Reason += fmt.Sprintf(", %d times within an hour", maxReregistrations+1)
		t.setEnd(otherwise)
	default:
		lately = append(lately, t.now)
		t.registration.reregister = true
	}
	t.registration.reregisteredAt = lately
	t.startRemoving()
}

// since returns a copy of the times after from.
func since(times []time.Time, from time.Time) []time.Time {
	return slices.DeleteFunc(slices.Clone(times), func(at time.Time) bool { return !at.After(from) })
}

// startReregistering goes back to Registering, with a new registration and session.
func (t *transition) startReregistering() {
	lately := t.registration.reregisteredAt
	pause := reregisterPause * time.Duration(len(lately))
	t.Phase, t.Registration, t.AgentID = Registering, Unregistered, 0
	t.registration = registrationState{disable: notDisabled, reregisteredAt: lately}
	t.session = sessionState{}
	t.call.giveUpAt = t.now.Add(pause + reregisterTimeout)
	t.unschedule()
	t.schedule(Register, pause)
}
