package lifecycle

import (
	"fmt"
	"time"
)

func (t *transition) launched(r Result) {
	if r.Outcome != OK {
		if t.Reason == "" || r.Outcome != Unreachable { // otherwise it was aborted because of a drain
			t.setEnd(End{Outcome: r.Outcome, Reason: "cannot start the listener", Err: r.Err})
		}
		t.startRemoving()
		return
	}
	t.unschedule()
	switch {
	case t.policy.RegisterOnly && t.Reason != "":
		t.startRemoving()
		return
	case t.policy.RegisterOnly: // the agent's files were written; another azptend uses them
		t.Registration = External
		t.finishWith(End{Outcome: OK, Reason: "registered the agent for another azptend to run"})
		return
	}
	t.Listener, t.Job = Running, NoJob
	t.session = sessionState{launchedAt: t.now, noJobSince: t.now, restarts: t.session.restarts, conflictSince: t.session.conflictSince}
	t.registration.notShown, t.registration.logonRefusedAt = 0, time.Time{}
	t.drain.killAt, t.drain.idleSince = time.Time{}, time.Time{}
	t.clearListener()
	if t.Phase == Removing { // a drain was requested while the listener was being started
		t.Phase = Draining
	}
}

func (t *transition) sessionReady() {
	if t.Listener == Running && t.session.readyAt.IsZero() {
		t.session.readyAt = t.now
		t.session.conflictSince = time.Time{}
	}
	t.registration.logonRefusedAt = time.Time{}
	if t.Phase != Starting || t.Listener != Running {
		return
	}
	t.Phase = Idle
	if t.Job != NoJob {
		t.Phase = Busy
	}
}

// sessionConflict says that the server still has the session of an earlier listener,
// which was killed. A listener tries for four minutes and then exits, but the server may
// keep that session for five (agent-protocol.md 5.1, 5.5).
func (t *transition) sessionConflict() {
	if t.Listener != Running || !t.session.readyAt.IsZero() {
		return
	}
	t.session.conflict = true
	if t.session.conflictSince.IsZero() {
		t.session.conflictSince = t.now
	}
}

// agentMaybeDeleted asks the server whether the agent exists, unless it has a job: then
// it exists. After a refused logon the agent is not ready for a job until its listener
// reports that it has reconnected.
func (t *transition) agentMaybeDeleted(e AgentMaybeDeleted) {
	if t.Listener != Running || !t.serving() || t.Job == RunningJob {
		return
	}
	if e.LogonRefused {
		if t.registration.logonRefusedAt.IsZero() {
			t.registration.logonRefusedAt = t.now
		}
		if t.Phase == Idle {
			t.Phase = Starting
		}
	}
	if t.Registration == Registered && t.nothingScheduled() {
		t.schedule(Inspect, 0)
	}
}

// agentRechecked follows an inspection of an agent whose listener runs. One that does
// not show the agent may be outdated or wrong. After maxNotShown of those in a row
// azptend drains, and the answer to the PATCH or DELETE decides (see agentNotFound).
func (t *transition) agentRechecked(r Result) {
	switch {
	case t.Job == RunningJob, r.Outcome == OK:
		t.registration.notShown = 0
	case t.call.next != NoCall: // another call was scheduled meanwhile
	case r.Outcome == NotFound:
		if t.registration.notShown++; t.registration.notShown < maxNotShown {
			t.schedule(Inspect, recheckInterval)
			return
		}
		t.reregisterUnlessOnce(deletedByOthers)
		t.Phase = Draining // the agent may still exist and get a job
	case t.registration.notShown > 0 && r.retryable():
		t.schedule(Inspect, recheckInterval)
	}
}

const deletedByOthers = "the agent was deleted on the server"

// readyDeadline is when azptend gives up on an agent that another azptend registered
// and whose listener does not become ready. Without an identity azptend cannot ask
// whether the agent still exists. Zero is never.
func (s State) readyDeadline() time.Time {
	if s.Registration != External || s.Phase != Starting || s.Listener != Running {
		return time.Time{}
	}
	if !s.registration.logonRefusedAt.IsZero() {
		return s.registration.logonRefusedAt.Add(externalReadyTimeout)
	}
	return s.session.launchedAt.Add(externalReadyTimeout)
}

// readyDeadlineReached drains before it removes: a job may run that azptend does not
// know of.
func (t *transition) readyDeadlineReached() {
	reason := fmt.Sprintf("the listener did not become ready within %v", externalReadyTimeout)
	if !t.registration.logonRefusedAt.IsZero() {
		reason = fmt.Sprintf("the server has refused the agent's registration for %v: the agent was probably deleted", externalReadyTimeout)
	}
	t.setEnd(End{Outcome: Unreachable, Reason: reason})
	t.Phase = Draining
	t.unschedule()
}

// serving says that the agent serves jobs, or is about to.
func (t *transition) serving() bool {
	return t.Phase == Starting || t.Phase == Idle || t.Phase == Busy
}

func (t *transition) jobStarted() {
	t.Job = RunningJob
	t.registration.notShown, t.registration.logonRefusedAt = 0, time.Time{} // an agent that gets a job exists
	if t.serving() {
		t.Phase = Busy
		if t.policy.Once && t.registration.disable == notDisabled && t.Registration == Registered {
			// Disable now, so that no second job can be assigned between the job's
			// end and the DELETE (issue agent#3994).
			t.schedule(Disable, 0)
			if t.call.inFlight == Inspect { // the job has answered that question
				t.do(AbortCall{})
			}
		}
	}
	if t.Phase == Removing && t.Listener == Running {
		t.Phase = Draining // it was assigned just before: finish it
		t.unschedule()
	}
	if t.Listener == Interrupted { // it began before the SIGINT, which cancels it
		t.drain.mayBeCut = true
	}
	t.countJob()
}

func (t *transition) jobFinished() {
	t.Job, t.session.noJobSince, t.session.jobAssigned, t.session.endedAfterDrain = NoJob, t.now, false, t.Reason != ""
	t.clearWorker()
	t.cancelCut() // the cut was for this job
	switch {
	case t.Phase == Busy && t.policy.Once:
		t.setEnd(End{Outcome: OK, Reason: jobServed})
		early := t.call.next == Disable // the job ended before the call was made
		t.startRemoving()
		if early {
			t.schedule(Disable, 0)
		}
	case t.Phase == Busy:
		t.Phase = Idle
	case t.Phase == Draining && t.call.next == Inspect:
		t.unschedule() // inspect now instead of later
	}
}

const jobServed = "one job served"

func (t *transition) socketLost() {
	if t.Listener != Running && t.Listener != Interrupted {
		return
	}
	t.Job, t.session.noJobSince = UnknownJob, t.now
	if t.Phase == Idle {
		t.Phase = Busy
	}
	if t.policy.Limits.Jobs > 0 {
		t.startDrain(cannotCountJobs)
	}
}
