package lifecycle

import "time"

// Take takes in an event after which more have happened already. All of them are
// known before anything is decided, and before any deadline: so no job is cut, or
// called cut, that has ended. The last of them goes to Step.
func Take(s State, e Event, now time.Time) (State, []Action) {
	if s.Phase == Gone {
		return s, nil
	}
	t := turn{State: s, now: now}
	t.learn(e)
	return t.State, t.actions
}

// Step takes one event at one time and says what follows: the next state and
// the actions to do, in order. It does not change s.
func Step(s State, e Event, now time.Time) (State, []Action) {
	if s.Phase == Gone {
		return s, nil
	}
	t := turn{State: s, now: now}
	t.learn(e)
	t.keepDeadlines()
	t.proceed()
	for t.Phase != Gone && reached(t.Wake(), now) { // a part of the budget may be empty
		t.keepDeadlines()
		t.proceed()
	}
	return t.State, t.actions
}

// Wake is when Step wants a Tick if nothing else happens; zero for never.
func (s State) Wake() time.Time {
	if s.Phase == Gone {
		return time.Time{}
	}
	times := []time.Time{s.lastCall(), s.abortAt, s.lifetimeEnds(), s.idleEnds(), s.startEnds()}
	if s.call == NoCall && s.next != NoCall && !s.cutUnseen() {
		times = append(times, s.when)
	}
	switch s.Phase {
	case Draining:
		drain := s.onClock(s.budget.Drain)
		if !s.cutSince.IsZero() {
			drain = s.cutWakes()
		}
		times = append(times, drain, s.lookAt)
	case Stopping:
		times = append(times, s.killAt)
	}
	return earliest(times...)
}

// NextTry is when a call that failed is made again, and until when that goes on;
// zero where there is no such call, or no such end.
func (s State) NextTry() (at, until time.Time) {
	if s.call != NoCall || s.next == NoCall || s.tries == 0 {
		return time.Time{}, time.Time{}
	}
	return s.when, s.until
}

// turn is one step being made.
type turn struct {
	State
	now     time.Time
	actions []Action
}

func (t *turn) do(a Action) { t.actions = append(t.actions, a) }

// learn writes down what an event taught.
func (t *turn) learn(e Event) {
	switch e := e.(type) {
	case Begin:
		t.born, t.former = t.now, e.Former
		t.patience = t.now.Add(bootPatience)
		t.plan(Prepare, 0)
	case Prepared:
		t.answered()
		t.prepared(e)
	case Registered:
		t.answered()
		t.registered(e)
	case LookedUp:
		t.answered()
		t.lookedUp(e)
	case TwinRemoved:
		t.answered()
		t.twinRemoved(e.Result)
	case Launched:
		t.answered()
		t.launched(e.Result)
	case Disabled:
		t.answered()
		t.disabled(e.Result)
	case Inspected:
		t.answered()
		t.inspected(e)
	case WorkSeen:
		t.workSeen(e.Work)
	case Deleted:
		t.answered()
		t.deleted(e.Result)
	case SessionReady:
		t.sessionReady()
	case SessionHeld:
		t.sessionHeld()
	case Doubted:
		t.doubted(e)
	case JobStarted:
		t.jobStarted()
	case JobFinished:
		t.jobFinished()
	case SocketLost:
		t.socketLost()
	case ListenerExited:
		t.listenerExited(e)
	case UpdateSettled:
		t.updateSettled()
	case DrainAsked:
		t.drainAsked(e)
	case PersonInterrupts:
		t.personInterrupts()
	case Tick:
	}
}

// proceed does what the state asks for: it is the one place where calls start.
func (t *turn) proceed() {
	switch t.Phase {
	case Draining:
		t.proceedDraining()
	case Removing:
		t.proceedRemoving()
	case Stopping:
		t.proceedStopping()
	}
	if t.Phase != Gone && t.call == NoCall && t.next != NoCall && reached(t.when, t.now) && !t.cutUnseen() {
		t.ask(t.next)
	}
}

// plan makes c the next call, after a while. It replaces what was planned.
func (t *turn) plan(c Call, after time.Duration) {
	t.next, t.when = c, t.now.Add(after)
}

// unplanned says that no call is in flight and none is planned.
func (t *turn) unplanned() bool { return t.call == NoCall && t.next == NoCall }

func (t *turn) unplan() { t.next, t.when, t.tries = NoCall, time.Time{}, 0 }

func (t *turn) ask(c Call) {
	a := Ask{Call: c, AgentID: t.AgentID, By: t.answerBy(c)}
	switch c {
	case Register:
		t.Registration = Asked
	case RemoveTwin:
		a.AgentID = t.twin
	}
	t.call, t.askedAt, t.next, t.when = c, t.now, NoCall, time.Time{}
	t.do(a)
}

func (t *turn) answered() { t.call, t.abortAt = NoCall, time.Time{} }

// answerBy is when a call is no longer waited for.
func (t *turn) answerBy(c Call) time.Time {
	by := t.now.Add(callTimeout)
	if c == Prepare {
		by = earliest(t.patience, t.lastCall())
	}
	switch {
	case t.Phase == Draining:
		return earliest(by, t.drainEnds())
	case c == Remove && !t.clock.IsZero():
		return earliest(by, t.removalBy(t.now))
	}
	return earliest(by, t.lastCall())
}

// tryAgain plans the same call once more, later each time; until is when that
// stops making sense (zero: never). Up to half as long again is added by chance,
// so that a hundred agents do not come back at the same moment. Close to the end
// the pause is half of what is left, even against the server's wish: the last try costs nothing and may save
// a ghost. It says false when until is reached.
func (t *turn) tryAgain(c Call, r Result, until time.Time) bool {
	pause := max(min(firstPause<<min(t.tries, 8), longestPause), min(r.RetryAfter, mostHeeded))
	pause += time.Duration(t.policy.chance(t.tries) * float64(pause) / 2)
	if reached(until, t.now.Add(pause)) {
		pause = until.Sub(t.now) / 2
	}
	if pause < shortestPause {
		return false
	}
	t.tries++
	t.until = until
	t.plan(c, pause)
	return true
}

// decide sets the exit code. The first reason stands, unless a later one is
// worse news than a 0.
func (t *turn) decide(code int, why string, err error) {
	if t.why == "" || (t.code == 0 && code != 0) {
		t.code, t.why, t.err = code, why, err
	}
}

// leave ends the life.
func (t *turn) leave() {
	if t.Listener == Running || t.Listener == Interrupted {
		t.Listener = Killed
		t.do(Kill{})
	}
	if t.mayBeCut { // its listener's end was not seen
		t.decide(t.toldFor.code, t.toldFor.why, nil)
	}
	if t.policy.StrictRemove && t.Registration == Named {
		t.decide(exitTryAgain, notRemoved, t.nameErr)
	}
	t.Phase = Gone
	t.unplan()
	t.do(Leave{Code: t.code, Why: t.why, Err: t.err})
}

// leaveFor ends a life that has nothing to remove.
func (t *turn) leaveFor(code int, why string, err error) {
	t.decide(code, why, err)
	t.leave()
}

// name gives up on removing the agent.
func (t *turn) name(err error) {
	t.do(Name{AgentID: t.AgentID, Err: err})
	t.Registration, t.nameErr = Named, err
}

const notRemoved = "the agent could not be removed from its pool"
