package lifecycle

import (
	"errors"
	"time"
)

// extendDeadline extends the time for the first calls if the server asks for a pause, so
// that the next try still has time.
func (t *transition) extendDeadline(r Result) {
	if r.RetryAfter == 0 || r.RetryAfter > maxThrottleWait {
		return
	}
	outlasts := t.now.Add(2*r.RetryAfter + bootTimeout)
	if until := earliest(outlasts, t.startedAt.Add(throttleTimeout)); until.After(t.call.giveUpAt) {
		t.call.giveUpAt = until
	}
}

func (t *transition) prepared(e PrepareResult) {
	t.extendDeadline(e.Result)
	switch {
	case e.Outcome == OK:
		t.unschedule()
		t.registration.waitingSince = time.Time{}
		t.startFrom(e)
	case e.Outcome == DirUnusable && e.Checked: // the agent of a previous run is still removed
		t.unschedule()
		if t.Reason == "" {
			t.setEnd(End{Outcome: e.Outcome, Reason: "startup failed", Err: e.Err})
		}
		t.startFrom(e)
	case e.Outcome == DirInUse && t.Reason == "": // perhaps by a container with the same volume, which is being replaced
		if !t.waitForOther(Prepare) {
			t.finishBoot(End{Outcome: DirInUse, Reason: "another agent uses the agent's directory", Err: e.Err})
		}
	case e.retryable() && t.retry(Prepare, e.Result, earliest(t.call.giveUpAt, t.exitDeadline())):
	default:
		t.finishBoot(End{Outcome: e.Outcome, Reason: "startup failed", Err: e.Err})
	}
}

// finishBoot ends a run that has not registered. An agent that a killed run left is
// abandoned: this may be the last start in its directory.
func (t *transition) finishBoot(e End) {
	if t.registration.previousID != 0 && t.Registration != Abandoned {
		t.AgentID = t.registration.previousID
		t.abandon(e.Err)
	}
	t.finishWith(e)
}

// startFrom chooses how to begin: with an agent that another azptend registered, after a
// previous run's listener for it has exited; with what a previous run left; or with a
// new registration.
func (t *transition) startFrom(e PrepareResult) {
	if e.Leftover.Hidden {
		t.AgentID = e.Leftover.AgentID
		t.abandon(ErrHidden)
	}
	none := !e.Leftover.ListenerRuns && (e.Leftover.AgentID == 0 || e.Leftover.Hidden)
	switch {
	case none && (t.Reason != "" || e.Outcome != OK): // the agent that the files named is not there, or hidden
		t.finish()
	case e.ExternalAgentID != 0 && e.Leftover.ListenerRuns:
		t.adoptPrevious(Leftover{AgentID: e.ExternalAgentID, ListenerRuns: true, WorkerRuns: e.Leftover.WorkerRuns})
		t.Registration = External
	case e.ExternalAgentID != 0:
		t.AgentID, t.Registration, t.Phase = e.ExternalAgentID, External, Starting
		t.schedule(Launch, 0)
	case !none:
		t.adoptPrevious(e.Leftover)
	default:
		t.Phase = Registering
		t.schedule(Register, 0)
	}
}

// adoptPrevious ends a previous run first, and registers afterwards. A listener that
// still runs finishes its job. Its notification socket belonged to the previous run, so
// only the server and the process table show its job.
func (t *transition) adoptPrevious(l Leftover) {
	switch {
	case l.Hidden: // startFrom has abandoned it
	case l.AgentID != 0:
		t.AgentID, t.Registration = l.AgentID, Registered
	default:
		t.Registration = Removed
	}
	t.registration.reregister, t.session.adopted = t.Reason == "" && t.end.Reason == "", true
	if !l.ListenerRuns {
		t.startRemoving()
		return
	}
	t.Listener, t.Job, t.Phase, t.session.jobAssigned = Running, UnknownJob, Draining, l.WorkerRuns
}

// ErrHidden is why the agent of a previous run is abandoned if the server refuses to
// show it.
var ErrHidden = errors.New("the server refuses to show the agent of a previous run: this identity may not see it")

const cannotRegister = "cannot register the agent"

func (t *transition) registered(e RegisterResult) {
	t.extendDeadline(e.Result)
	t.registration.nameTaken = e.Outcome == NameTaken
	switch e.Outcome {
	case OK:
		t.setRegistered(e.AgentID)
		return
	case AnswerLost:
		// A second POST could add a second agent: the first may exist, or appear later.
		t.registration.answerLostAt = t.now
		t.schedule(LookUp, 0)
		return
	case Unclear:
		t.registration.answerLostAt = t.now
	}
	mayExist := !t.registration.answerLostAt.IsZero()
	if !mayExist {
		t.Registration = Unregistered
	}
	switch {
	case e.Outcome == NameTaken && (t.Reason == "" || mayExist):
		t.schedule(LookUp, 0) // the name may be taken by an earlier POST of ours that was acted on late
	case t.Reason == "" && e.retryable() && t.retry(Register, e.Result, t.call.giveUpAt):
	case mayExist: // a look-up decides first
		t.registration.finalResult = &e.Result
		t.schedule(LookUp, 0)
	case t.Reason != "":
		t.finish()
	default:
		t.finishWith(End{Outcome: e.Outcome, Reason: cannotRegister, Err: e.Err})
	}
}

// setRegistered records that the server has the agent. From here on, every path removes
// or reports it.
func (t *transition) setRegistered(id int) {
	t.AgentID, t.Registration = id, Registered
	t.registration.answerLostAt, t.registration.finalResult = time.Time{}, nil
	t.unschedule()
	if t.Reason != "" {
		t.startRemoving()
		return
	}
	t.Phase = Starting
	t.schedule(Launch, 0)
}

func (t *transition) lookedUp(e LookUpResult) {
	switch {
	case e.Outcome != OK:
		t.lookUpFailed(e.Result)
	case e.Owner == ThisRun:
		t.setRegistered(e.AgentID)
		if !e.HasCredentials && t.Reason == "" { // they were only in the lost answer
			t.reregister(End{Outcome: AnswerLost, Reason: "the response to the registration was lost"})
		}
	case t.Registration == Pending && e.Owner == NoAgent:
		t.notFoundYet()
	default:
		t.Registration = Unregistered // another agent has the name, so ours does not exist
		t.resolveConflict(e)
	}
}

func (t *transition) lookUpFailed(r Result) {
	t.extendDeadline(r)
	if t.Reason != "" && t.Registration == Unregistered {
		t.finish()
		return
	}
	if r.retryable() && t.retry(LookUp, r, earliest(t.call.giveUpAt, t.exitDeadline())) {
		return
	}
	if t.Registration == Pending {
		t.abandon(r.Err)
	}
	t.finishWith(End{Outcome: r.Outcome, Reason: "cannot look up the agent", Err: r.Err})
}

// notFoundYet follows a look-up that does not show the agent of a POST without a clear
// answer. The server may still act on that POST, so for latePostWindow it is not safe
// to exit, which would leave the agent, or to repeat the POST.
func (t *transition) notFoundYet() {
	// The look-up shows the state at the time of its request.
	if wait := latePostWindow - t.call.startedAt.Sub(t.registration.answerLostAt); wait > 0 {
		t.schedule(LookUp, max(wait-t.now.Sub(t.call.startedAt), 0))
		return
	}
	t.Registration = Unregistered
	final := t.registration.finalResult
	switch {
	case t.Reason != "":
		t.abandonUnseen()
		t.finish()
	case final != nil:
		t.finishWith(End{Outcome: final.Outcome, Reason: cannotRegister, Err: final.Err})
	case t.retry(Register, Result{}, t.call.giveUpAt):
	case t.registration.nameTaken:
		t.abandonUnseen()
		t.finishWith(nameTakenUnseen)
	default:
		t.finishWith(End{Outcome: AnswerLost, Reason: cannotRegister + ": every response was lost"})
	}
}

// abandonUnseen reports an agent if the server said after an unclear POST that the name
// is taken, but does not show by which agent. It may be ours.
func (t *transition) abandonUnseen() {
	if t.registration.nameTaken {
		t.abandon(errUnseen)
	}
}

var (
	nameTakenUnseen = End{Outcome: NameTaken, Reason: "another agent, which this identity cannot see, has the agent's name"}
	errUnseen       = errors.New("the server reports that the name is taken, but not by which agent")
)

// resolveConflict deals with another agent that has the name. If it is offline, or if
// the directory's record proves that it is a previous run's, it is removed before
// registering. It is not replaced in place, so that id and session are new and a late
// DELETE by another azptend cannot hit the new agent. azptend waits for an online agent
// without that proof, and for one that may just be starting: containers may share host
// name and path, and two of them would keep removing each other's agent.
func (t *transition) resolveConflict(e LookUpResult) {
	switch {
	case t.Reason != "":
		t.finish()
	case e.Owner == NoAgent:
		// The other agent has just left, or this identity cannot see it. In the
		// second case, repeating the POST at once would never end.
		if !t.retry(Register, Result{}, t.call.giveUpAt) {
			t.finishWith(nameTakenUnseen)
		}
	case e.Owner == Placeholder: // offline for good, and needed
		t.finishWith(End{Outcome: NameTaken, Reason: "a placeholder has the agent's name", Err: e.Holder})
	case e.Owner == PreviousRun || (!e.Online && !e.RecentlyCreated):
		t.registration.conflictID = e.AgentID
		t.schedule(RemoveConflicting, 0)
	case !t.waitForOther(LookUp):
		t.finishWith(End{Outcome: NameTaken, Reason: "another agent has the agent's name", Err: e.Holder})
	}
}

// waitForOther schedules the call again while another agent has the name or the
// directory. It returns false once Policy.NameWait is over.
func (t *transition) waitForOther(c Call) bool {
	if t.registration.waitingSince.IsZero() {
		t.registration.waitingSince = t.now
	}
	left := t.policy.NameWait - t.now.Sub(t.registration.waitingSince)
	if left <= 0 {
		return false
	}
	t.call.giveUpAt = t.now.Add(left + bootTimeout) // the wait does not count as time without an answer
	t.schedule(c, min(conflictInterval, left))
	return true
}

func (t *transition) conflictingRemoved(r Result) {
	switch {
	case t.Reason != "":
		t.finish()
	case r.Outcome == OK || r.Outcome == NotFound:
		t.unschedule()
		t.schedule(Register, 0)
	case r.Outcome == JobRunning:
		// Wait until the job ends, or until its lock expires, which takes minutes if
		// nothing renews it.
		t.call.giveUpAt = t.now.Add(conflictBusyInterval + bootTimeout)
		t.schedule(LookUp, conflictBusyInterval)
	case r.retryable() && t.retry(LookUp, r, t.call.giveUpAt):
	default:
		t.finishWith(End{Outcome: r.Outcome, Reason: "cannot remove the agent that has the name", Err: r.Err})
	}
}
