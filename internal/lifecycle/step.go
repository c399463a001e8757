package lifecycle

import "time"

// Apply takes in an event after which more have happened already. All of them are
// known before anything is decided, and before any deadline: so no job is cut, or
// called cut, that has ended. The last of them goes to Step.
func Apply(s State, e Event, now time.Time) (State, []Action) {
	if s.Phase == Gone {
		return s, nil
	}
	t := transition{State: s, now: now}
	t.apply(e)
	return t.State, t.actions
}

// Step takes one event at one time and says what follows: the next state and
// the actions to do, in order. It does not change s.
func Step(s State, e Event, now time.Time) (State, []Action) {
	if s.Phase == Gone {
		return s, nil
	}
	t := transition{State: s, now: now}
	t.apply(e)
	t.checkDeadlines()
	t.advance()
	for t.Phase != Gone && reached(t.NextTick(), now) { // a part of the budget may be empty
		t.checkDeadlines()
		t.advance()
	}
	return t.State, t.actions
}

// NextTick is when Step wants a Tick if nothing else happens; zero for never.
func (s State) NextTick() time.Time {
	if s.Phase == Gone {
		return time.Time{}
	}
	times := []time.Time{s.exitDeadline(), s.abortAt, s.lifetimeDeadline(), s.idleDeadline(), s.readyDeadline()}
	if s.call == NoCall && s.next != NoCall && !s.cutAwaitsScan() {
		times = append(times, s.when)
	}
	switch s.Phase {
	case Draining:
		drain := s.sinceGraceStart(s.budget.Drain)
		if !s.cutSince.IsZero() {
			drain = s.nextCutTick()
		}
		times = append(times, drain, s.lookAt)
	case Stopping:
		times = append(times, s.killAt)
	}
	return earliest(times...)
}

// NextRetry is when a call that failed is made again, and until when that goes on;
// zero where there is no such call, or no such end.
func (s State) NextRetry() (at, until time.Time) {
	if s.call != NoCall || s.next == NoCall || s.tries == 0 {
		return time.Time{}, time.Time{}
	}
	return s.when, s.until
}

// transition is one step being made.
type transition struct {
	State
	now     time.Time
	actions []Action
}

func (t *transition) do(a Action) { t.actions = append(t.actions, a) }

// apply writes down what an event taught.
func (t *transition) apply(e Event) {
	switch e := e.(type) {
	case Begin:
		t.born, t.former = t.now, e.PreviousAgentID
		t.patience = t.now.Add(bootTimeout)
		t.schedule(Prepare, 0)
	case PrepareResult:
		t.callEnded()
		t.prepared(e)
	case RegisterResult:
		t.callEnded()
		t.registered(e)
	case LookUpResult:
		t.callEnded()
		t.lookedUp(e)
	case RemoveConflictingResult:
		t.callEnded()
		t.conflictingRemoved(e.Result)
	case LaunchResult:
		t.callEnded()
		t.launched(e.Result)
	case DisableResult:
		t.callEnded()
		t.disabled(e.Result)
	case InspectResult:
		t.callEnded()
		t.inspected(e)
	case WorkerScanned:
		t.workerScanned(e.Worker)
	case RemoveResult:
		t.callEnded()
		t.removeAnswered(e.Result)
	case SessionReady:
		t.sessionReady()
	case SessionConflict:
		t.sessionConflict()
	case AgentMaybeDeleted:
		t.agentMaybeDeleted(e)
	case JobStarted:
		t.jobStarted()
	case JobFinished:
		t.jobFinished()
	case SocketLost:
		t.socketLost()
	case ListenerExited:
		t.listenerExited(e)
	case UpdateEnded:
		t.updateEnded()
	case DrainRequested:
		t.drainRequested(e)
	case UserInterrupt:
		t.userInterrupt()
	case Tick:
	}
}

// advance does what the state asks for: it is the one place where calls start.
func (t *transition) advance() {
	switch t.Phase {
	case Draining:
		t.advanceDraining()
	case Removing:
		t.advanceRemoving()
	case Stopping:
		t.advanceStopping()
	}
	if t.Phase != Gone && t.call == NoCall && t.next != NoCall && reached(t.when, t.now) && !t.cutAwaitsScan() {
		t.startCall(t.next)
	}
}

// schedule makes c the next call, after a while. It replaces what was planned.
func (t *transition) schedule(c Call, after time.Duration) {
	t.next, t.when = c, t.now.Add(after)
}

// nothingScheduled says that no call is in flight and none is planned.
func (t *transition) nothingScheduled() bool { return t.call == NoCall && t.next == NoCall }

func (t *transition) unschedule() { t.next, t.when, t.tries = NoCall, time.Time{}, 0 }

func (t *transition) startCall(c Call) {
	a := StartCall{Call: c, AgentID: t.AgentID, Deadline: t.callDeadline(c)}
	switch c {
	case Register:
		t.Registration = Pending
	case RemoveConflicting:
		a.AgentID = t.twin
	}
	t.call, t.askedAt, t.next, t.when = c, t.now, NoCall, time.Time{}
	t.do(a)
}

func (t *transition) callEnded() { t.call, t.abortAt = NoCall, time.Time{} }

// callDeadline is when a call is no longer waited for.
func (t *transition) callDeadline(c Call) time.Time {
	by := t.now.Add(callTimeout)
	if c == Prepare {
		by = earliest(t.patience, t.exitDeadline())
	}
	switch {
	case t.Phase == Draining:
		return earliest(by, t.drainDeadline())
	case c == Remove && !t.clock.IsZero():
		return earliest(by, t.removeCallDeadline(t.now))
	}
	return earliest(by, t.exitDeadline())
}

// retry plans the same call once more, later each time; until is when that
// stops making sense (zero: never). Up to half as long again is added by chance,
// so that a hundred agents do not come back at the same moment. Close to the end
// the pause is half of what is left, even against the server's wish: the last try costs nothing and may save
// a ghost. It says false when until is reached.
func (t *transition) retry(c Call, r Result, until time.Time) bool {
	pause := max(min(minRetryPause<<min(t.tries, 8), maxRetryPause), min(r.RetryAfter, maxRetryAfter))
	pause += time.Duration(t.policy.jitter(t.tries) * float64(pause) / 2)
	if reached(until, t.now.Add(pause)) {
		pause = until.Sub(t.now) / 2
	}
	if pause < shortPause {
		return false
	}
	t.tries++
	t.until = until
	t.schedule(c, pause)
	return true
}

// setEnd sets the exit code. The first reason stands, unless a later one is
// worse news than a 0.
func (t *transition) setEnd(code int, why string, err error) {
	if t.why == "" || (t.code == 0 && code != 0) {
		t.code, t.why, t.err = code, why, err
	}
}

// finish ends the life.
func (t *transition) finish() {
	if t.Listener == Running || t.Listener == Interrupted {
		t.Listener = Killed
		t.do(KillListener{})
	}
	if t.mayBeCut { // its listener's end was not seen
		t.setEnd(t.toldFor.code, t.toldFor.why, nil)
	}
	if t.policy.StrictRemove && t.Registration == Abandoned {
		t.setEnd(exitTryAgain, notRemoved, t.nameErr)
	}
	t.Phase = Gone
	t.unschedule()
	t.do(Finish{Code: t.code, Reason: t.why, Err: t.err})
}

// finishWith ends a life that has nothing to remove.
func (t *transition) finishWith(code int, why string, err error) {
	t.setEnd(code, why, err)
	t.finish()
}

// abandon gives up on removing the agent.
func (t *transition) abandon(err error) {
	t.do(ReportLeftover{AgentID: t.AgentID, Err: err})
	t.Registration, t.nameErr = Abandoned, err
}

const notRemoved = "the agent could not be removed from its pool"
