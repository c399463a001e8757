package lifecycle

import "time"

// This file weighs the evidence of a job: what shows that one runs, the scan of the
// process table before a job is cut, and why a job was cut.
//
// Any evidence of a job means busy: the listener's notifications, the job that the
// server has assigned, a worker in the process table. Evidence is kept while the
// server cannot be asked. It is dropped only when the same source, or the listener
// itself, says that the job is over.

// WorkerState is what the process table shows of a job.
type WorkerState string

// The states of a worker.
const (
	WorkerUnknown      WorkerState = ""        // the process table was not read, or could not be
	NoWorker           WorkerState = "none"    // no worker runs below the listener
	WorkerWithoutSteps WorkerState = "waiting" // a worker runs, and no step of the job: it prepares, or reports the result
	WorkerWithSteps    WorkerState = "steps"   // a worker runs, with processes of the job below it
)

func (w WorkerState) runs() bool { return w == WorkerWithoutSteps || w == WorkerWithSteps }

// hasJob says that there is evidence of a job.
func (s State) hasJob() bool {
	return s.Job == RunningJob || s.session.jobAssigned || s.session.worker.runs()
}

// noteWorker records what the process table shows.
func (t *transition) noteWorker(w WorkerState) {
	t.session.scanned = w
	if w != WorkerUnknown {
		t.session.worker = w
	}
}

// scan asks for a scan of the process table, unless one is under way.
func (t *transition) scan() {
	t.session.nextScanAt = time.Time{}
	if t.session.scanSince.IsZero() {
		t.session.scanSince = t.now
		t.do(ScanForWorker{})
	}
}

// workerScanned records the result of a scan. It shows the state at the start of the
// scan, because azptend may have been frozen since.
func (t *transition) workerScanned(w WorkerState) {
	if t.session.scanSince.IsZero() { // of a listener that has exited
		return
	}
	t.noteWorker(w)
	t.session.scannedAt, t.session.scanSince = t.session.scanSince, time.Time{}
	t.drain.cutScanned = !t.drain.cutSince.IsZero() && !t.drain.scanTooOld
	t.drain.scanTooOld = false
	if signalled := t.Listener == Interrupted || t.Listener == Killed; signalled && w.runs() {
		t.drain.mayBeCut = true
	}
}

// clearWorker drops the scan results of a job that is over, or of a listener that has
// exited.
func (t *transition) clearWorker() {
	t.session.worker, t.session.scannedAt = WorkerUnknown, time.Time{}
}

// clearListener drops what belongs to one listener.
func (t *transition) clearListener() {
	t.clearWorker()
	t.session.scanSince, t.session.nextScanAt = time.Time{}, time.Time{}
	t.drain.interruptCause, t.drain.mayBeCut = End{}, false
	t.drain.stopSince = time.Time{}
}

// scanPeriodically scans every scanInterval while the notification socket is lost,
// because the server may not answer.
func (t *transition) scanPeriodically() {
	switch {
	case t.Job != UnknownJob:
		if t.drain.cutSince.IsZero() {
			t.session.nextScanAt = time.Time{}
		}
	case t.session.scannedAt.IsZero() || reached(t.session.nextScanAt, t.now):
		t.scan()
	case t.session.nextScanAt.IsZero() && t.session.scanSince.IsZero():
		t.session.nextScanAt = t.now.Add(scanInterval)
	}
}

// scanBeforeCut scans the process table before a job is cut, because what azptend knows
// may be old if it was frozen or slow. See cutIsDue.
func (t *transition) scanBeforeCut() {
	if t.drain.cutSince.IsZero() {
		t.beginCut()
	}
	switch {
	case !t.drain.cutScanned, reached(t.session.nextScanAt, t.now):
		t.scan()
	case t.jobMayBeOver() && t.session.nextScanAt.IsZero() && t.session.scanSince.IsZero():
		t.session.nextScanAt = t.now.Add(cutScanInterval)
	}
}

// cutIsDue says that the listener must be interrupted now, which cuts its job. If no
// step of the job runs, its steps are over or have not begun. There is nothing to cancel
// then, so azptend waits for the job's result, for up to half of the part for stopping.
func (t *transition) cutIsDue() bool {
	if t.cutAwaitsScan() {
		return reached(t.session.scanSince.Add(t.cutScanTimeout()), t.now)
	}
	return !t.jobMayBeOver() || reached(t.cutDeadline(), t.now)
}

// jobMayBeOver says that there is evidence of a job, and that no step of it runs.
func (s State) jobMayBeOver() bool {
	return s.hasJob() && (s.session.worker == NoWorker || s.session.worker == WorkerWithoutSteps)
}

// budgetCause is why a job is cut when the part for draining is spent. It depends
// on what is known of the job, and on whether a scan has confirmed that.
func (t *transition) budgetCause(scanned bool) End {
	scanned = scanned && t.session.worker != WorkerUnknown
	switch {
	case scanned && t.hasJob() && t.session.worker != WorkerWithSteps:
		return notReported
	case !scanned && t.Job == UnknownJob && !t.hasJob():
		return notSeen
	}
	return budgetSpent
}

// cutAwaitsScan says that a job is due to be cut, and that the scan before the cut has
// not finished.
func (s State) cutAwaitsScan() bool { return !s.drain.cutSince.IsZero() && !s.drain.cutScanned }

// beginCut makes a cut due. A scan that is under way is too old for it.
func (t *transition) beginCut() {
	t.drain.cutSince, t.drain.cutScanned, t.drain.scanTooOld = t.now, false, !t.session.scanSince.IsZero()
}

// cancelCut is called when a job need no longer be cut.
func (t *transition) cancelCut() {
	t.drain.cutSince, t.drain.cutScanned, t.drain.scanTooOld = time.Time{}, false, false
	t.session.nextScanAt = time.Time{}
}

// cutScanTimeout is the timeout of one scan before a cut.
func (s State) cutScanTimeout() time.Duration {
	return max(min(maxScanTime, s.Budget.Stop/2), lastScanTimeout)
}

// cutDeadline is when a job without a running step is cut after all: the other half of
// the part for stopping is for the listener's exit. It is at least cutScanTimeout after
// the cut became due, so that after a freeze the queued events are applied first.
func (s State) cutDeadline() time.Time {
	if s.drain.cutSince.IsZero() {
		return time.Time{}
	}
	end := earliest(s.drain.cutSince, s.sinceGraceStart(s.Budget.Drain)).Add(s.Budget.Stop / 2)
	if least := s.drain.cutSince.Add(s.cutScanTimeout()); end.Before(least) {
		return least
	}
	return end
}

// nextCutTick is when cutIsDue may change its answer; zero if no cut is due.
func (s State) nextCutTick() time.Time {
	if !s.session.scanSince.IsZero() && s.cutAwaitsScan() {
		return s.session.scanSince.Add(s.cutScanTimeout())
	}
	return s.cutDeadline()
}

// The ends of a run in which azptend interrupted the listener, if that cut a job.
var (
	budgetSpent = End{Outcome: JobCut, Reason: "the job was cut: the drain time expired"}
	notReported = End{Outcome: JobCut, Reason: "the job may be lost: its steps finished, but the result was not reported before the drain time expired"}
	notSeen     = End{Outcome: JobCut, Reason: "a job may have been cut when the drain time expired: azptend could not see whether one ran"}
	onTerm      = End{Outcome: JobCut, Reason: "the job was cancelled: AZP_ON_TERM (--on-term) is cancel"}
	byUser      = End{Outcome: JobCancelled, Reason: "the job was cancelled by a second SIGINT"}
	agentGone   = End{Outcome: JobCut, Reason: "the job was cut: it started while the agent was being stopped"}
)

// judgeCut decides whether a job was cut, after the exit of a listener that azptend
// interrupted. The job may have succeeded, but only the listener's log would say so, and
// jobs can write to that log.
func (t *transition) judgeCut(e ListenerExited) {
	switch {
	case e.Cut == SurelyCut && t.drain.interruptCause == agentGone && !t.drain.mayBeCut: // no job ran when azptend interrupted it
		t.setEnd(cutByOthers)
	case t.drain.mayBeCut || e.Cut == SurelyCut:
		t.setEnd(t.drain.interruptCause)
	}
	t.drain.mayBeCut = false
}
