package lifecycle

import (
	"errors"
	"time"
)

// This file is the beginning of a life: booting, registering, and the agents
// that hold our name.

// extendDeadline makes the first calls' patience outlast a pause that the server asks for.
func (t *transition) extendDeadline(r Result) {
	if r.RetryAfter == 0 || r.RetryAfter > maxThrottleWait {
		return
	}
	outlasts := t.now.Add(2*r.RetryAfter + bootTimeout)
	if until := earliest(outlasts, t.born.Add(throttleTimeout)); until.After(t.patience) {
		t.patience = until
	}
}

func (t *transition) prepared(e PrepareResult) {
	t.extendDeadline(e.Result)
	switch {
	case e.Outcome == OK:
		t.unschedule()
		t.watched = time.Time{}
		t.startFrom(e)
	case e.Outcome == DirInUse && t.Reason == "":
		t.waitForDir(e.Result)
	case e.retryable() && t.retry(Prepare, e.Result, earliest(t.patience, t.exitDeadline())):
	default:
		t.finishBoot(codeFor(e.Outcome), "cannot begin", e.Err)
	}
}

// finishBoot ends a life that has not begun. What a killed one has left is named
// then: it may be the last start in its folder.
func (t *transition) finishBoot(code int, why string, err error) {
	if t.former != 0 {
		t.AgentID = t.former
		t.abandon(err)
	}
	t.finishWith(code, why, err)
}

// startFrom goes where the life begins: at an agent that was registered for us, once an
// earlier life's listener has ended that serves it; at what an earlier life left; or
// at a registration of our own.
func (t *transition) startFrom(e PrepareResult) {
	switch {
	case t.Reason != "" && e.Leftover == Leftover{}: // what the files told of is not there
		t.finish()
	case e.ExternalAgentID != 0 && e.Leftover.ListenerRuns:
		t.adoptPrevious(Leftover{AgentID: e.ExternalAgentID, ListenerRuns: true, WorkerRuns: e.Leftover.WorkerRuns})
		t.Registration = External
	case e.ExternalAgentID != 0:
		t.AgentID, t.Registration, t.Phase = e.ExternalAgentID, External, Starting
		t.schedule(Launch, 0)
	case e.Leftover != Leftover{}:
		t.adoptPrevious(e.Leftover)
	default:
		t.Phase = Registering
		t.schedule(Register, 0)
	}
}

// adoptPrevious ends an earlier life as that would have ended itself, and only then
// registers: a listener that has survived finishes its job, of which nothing is
// known here but what the server and the process table say.
func (t *transition) adoptPrevious(l Leftover) {
	t.AgentID, t.Registration, t.rejoin, t.inherited = l.AgentID, Registered, t.Reason == "", true
	if !l.ListenerRuns {
		t.startRemoving()
		return
	}
	t.Listener, t.Job, t.Phase, t.assigned = Running, UnknownJob, Draining, l.WorkerRuns
	if l.AgentID == 0 {
		t.Registration = Removed
	}
}

func (t *transition) registered(e RegisterResult) {
	t.extendDeadline(e.Result)
	t.taken = e.Outcome == NameTaken
	if e.Outcome == OK {
		t.setRegistered(e.AgentID)
		return
	}
	if e.Outcome == AnswerLost {
		// Never retried blindly: the agent may be there, or may yet come to be.
		t.lostAt = t.now
		t.schedule(LookUp, 0)
		return
	}
	if e.Outcome == Unclear {
		t.lostAt = t.now
	}
	doubt := !t.lostAt.IsZero()
	if !doubt {
		t.Registration = Unregistered
	}
	switch {
	case e.Outcome == NameTaken && (t.Reason == "" || doubt):
		t.schedule(LookUp, 0) // who holds it may be an earlier POST of ours that was acted on late
	case t.Reason == "" && e.retryable() && t.retry(Register, e.Result, t.patience):
	case doubt: // before leaving, a look-up decides
		t.no = &e.Result
		t.schedule(LookUp, 0)
	case t.Reason != "":
		t.finish()
	default:
		t.finishWith(codeFor(e.Outcome), "cannot register the agent", e.Err)
	}
}

// setRegistered takes possession: from here the agent is removed whatever happens.
func (t *transition) setRegistered(id int) {
	t.AgentID, t.Registration, t.lostAt, t.no = id, Registered, time.Time{}, nil
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
	case e.Owner == ThisRun && (e.HasCredentials || t.Reason != ""):
		t.setRegistered(e.AgentID)
	case e.Owner == ThisRun:
		// What its listener needs to log on was in the answer that got lost.
		t.setRegistered(e.AgentID)
		t.reregister("the answer to the registration was lost", exitUnreachable)
	case t.Registration == Pending && e.Owner == NoAgent:
		t.notFoundYet()
	default:
		t.Registration = Unregistered // another holds the name, so we do not
		t.resolveConflict(e)
	}
}

func (t *transition) lookUpFailed(r Result) {
	t.extendDeadline(r)
	if t.Reason != "" && t.Registration == Unregistered {
		t.finish()
		return
	}
	until := earliest(t.patience, t.exitDeadline())
	if r.retryable() && t.retry(LookUp, r, until) {
		return
	}
	if t.Registration == Pending {
		t.abandon(r.Err)
	}
	t.finishWith(codeFor(r.Outcome), "cannot look up the agent", r.Err)
}

// notFoundYet follows a POST whose answer was lost, or in doubt, and that has left no agent.
// Neither leaving nor asking again is safe at once: the first POST may still be
// acted on, and would then be one agent too many.
func (t *transition) notFoundYet() {
	// The answer is as old as its question.
	if wait := latePostWindow - t.askedAt.Sub(t.lostAt); wait > 0 {
		t.schedule(LookUp, max(wait-t.now.Sub(t.askedAt), 0))
		return
	}
	t.Registration = Unregistered
	switch {
	case t.Reason != "":
		t.abandonUnseen()
		t.finish()
	case t.no != nil:
		t.finishWith(codeFor(t.no.Outcome), "cannot register the agent", t.no.Err)
	case t.retry(Register, Result{}, t.patience):
	case t.taken:
		t.abandonUnseen()
		t.finishWith(exitTryAgain, nameTakenUnseen, nil)
	default:
		t.finishWith(exitUnreachable, "cannot register the agent: every answer was lost", nil)
	}
}

// abandonUnseen names the agent of a POST in doubt where the server has said since
// that the name is taken, and shows nobody who has it: it may be ours.
func (t *transition) abandonUnseen() {
	if t.taken {
		t.abandon(errUnseen)
	}
}

const nameTakenUnseen = "the agent's name is held by another, which this identity does not see"

var errUnseen = errors.New("the server says that the name is taken, and does not show by whom")

// resolveConflict deals with another agent of our name. A dead one, and one that the
// directory's record proves to be an earlier run's, is removed before we register:
// never replaced in place, so that id and session are new and nobody's late DELETE
// hits us. A live one without that proof is watched, and so is one that is just
// starting: containers may share host name and path, and two that remove each
// other's agent would go on for ever.
func (t *transition) resolveConflict(e LookUpResult) {
	switch {
	case t.Reason != "":
		t.finish()
	case e.Owner == NoAgent:
		t.conflictNotVisible()
	case e.Owner == Placeholder: // offline for good, and not in vain
		t.finishWith(exitTryAgain, "the agent's name is a placeholder's", e.Holder)
	case e.Owner == PreviousRun || (!e.Online && !e.RecentlyCreated):
		t.twin = e.AgentID
		t.schedule(RemoveConflicting, 0)
	default:
		t.waitForName(e.Holder)
	}
}

// conflictNotVisible follows a name that is taken, by an agent that is not there. It has
// just left; or this identity may not see it, and then asking again at once
// would go on for ever.
func (t *transition) conflictNotVisible() {
	if !t.retry(Register, Result{}, t.patience) {
		t.finishWith(exitTryAgain, nameTakenUnseen, nil)
	}
}

func (t *transition) waitForName(holder error) {
	if !t.pollUntilNameWait(LookUp) {
		t.finishWith(exitTryAgain, "the agent's name is held by another", holder)
	}
}

// waitForDir waits for another agent to leave the folder: of a container that is
// being replaced, with the same volume.
func (t *transition) waitForDir(r Result) {
	if !t.pollUntilNameWait(Prepare) {
		t.finishBoot(codeFor(r.Outcome), "another agent is at work in the agent's folder", r.Err)
	}
}

// pollUntilNameWait plans another look at what another agent holds. It says false when that
// was watched for as long as the policy allows.
func (t *transition) pollUntilNameWait(c Call) bool {
	if t.watched.IsZero() {
		t.watched = t.now
	}
	left := t.policy.NameWait - t.now.Sub(t.watched)
	if left <= 0 {
		return false
	}
	t.patience = t.now.Add(left + bootTimeout) // watching is not failing
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
		// Its lock lapses within minutes if nobody renews it, and its owner ends
		// the job otherwise: both end this wait.
		t.patience = t.now.Add(conflictBusyInterval + bootTimeout)
		t.schedule(LookUp, conflictBusyInterval)
	case r.retryable() && t.retry(LookUp, r, t.patience):
	default:
		t.finishWith(codeFor(r.Outcome), "cannot remove the agent that holds the name", r.Err)
	}
}
