package lifecycle

import "time"

// This file is about the evidence of a job: what shows that one runs, the look at
// the process table before a job is cut, and why a job was cut.
//
// Any evidence of a job means busy: the listener's notifications, the server's
// assigned request, a worker in the process table. Evidence is kept while the
// server cannot be asked, and dropped only when the same source, or the listener
// itself, says that the job is over.

// WorkerState is what the process table shows of a job.
type WorkerState string

// The kinds of work.
const (
	WorkerUnknown      WorkerState = ""        // the process table was not read, or could not be
	NoWorker           WorkerState = "none"    // no worker runs below the listener
	WorkerWithoutSteps WorkerState = "waiting" // a worker runs, and none of the job's steps: it prepares, or reports the result
	WorkerWithSteps    WorkerState = "steps"   // a worker runs, and processes of the job below it
)

// runs says that a worker runs.
func (w WorkerState) runs() bool { return w == WorkerWithoutSteps || w == WorkerWithSteps }

// hasJob says that there is evidence of a job.
func (t *transition) hasJob() bool { return t.Job == RunningJob || t.assigned || t.work.runs() }

// noteWorker takes in what the process table shows.
func (t *transition) noteWorker(w WorkerState) {
	if w != WorkerUnknown {
		t.work = w
	}
}

// scanRunning says that a look at the process table is under way.
func (s State) scanRunning() bool { return !s.lookingSince.IsZero() }

// scan asks for a look at the process table, unless one is under way.
func (t *transition) scan() {
	t.lookAt = time.Time{}
	if t.scanRunning() {
		return
	}
	t.lookingSince = t.now
	t.do(ScanForWorker{})
}

// workerScanned takes in a look at the process table. What it shows is as old as the
// look: azptend may have been frozen since.
func (t *transition) workerScanned(w WorkerState) {
	if !t.scanRunning() { // of a listener that has ended
		return
	}
	t.noteWorker(w)
	t.lookedAt, t.lookingSince = t.lookingSince, time.Time{}
	t.cutSeen = !t.cutSince.IsZero() && !t.oldLook
	t.oldLook = false
	if told := t.Listener == Interrupted || t.Listener == Killed; told && w.runs() {
		t.mayBeCut = true
	}
}

// clearWorker drops what was seen of a job that is over, or of a listener that has
// ended.
func (t *transition) clearWorker() { t.work, t.lookedAt = WorkerUnknown, time.Time{} }

// clearListener drops what belongs to one listener.
func (t *transition) clearListener() {
	t.clearWorker()
	t.lookingSince, t.lookAt = time.Time{}, time.Time{}
	t.toldFor, t.mayBeCut = cutCause{}, false
}

// scanPeriodically looks at the process table now and again while the notification socket
// is lost: the server may be away, and its answer may be late.
func (t *transition) scanPeriodically() {
	switch {
	case t.Job != UnknownJob:
		if t.cutSince.IsZero() {
			t.lookAt = time.Time{}
		}
	case t.lookedAt.IsZero() || reached(t.lookAt, t.now):
		t.scan()
	case t.lookAt.IsZero() && !t.scanRunning():
		t.lookAt = t.now.Add(scanInterval)
	}
}

// tryCut cuts the job, if it still runs. It looks at the process table first: what
// azptend knows may be old, because it may have been frozen or slow. If no step of
// the job runs, the job is over or has not begun. There is nothing to cancel, so
// azptend waits for its report, for up to half of the part for stopping. cutDue
// returns true once it has interrupted the listener.
func (t *transition) tryCut(c cutCause) bool {
	if t.cutSince.IsZero() {
		t.beginCut()
	}
	over := t.hasJob() && (t.work == NoWorker || t.work == WorkerWithoutSteps)
	switch {
	case !t.cutSeen:
		t.scan()
		if !reached(t.lookingSince.Add(t.scanTimeout()), t.now) {
			return false
		}
	case over && !reached(t.cutDeadline(), t.now):
		switch {
		case reached(t.lookAt, t.now):
			t.scan()
		case t.lookAt.IsZero() && !t.scanRunning():
			t.lookAt = t.now.Add(cutScanInterval)
		}
		return false
	}
	if c == budgetSpent {
		c = t.budgetCause(t.cutSeen)
	}
	t.interrupt(c)
	return true
}

// budgetCause is why a job is cut when the part for draining is spent, by what is
// known of the job.
func (t *transition) budgetCause(fresh bool) cutCause {
	fresh = fresh && t.work != WorkerUnknown
	switch {
	case fresh && t.hasJob() && t.work != WorkerWithSteps:
		return notReported
	case !fresh && t.Job == UnknownJob && !t.hasJob():
		return notSeen
	}
	return budgetSpent
}

// cutAwaitsScan says that a job is due to be cut, and that the look at the process table
// before that is not back yet.
func (s State) cutAwaitsScan() bool { return !s.cutSince.IsZero() && !s.cutSeen }

// beginCut makes a cut due. A look that is under way is too old for it.
func (t *transition) beginCut() { t.cutSince, t.cutSeen, t.oldLook = t.now, false, t.scanRunning() }

// cancelCut is called when a job need not be cut any more.
func (t *transition) cancelCut() {
	t.cutSince, t.cutSeen, t.oldLook, t.lookAt = time.Time{}, false, false, time.Time{}
}

// scanTimeout is how long one look before a cut is waited for.
func (s State) scanTimeout() time.Duration {
	return max(min(scanTimeoutMax, s.budget.Stop/2), lastScanTimeout)
}

// cutDeadline is when a job without a running step is cut all the same: the other half
// of the part for stopping is for the listener to end. After a freeze there is still
// lookPatience, so that events from the meantime are taken in first.
func (s State) cutDeadline() time.Time {
	if s.cutSince.IsZero() {
		return time.Time{}
	}
	end, least := earliest(s.cutSince, s.sinceGraceStart(s.budget.Drain)).Add(s.budget.Stop/2), s.cutSince.Add(s.scanTimeout())
	if end.Before(least) {
		return least
	}
	return end
}

// nextCutTick is when a cut that waits goes on; zero where none waits.
func (s State) nextCutTick() time.Time {
	switch {
	case s.cutSince.IsZero():
		return time.Time{}
	case s.scanRunning() && s.cutAwaitsScan():
		return s.lookingSince.Add(s.scanTimeout())
	}
	return s.cutDeadline()
}

// cutCause is why azptend interrupted the listener: the exit code and the reason in the
// log if that cut a job.
type cutCause struct {
	code int
	why  string
}

// The causes. The words are the log's.
var (
	budgetSpent = cutCause{exitTryAgain, "the job was cut: the grace period's part for draining was spent"}
	notReported = cutCause{exitTryAgain, "the job may be lost: none of its steps ran, and its end was not reported, when the grace period's part for draining was spent"}
	notSeen     = cutCause{exitTryAgain, "a job may have been cut when the grace period's part for draining was spent: azptend could not see whether one ran"}
	onTerm      = cutCause{exitTryAgain, "the job was cancelled: AZP_ON_TERM (--on-term) is cancel"}
	byUser      = cutCause{exitPerson, "a person cancelled the job"}
	agentGone   = cutCause{exitTryAgain, "the job was cut: it began while the agent was being stopped"}
)

// judgeCut decides whether a job was cut, once a listener has ended that azptend
// interrupted. The job may have succeeded all the same, but only the listener's log
// would say so, and a job can write that.
func (t *transition) judgeCut(e ListenerExited) {
	switch {
	case e.Cut == SurelyCut && t.toldFor == agentGone && !t.mayBeCut: // no job ran when we told it
		t.setEnd(exitTryAgain, cutByOthers, nil)
	case t.mayBeCut || e.Cut == SurelyCut:
		t.setEnd(t.toldFor.code, t.toldFor.why, nil)
	}
	t.mayBeCut = false
}
