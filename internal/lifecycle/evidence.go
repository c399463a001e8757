package lifecycle

import "time"

// This file is about the evidence of a job: what shows that one runs, the look at
// the process table before a job is cut, and why a job was cut.
//
// Any evidence of a job means busy: the listener's notifications, the server's
// assigned request, a worker in the process table. Evidence is kept while the
// server cannot be asked, and dropped only when the same source, or the listener
// itself, says that the job is over.

// Work is what the process table shows of a job.
type Work string

// The kinds of work.
const (
	Unseen  Work = ""        // the process table was not read, or could not be
	NoWork  Work = "none"    // no worker runs below the listener
	NoSteps Work = "waiting" // a worker runs, and none of the job's steps: it prepares, or reports the result
	Steps   Work = "steps"   // a worker runs, and processes of the job below it
)

// worker says that a worker runs.
func (w Work) worker() bool { return w == NoSteps || w == Steps }

// hasJob says that there is evidence of a job.
func (t *turn) hasJob() bool { return t.Job == RunningJob || t.assigned || t.work.worker() }

// see takes in what the process table shows.
func (t *turn) see(w Work) {
	if w != Unseen {
		t.work = w
	}
}

// looking says that a look at the process table is under way.
func (s State) looking() bool { return !s.lookingSince.IsZero() }

// look asks for a look at the process table, unless one is under way.
func (t *turn) look() {
	t.lookAt = time.Time{}
	if t.looking() {
		return
	}
	t.lookingSince = t.now
	t.do(LookForWork{})
}

// workSeen takes in a look at the process table. What it shows is as old as the
// look: azptend may have been frozen since.
func (t *turn) workSeen(w Work) {
	if !t.looking() { // of a listener that has ended
		return
	}
	t.see(w)
	t.lookedAt, t.lookingSince = t.lookingSince, time.Time{}
	t.cutSeen = !t.cutSince.IsZero() && !t.oldLook
	t.oldLook = false
	if told := t.Listener == Interrupted || t.Listener == Killed; told && w.worker() {
		t.mayBeCut = true
	}
}

// forgetWork drops what was seen of a job that is over, or of a listener that has
// ended.
func (t *turn) forgetWork() { t.work, t.lookedAt = Unseen, time.Time{} }

// forgetListener drops what belongs to one listener.
func (t *turn) forgetListener() {
	t.forgetWork()
	t.lookingSince, t.lookAt = time.Time{}, time.Time{}
	t.toldFor, t.mayBeCut = cause{}, false
}

// watchWork looks at the process table now and again while the notification socket
// is lost: the server may be away, and its answer may be late.
func (t *turn) watchWork() {
	switch {
	case t.Job != UnknownJob:
		if t.cutSince.IsZero() {
			t.lookAt = time.Time{}
		}
	case t.lookedAt.IsZero() || reached(t.lookAt, t.now):
		t.look()
	case t.lookAt.IsZero() && !t.looking():
		t.lookAt = t.now.Add(lookEvery)
	}
}

// cutDue cuts the job, if it still runs. It looks at the process table first: what
// azptend knows may be old, because it may have been frozen or slow. If no step of
// the job runs, the job is over or has not begun. There is nothing to cancel, so
// azptend waits for its report, for up to half of the part for stopping. cutDue
// returns true once it has interrupted the listener.
func (t *turn) cutDue(c cause) bool {
	if t.cutSince.IsZero() {
		t.beginCut()
	}
	over := t.hasJob() && (t.work == NoWork || t.work == NoSteps)
	switch {
	case !t.cutSeen:
		t.look()
		if !reached(t.lookingSince.Add(t.lookPatience()), t.now) {
			return false
		}
	case over && !reached(t.cutEnds(), t.now):
		switch {
		case reached(t.lookAt, t.now):
			t.look()
		case t.lookAt.IsZero() && !t.looking():
			t.lookAt = t.now.Add(lookSoon)
		}
		return false
	}
	if c == budgetSpent {
		c = t.spentCause(t.cutSeen)
	}
	t.interrupt(c)
	return true
}

// spentCause is why a job is cut when the part for draining is spent, by what is
// known of the job.
func (t *turn) spentCause(fresh bool) cause {
	fresh = fresh && t.work != Unseen
	switch {
	case fresh && t.hasJob() && t.work != Steps:
		return notReported
	case !fresh && t.Job == UnknownJob && !t.hasJob():
		return notSeen
	}
	return budgetSpent
}

// cutUnseen says that a job is due to be cut, and that the look at the process table
// before that is not back yet.
func (s State) cutUnseen() bool { return !s.cutSince.IsZero() && !s.cutSeen }

// beginCut makes a cut due. A look that is under way is too old for it.
func (t *turn) beginCut() { t.cutSince, t.cutSeen, t.oldLook = t.now, false, t.looking() }

// callOffCut is called when a job need not be cut any more.
func (t *turn) callOffCut() {
	t.cutSince, t.cutSeen, t.oldLook, t.lookAt = time.Time{}, false, false, time.Time{}
}

// lookPatience is how long one look before a cut is waited for.
func (s State) lookPatience() time.Duration { return max(min(lookTimeout, s.budget.Stop/2), lastLook) }

// cutEnds is when a job without a running step is cut all the same: the other half
// of the part for stopping is for the listener to end. After a freeze there is still
// lookPatience, so that events from the meantime are taken in first.
func (s State) cutEnds() time.Time {
	if s.cutSince.IsZero() {
		return time.Time{}
	}
	end, least := earliest(s.cutSince, s.onClock(s.budget.Drain)).Add(s.budget.Stop/2), s.cutSince.Add(s.lookPatience())
	if end.Before(least) {
		return least
	}
	return end
}

// cutWakes is when a cut that waits goes on; zero where none waits.
func (s State) cutWakes() time.Time {
	switch {
	case s.cutSince.IsZero():
		return time.Time{}
	case s.looking() && s.cutUnseen():
		return s.lookingSince.Add(s.lookPatience())
	}
	return s.cutEnds()
}

// cause is why azptend interrupted the listener: the exit code and the reason in the
// log if that cut a job.
type cause struct {
	code int
	why  string
}

// The causes. The words are the log's.
var (
	budgetSpent = cause{exitTryAgain, "the job was cut: the grace period's part for draining was spent"}
	notReported = cause{exitTryAgain, "the job may be lost: none of its steps ran, and its end was not reported, when the grace period's part for draining was spent"}
	notSeen     = cause{exitTryAgain, "a job may have been cut when the grace period's part for draining was spent: azptend could not see whether one ran"}
	onTerm      = cause{exitTryAgain, "the job was cancelled: AZP_ON_TERM (--on-term) is cancel"}
	byPerson    = cause{exitPerson, "a person cancelled the job"}
	agentGone   = cause{exitTryAgain, "the job was cut: it began while the agent was being stopped"}
)

// judgeCut decides whether a job was cut, once a listener has ended that azptend
// interrupted. The listener's own log decides: the job may have succeeded all the
// same.
func (t *turn) judgeCut(e ListenerExited) {
	switch {
	case e.Cut == Over && e.Signal == 0:
	case e.Cut == SurelyCut && t.toldFor == agentGone && !t.mayBeCut: // no job ran when we told it
		t.decide(exitTryAgain, cutByOthers, nil)
	case t.mayBeCut || e.Cut == SurelyCut:
		t.decide(t.toldFor.code, t.toldFor.why, nil)
	}
	t.mayBeCut = false
}
