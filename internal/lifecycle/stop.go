package lifecycle

import "time"

// interrupt tells the listener to cancel its job and exit. judgeCut decides after its
// exit whether that cut a job.
func (t *transition) interrupt(cause End) {
	t.drain.interruptCause, t.drain.mayBeCut = cause, t.hasJob() || cause == notSeen
	t.interruptAndScan()
	t.drain.killAt = earliest(t.now.Add(t.Budget.killAfter()), t.stopDeadline())
	t.stopDraining()
}

func (t *transition) kill() {
	if t.drain.interruptCause == (End{}) {
		t.drain.interruptCause = agentGone
	}
	t.Listener = Killed
	t.do(KillListener{})
	t.drain.killAt = t.now.Add(killTimeout)
	t.stopDraining()
}

// stopDraining changes from Draining to Stopping. It aborts the call in flight, so that
// the removal does not wait for it.
func (t *transition) stopDraining() {
	if t.Phase != Draining {
		return
	}
	t.Phase = Stopping
	t.cancelCut()
	t.unschedule()
	if t.call.inFlight != NoCall {
		t.call.abortAt = t.now
	}
}

func (t *transition) advanceStopping() {
	switch {
	case t.Listener != Absent:
	case t.Registration == Registered:
		t.startRemoving()
		t.advanceRemoving()
	case t.call.inFlight == NoCall:
		t.afterRemoval()
	}
}

// stopIdleListener stops a listener whose agent is removed or abandoned. After the one
// job of a run with Once, the listener exits by itself. If the process table shows a
// worker, azptend may have been frozen when its job began: no other source shows it.
func (t *transition) stopIdleListener() {
	switch {
	case t.served():
		t.Phase, t.drain.killAt = Stopping, t.idleStopDeadline()
	case !t.scannedBeforeStop():
	case t.session.scanned.runs() && !reached(t.drainPartEnd(), t.now):
		t.Phase, t.drain.stopSince = Draining, time.Time{}
		t.schedule(Inspect, inspectInterval)
	default:
		t.Phase, t.drain.killAt = Stopping, t.idleStopDeadline()
		t.drain.interruptCause, t.drain.mayBeCut = agentGone, false
		if t.session.scanned.runs() {
			t.drain.interruptCause, t.drain.mayBeCut = budgetSpent, true
		}
		t.interruptAndScan()
	}
}

// scannedBeforeStop scans the process table, and reports whether the listener can be
// stopped: a recent scan has finished, or a scan hangs. If a scan finished long after it
// began, or a tick came late, azptend was frozen. Then it scans or waits once more.
func (t *transition) scannedBeforeStop() bool {
	s, d := &t.session, &t.drain
	if d.stopSince.IsZero() {
		d.stopSince, d.stopScans = t.now, 0
	}
	wait := stopScanTimeout
	if end := t.drainPartEnd(); !end.IsZero() {
		wait = min(wait, max(end.Sub(t.now), t.cutScanTimeout()))
	}
	recent := d.stopScans > 0 && !s.scannedAt.Before(d.stopSince) && t.now.Sub(s.scannedAt) <= maxScanTime
	underWay := !s.scanSince.IsZero()
	switch {
	case recent:
		return true
	case underWay && d.stopScans > 0 && !reached(d.stopScanBy, t.now):
		return false
	case underWay && d.stopScans > 0 && t.now.Sub(d.stopScanBy) < maxScanTime: // it hangs
		return true
	case d.stopScans >= maxStopScans:
		return true
	}
	d.stopScans, d.stopScanBy = d.stopScans+1, t.now.Add(wait)
	t.scan()
	return false
}

// interruptAndScan sends SIGINT to the listener and scans. If a worker runs now,
// this cuts its job, whether azptend knew of that or not.
func (t *transition) interruptAndScan() {
	t.Listener = Interrupted
	t.do(InterruptListener{})
	t.scan()
}

func (t *transition) idleStopDeadline() time.Time {
	return earliest(t.now.Add(t.Budget.killAfter()), t.exitDeadline())
}
