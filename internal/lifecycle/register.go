package lifecycle

import (
	"errors"
	"time"
)

// This file is the beginning of a life: booting, registering, and the agents
// that hold our name.

// heed makes the first calls' patience outlast a pause that the server asks for.
func (t *turn) heed(r Result) {
	if r.RetryAfter == 0 || r.RetryAfter > longestWish {
		return
	}
	outlasts := t.now.Add(2*r.RetryAfter + bootPatience)
	if until := earliest(outlasts, t.born.Add(throttlePatience)); until.After(t.patience) {
		t.patience = until
	}
}

func (t *turn) prepared(e Prepared) {
	t.heed(e.Result)
	switch {
	case e.Outcome == OK:
		t.unplan()
		t.watched = time.Time{}
		t.begin(e)
	case e.Outcome == Occupied && t.Reason == "":
		t.watchFolder(e.Result)
	case e.worthAnotherTry() && t.tryAgain(Prepare, e.Result, earliest(t.patience, t.lastCall())):
	default:
		t.leaveBoot(codeFor(e.Outcome), "cannot begin", e.Err)
	}
}

// leaveBoot ends a life that has not begun. What a killed one has left is named
// then: it may be the last start in its folder.
func (t *turn) leaveBoot(code int, why string, err error) {
	if t.former != 0 {
		t.AgentID = t.former
		t.name(err)
	}
	t.leaveFor(code, why, err)
}

// begin goes where the life begins: at an agent that was registered for us, once an
// earlier life's listener has ended that serves it; at what an earlier life left; or
// at a registration of our own.
func (t *turn) begin(e Prepared) {
	switch {
	case t.Reason != "" && e.Leftover == Leftover{}: // what the files told of is not there
		t.leave()
	case e.Lent != 0 && e.Leftover.Alive:
		t.takeOver(Leftover{AgentID: e.Lent, Alive: true, Working: e.Leftover.Working})
		t.Registration = Lent
	case e.Lent != 0:
		t.AgentID, t.Registration, t.Phase = e.Lent, Lent, Starting
		t.plan(Launch, 0)
	case e.Leftover != Leftover{}:
		t.takeOver(e.Leftover)
	default:
		t.Phase = Registering
		t.plan(Register, 0)
	}
}

// takeOver ends an earlier life as that would have ended itself, and only then
// registers: a listener that has survived finishes its job, of which nothing is
// known here but what the server and the process table say.
func (t *turn) takeOver(l Leftover) {
	t.AgentID, t.Registration, t.rejoin, t.inherited = l.AgentID, Held, t.Reason == "", true
	if !l.Alive {
		t.startRemoving()
		return
	}
	t.Listener, t.Job, t.Phase, t.assigned = Running, UnknownJob, Draining, l.Working
	if l.AgentID == 0 {
		t.Registration = Removed
	}
}

func (t *turn) registered(e Registered) {
	t.heed(e.Result)
	t.taken = e.Outcome == Taken
	if e.Outcome == OK {
		t.hold(e.AgentID)
		return
	}
	if e.Outcome == Lost {
		// Never retried blindly: the agent may be there, or may yet come to be.
		t.lostAt = t.now
		t.plan(LookUp, 0)
		return
	}
	if e.Outcome == Doubtful {
		t.lostAt = t.now
	}
	doubt := !t.lostAt.IsZero()
	if !doubt {
		t.Registration = Unregistered
	}
	switch {
	case e.Outcome == Taken && (t.Reason == "" || doubt):
		t.plan(LookUp, 0) // who holds it may be an earlier POST of ours that was acted on late
	case t.Reason == "" && e.worthAnotherTry() && t.tryAgain(Register, e.Result, t.patience):
	case doubt: // before leaving, a look-up decides
		t.no = &e.Result
		t.plan(LookUp, 0)
	case t.Reason != "":
		t.leave()
	default:
		t.leaveFor(codeFor(e.Outcome), "cannot register the agent", e.Err)
	}
}

// hold takes possession: from here the agent is removed whatever happens.
func (t *turn) hold(id int) {
	t.AgentID, t.Registration, t.lostAt, t.no = id, Held, time.Time{}, nil
	t.unplan()
	if t.Reason != "" {
		t.startRemoving()
		return
	}
	t.Phase = Starting
	t.plan(Launch, 0)
}

func (t *turn) lookedUp(e LookedUp) {
	switch {
	case e.Outcome != OK:
		t.lookUpFailed(e.Result)
	case e.Owner == Ours && (e.Complete || t.Reason != ""):
		t.hold(e.AgentID)
	case e.Owner == Ours:
		// What its listener needs to log on was in the answer that got lost.
		t.hold(e.AgentID)
		t.beginAgain("the answer to the registration was lost", exitUnreachable)
	case t.Registration == Asked && e.Owner == Nobody:
		t.nobodyYet()
	default:
		t.Registration = Unregistered // another holds the name, so we do not
		t.meetTwin(e)
	}
}

func (t *turn) lookUpFailed(r Result) {
	t.heed(r)
	if t.Reason != "" && t.Registration == Unregistered {
		t.leave()
		return
	}
	until := earliest(t.patience, t.lastCall())
	if r.worthAnotherTry() && t.tryAgain(LookUp, r, until) {
		return
	}
	if t.Registration == Asked {
		t.name(r.Err)
	}
	t.leaveFor(codeFor(r.Outcome), "cannot look up the agent", r.Err)
}

// nobodyYet follows a POST whose answer was lost, or in doubt, and that has left no agent.
// Neither leaving nor asking again is safe at once: the first POST may still be
// acted on, and would then be one agent too many.
func (t *turn) nobodyYet() {
	// The answer is as old as its question.
	if wait := lateAct - t.askedAt.Sub(t.lostAt); wait > 0 {
		t.plan(LookUp, max(wait-t.now.Sub(t.askedAt), 0))
		return
	}
	t.Registration = Unregistered
	switch {
	case t.Reason != "":
		t.nameUnseen()
		t.leave()
	case t.no != nil:
		t.leaveFor(codeFor(t.no.Outcome), "cannot register the agent", t.no.Err)
	case t.tryAgain(Register, Result{}, t.patience):
	case t.taken:
		t.nameUnseen()
		t.leaveFor(exitTryAgain, heldUnseen, nil)
	default:
		t.leaveFor(exitUnreachable, "cannot register the agent: every answer was lost", nil)
	}
}

// nameUnseen names the agent of a POST in doubt where the server has said since
// that the name is taken, and shows nobody who has it: it may be ours.
func (t *turn) nameUnseen() {
	if t.taken {
		t.name(errUnseen)
	}
}

const heldUnseen = "the agent's name is held by another, which this identity does not see"

var errUnseen = errors.New("the server says that the name is taken, and does not show by whom")

// meetTwin deals with another agent of our name. A dead one, and one that the
// directory's record proves to be an earlier run's, is removed before we register:
// never replaced in place, so that id and session are new and nobody's late DELETE
// hits us. A live one without that proof is watched, and so is one that is just
// starting: containers may share host name and path, and two that remove each
// other's agent would go on for ever.
func (t *turn) meetTwin(e LookedUp) {
	switch {
	case t.Reason != "":
		t.leave()
	case e.Owner == Nobody:
		t.meetNobody()
	case e.Owner == Placeholder: // offline for good, and not in vain
		t.leaveFor(exitTryAgain, "the agent's name is a placeholder's", e.Holder)
	case e.Owner == Recorded || (!e.Online && !e.Young):
		t.twin = e.AgentID
		t.plan(RemoveTwin, 0)
	default:
		t.watch(e.Holder)
	}
}

// meetNobody follows a name that is taken, by an agent that is not there. It has
// just left; or this identity may not see it, and then asking again at once
// would go on for ever.
func (t *turn) meetNobody() {
	if !t.tryAgain(Register, Result{}, t.patience) {
		t.leaveFor(exitTryAgain, heldUnseen, nil)
	}
}

func (t *turn) watch(holder error) {
	if !t.watchOn(LookUp) {
		t.leaveFor(exitTryAgain, "the agent's name is held by another", holder)
	}
}

// watchFolder waits for another agent to leave the folder: of a container that is
// being replaced, with the same volume.
func (t *turn) watchFolder(r Result) {
	if !t.watchOn(Prepare) {
		t.leaveBoot(codeFor(r.Outcome), "another agent is at work in the agent's folder", r.Err)
	}
}

// watchOn plans another look at what another agent holds. It says false when that
// was watched for as long as the policy allows.
func (t *turn) watchOn(c Call) bool {
	if t.watched.IsZero() {
		t.watched = t.now
	}
	left := t.policy.NameWait - t.now.Sub(t.watched)
	if left <= 0 {
		return false
	}
	t.patience = t.now.Add(left + bootPatience) // watching is not failing
	t.plan(c, min(twinWatch, left))
	return true
}

func (t *turn) twinRemoved(r Result) {
	switch {
	case t.Reason != "":
		t.leave()
	case r.Outcome == OK || r.Outcome == Missing:
		t.unplan()
		t.plan(Register, 0)
	case r.Outcome == JobRunning:
		// Its lock lapses within minutes if nobody renews it, and its owner ends
		// the job otherwise: both end this wait.
		t.patience = t.now.Add(twinBusy + bootPatience)
		t.plan(LookUp, twinBusy)
	case r.worthAnotherTry() && t.tryAgain(LookUp, r, t.patience):
	default:
		t.leaveFor(codeFor(r.Outcome), "cannot remove the agent that holds the name", r.Err)
	}
}
