package lifecycle

import "time"

// Step applies one event at one time. It returns the next state and the actions to
// carry out, in order. It does not change s.
func Step(s State, e Event, now time.Time) (State, []Action) {
	if s.Phase == Gone {
		return s, nil
	}
	t := transition{State: s, now: now}
	t.apply(e)
	for t.Phase != Gone {
		t.checkDeadlines()
		t.advance()
		if !reached(t.NextTick(), now) { // a part of the budget may be empty
			break
		}
	}
	return t.State, t.actions
}

// Apply applies an event if later events are already queued. The caller passes the
// last one to Step, so that all of them are known before a deadline is checked.
// Otherwise a job could be cut although its end is in the queue.
func Apply(s State, e Event, now time.Time) (State, []Action) {
	if s.Phase == Gone {
		return s, nil
	}
	t := transition{State: s, now: now}
	t.apply(e)
	return t.State, t.actions
}

// NextTick is when Step needs a Tick if nothing else happens; zero for never.
func (s State) NextTick() time.Time {
	if s.Phase == Gone {
		return time.Time{}
	}
	times := []time.Time{s.exitDeadline(), s.call.abortAt, s.lifetimeDeadline(), s.idleDeadline(), s.readyDeadline()}
	if s.call.inFlight == NoCall && s.call.next != NoCall && !s.cutAwaitsScan() {
		times = append(times, s.call.nextAt)
	}
	switch s.Phase {
	case Draining:
		drain := s.drainPartEnd()
		if !s.drain.cutSince.IsZero() {
			drain = s.nextCutTick()
		}
		times = append(times, drain, s.session.nextScanAt)
	case Removing:
		if !s.drain.stopSince.IsZero() && !s.session.scanSince.IsZero() {
			times = append(times, s.drain.stopScanBy)
		}
	case Stopping:
		times = append(times, s.drain.killAt)
	}
	return earliest(times...)
}

// NextRetry is when a call that failed is repeated, and when azptend stops repeating
// it. Zero means that there is no such call, or no such end.
func (s State) NextRetry() (at, until time.Time) {
	if s.call.inFlight != NoCall || s.call.next == NoCall || s.call.failures == 0 {
		return time.Time{}, time.Time{}
	}
	return s.call.nextAt, s.call.retryUntil
}

// transition is a step that is being computed: the state so far and its actions.
type transition struct {
	State
	now     time.Time
	actions []Action
}

func (t *transition) do(a Action) { t.actions = append(t.actions, a) }

// apply calls the handler of an event.
func (t *transition) apply(e Event) {
	if _, answers := e.(interface{ Answer() Result }); answers {
		t.call.inFlight, t.call.abortAt = NoCall, time.Time{}
	}
	switch e := e.(type) {
	case Begin:
		t.startedAt, t.registration.previousID = t.now, e.PreviousAgentID
		t.call.giveUpAt = t.now.Add(bootTimeout)
		t.schedule(Prepare, 0)
	case PrepareResult:
		t.prepared(e)
	case RegisterResult:
		t.registered(e)
	case LookUpResult:
		t.lookedUp(e)
	case RemoveConflictingResult:
		t.conflictingRemoved(e.Result)
	case LaunchResult:
		t.launched(e.Result)
	case DisableResult:
		t.disabled(e.Result)
	case InspectResult:
		t.inspected(e)
	case RemoveResult:
		t.removeAnswered(e.Result)
	case WorkerScanned:
		t.workerScanned(e.Worker)
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
		t.userInterrupt(e)
	case Tick:
	}
}

// advance does what follows from the state. Only this function starts calls.
func (t *transition) advance() {
	switch t.Phase {
	case Draining:
		t.advanceDraining()
	case Removing:
		t.advanceRemoving()
	case Stopping:
		t.advanceStopping()
	}
	next := t.call.next
	if t.Phase == Gone || t.call.inFlight != NoCall || next == NoCall || !reached(t.call.nextAt, t.now) || t.cutAwaitsScan() {
		return
	}
	start := StartCall{Call: next, AgentID: t.AgentID, Deadline: t.callDeadline(next)}
	switch next {
	case Register:
		t.Registration = Pending
	case RemoveConflicting:
		start.AgentID = t.registration.conflictID
	}
	t.call.inFlight, t.call.startedAt, t.call.next, t.call.nextAt = next, t.now, NoCall, time.Time{}
	t.do(start)
}

// schedule makes c the next call, after a pause. It replaces a call that was
// scheduled before.
func (t *transition) schedule(c Call, after time.Duration) {
	t.call.next, t.call.nextAt = c, t.now.Add(after)
}

func (t *transition) unschedule() {
	t.call.next, t.call.nextAt, t.call.failures = NoCall, time.Time{}, 0
}

// nothingScheduled says that no call is in flight and none is scheduled.
func (t *transition) nothingScheduled() bool {
	return t.call.inFlight == NoCall && t.call.next == NoCall
}

// callDeadline is when a call is no longer waited for.
func (t *transition) callDeadline(c Call) time.Time {
	by := t.now.Add(callTimeout)
	if c == Prepare {
		by = t.call.giveUpAt
	}
	switch {
	case t.Phase == Draining:
		return earliest(by, t.lastDrainMoment())
	case c == Remove && !t.drain.graceStartedAt.IsZero():
		return earliest(by, t.removeCallDeadline(t.now))
	}
	return earliest(by, t.exitDeadline())
}

// retry schedules the same call once more, after a longer pause each time. Jitter
// adds up to half of the pause, so that a hundred agents do not retry at the same
// moment. If the pause would reach until (zero: never), it is half of the time left,
// even if the server asked for more: a last try may avoid a ghost. If that is less
// than shortPause, retry returns false.
func (t *transition) retry(c Call, r Result, until time.Time) bool {
	pause := max(backoff(t.call.failures), min(r.RetryAfter, maxRetryAfter))
	pause += time.Duration(t.policy.jitter(t.call.failures) * float64(pause) / 2)
	if reached(until, t.now.Add(pause)) {
		pause = until.Sub(t.now) / 2
	}
	if pause < shortPause {
		return false
	}
	t.call.failures++
	t.call.retryUntil = until
	t.schedule(c, pause)
	return true
}

// setEnd sets how the run ends. It does not replace an earlier end, unless that is OK
// and e is not.
func (t *transition) setEnd(e End) {
	if t.end.Reason == "" || (t.end.Outcome == OK && e.Outcome != OK) {
		t.end = e
	}
}

// finish ends the run.
func (t *transition) finish() {
	if t.Listener == Running || t.Listener == Interrupted {
		t.Listener = Killed
		t.do(KillListener{})
	}
	if t.drain.mayBeCut { // azptend did not see its listener exit
		t.setEnd(t.drain.interruptCause)
	}
	if t.policy.StrictRemove && t.Registration == Abandoned {
		t.setEnd(End{Outcome: NotRemoved, Reason: notRemoved, Err: t.registration.abandonErr})
	}
	t.Phase = Gone
	t.unschedule()
	t.do(Finish{End: t.end})
}

const notRemoved = "the agent could not be removed from its pool"

// finishWith ends a run that has nothing to remove.
func (t *transition) finishWith(e End) {
	t.setEnd(e)
	t.finish()
}

// abandon gives up on removing the agent.
func (t *transition) abandon(err error) {
	t.do(ReportLeftover{AgentID: t.AgentID, Err: err})
	t.Registration, t.registration.abandonErr = Abandoned, err
}
