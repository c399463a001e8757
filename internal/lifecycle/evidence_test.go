package lifecycle

import (
	"testing"
	"time"
)

// TestEvidenceScenarios plays runs in which the evidence of a job is old, or only the
// process table shows it.
func TestEvidenceScenarios(t *testing.T) {
	usual := Policy{Grace: 100 * time.Second} // drain 60 s, stop 30 s, remove 10 s
	lost := concat(busy, []row{{time.Second, SocketLost{}, ""}})
	// The server is down from SIGTERM on, and a worker runs.
	away := func(seen WorkerState) []row {
		return concat(lost, []row{
			{time.Minute, sigterm, "scan, call disable"},
			{time.Second, WorkerScanned{Worker: seen}, ""},
			{59 * time.Second, DisableResult{result(Unreachable)}, "scan"},
			{time.Millisecond, WorkerScanned{Worker: seen}, "interrupt, scan"},
			{time.Millisecond, WorkerScanned{Worker: seen}, ""},
		})
	}
	spent := concat(busy, []row{
		{time.Minute, sigterm, "call disable"},
		{time.Second, DisableResult{ok}, ""},
		{59 * time.Second, Tick{}, "scan"},
	})
	waits := concat(spent, []row{
		{time.Millisecond, WorkerScanned{Worker: WorkerWithoutSteps}, ""},
		{cutScanInterval, Tick{}, "scan"},
	})
	for _, tt := range []struct {
		name   string
		policy Policy
		rows   []row
		why    string
	}{
		{"the socket is lost, and the server away: the process table shows the job that is cut", usual, concat(away(WorkerWithSteps), []row{
			{time.Second, ListenerExited{}, "call remove"},
			{time.Second, RemoveResult{ok}, "finish job cut"},
		}), budgetSpent.Reason},
		{"the same, and the listener's log shows it too: azptend cut it", usual, concat(away(WorkerWithSteps), []row{
			{time.Second, ListenerExited{Cut: SurelyCut}, "call remove"},
			{time.Second, RemoveResult{ok}, "finish job cut"},
		}), budgetSpent.Reason},
		{"the same without a worker: no job was cut", usual, concat(away(NoWorker), []row{
			{time.Second, ListenerExited{}, "call remove"},
			{time.Second, RemoveResult{ok}, "finish ok"},
		}), "SIGTERM"},
		{"the same, and scans fail: it may have been cut", usual, concat(lost, []row{
			{time.Minute, sigterm, "scan, call disable"},
			{time.Second, WorkerScanned{Worker: WorkerUnknown}, ""},
			{59 * time.Second, DisableResult{result(Unreachable)}, "scan"},
			{time.Millisecond, WorkerScanned{Worker: WorkerUnknown}, "interrupt"},
			{time.Second, ListenerExited{}, "call remove"},
			{time.Second, RemoveResult{ok}, "finish job cut"},
		}), notSeen.Reason},
		{"the result of an inspection is kept although the server does not answer", usual, concat(lost, []row{
			{time.Minute, sigterm, "scan, call disable"},
			{time.Second, WorkerScanned{Worker: NoWorker}, ""},
			{time.Second, DisableResult{ok}, "call inspect"},
			{58 * time.Second, InspectResult{Result: result(Unreachable), Worker: WorkerWithSteps}, "scan"},
			{time.Millisecond, WorkerScanned{Worker: WorkerUnknown}, "interrupt"},
			{time.Second, ListenerExited{}, "call remove"},
			{time.Second, RemoveResult{ok}, "finish job cut"},
		}), budgetSpent.Reason},
		{"a job runs on: it is cut", usual, concat(spent, []row{
			{time.Millisecond, WorkerScanned{Worker: WorkerWithSteps}, "interrupt"},
			{time.Second, ListenerExited{}, "call remove"},
			{time.Second, RemoveResult{ok}, "finish job cut"},
		}), budgetSpent.Reason},
		{"none of its steps runs: its report is waited for, and comes", usual, concat(waits, []row{
			{time.Millisecond, WorkerScanned{Worker: WorkerWithoutSteps}, ""},
			{time.Second, JobFinished{}, "scan"},
			{time.Millisecond, WorkerScanned{Worker: NoWorker}, "interrupt"},
			{time.Second, ListenerExited{}, "call remove"},
			{time.Second, RemoveResult{ok}, "finish ok"},
		}), "SIGTERM"},
		{"the same, and a step begins: it is cut", usual, concat(waits, []row{
			{time.Millisecond, WorkerScanned{Worker: WorkerWithSteps}, "interrupt"},
		}), ""},
		{"the same, and its report does not come", usual, concat(waits, []row{
			{time.Millisecond, WorkerScanned{Worker: WorkerWithoutSteps}, ""},
			{14 * time.Second, Tick{}, "scan"},
			{time.Millisecond, WorkerScanned{Worker: WorkerWithoutSteps}, ""},
			{time.Second, Tick{}, "interrupt"},
			{time.Second, ListenerExited{}, "call remove"},
			{time.Second, RemoveResult{ok}, "finish job cut"},
		}), notReported.Reason},
		{"a job that began while the agent was stopped", usual, concat(idle, []row{
			{time.Minute, sigterm, "call disable"},
			{time.Second, DisableResult{ok}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, "call remove"},
			{time.Second, RemoveResult{ok}, "scan"},
			{time.Millisecond, WorkerScanned{Worker: NoWorker}, "interrupt, scan"},
			{time.Millisecond, WorkerScanned{Worker: WorkerWithSteps}, ""},
			{time.Second, ListenerExited{}, "finish job cut"},
		}), agentGone.Reason},
		{"nothing but the process table shows a job when the agent is to be stopped: it is waited for", usual, concat(idle, []row{
			{time.Minute, sigterm, "call disable"},
			{time.Second, DisableResult{ok}, "call inspect"},
			{time.Second, InspectResult{Result: result(NotFound)}, "call remove"},
			{time.Second, RemoveResult{result(Denied)}, ""},
			{time.Second, Tick{}, "call remove"},
			{time.Second, RemoveResult{result(Denied)}, "report 7, scan"},
			{time.Millisecond, WorkerScanned{Worker: WorkerWithSteps}, ""},
			{inspectInterval, Tick{}, "call inspect"},
			{time.Second, InspectResult{Result: result(NotFound), Worker: WorkerWithSteps}, ""},
			{2 * inspectInterval, Tick{}, "call inspect"},
			{time.Second, InspectResult{Result: result(NotFound), Worker: NoWorker}, "scan"},
			{time.Millisecond, WorkerScanned{Worker: NoWorker}, "interrupt, scan"},
			{time.Millisecond, WorkerScanned{Worker: NoWorker}, ""},
			{time.Second, ListenerExited{}, "finish ok"},
		}), "SIGTERM"},
		{"azptend was frozen while the processes were scanned before a stop: they are scanned again", usual, concat(idle, []row{
			{time.Minute, DrainRequested{Reason: "asked"}, "call disable"},
			{time.Second, DisableResult{ok}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, "call remove"},
			{time.Second, RemoveResult{ok}, "scan"},
			{time.Minute, WorkerScanned{Worker: NoWorker}, "scan"},
			{time.Minute, Tick{}, ""}, // the scan's answer may already be queued
			{time.Millisecond, WorkerScanned{Worker: NoWorker}, "scan"},
			{time.Millisecond, WorkerScanned{Worker: NoWorker}, "interrupt, scan"},
			{time.Millisecond, WorkerScanned{Worker: NoWorker}, ""},
			{time.Second, ListenerExited{}, "finish ok"},
		}), "asked"},
		{"a scan before a stop hangs: the listener is stopped without it", usual, concat(idle, []row{
			{time.Minute, DrainRequested{Reason: "asked"}, "call disable"},
			{time.Second, DisableResult{ok}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, "call remove"},
			{time.Second, RemoveResult{ok}, "scan"},
			{stopScanTimeout, Tick{}, "interrupt"},
			{time.Second, WorkerScanned{Worker: NoWorker}, ""},
			{time.Second, ListenerExited{}, "finish ok"},
		}), "asked"},
		{"a listener that was killed during its job: the agent goes on, and the run ends with job cut", usual, concat(busy, []row{
			{time.Minute, ListenerExited{Exit: Exit{Signal: 9}}, "kill, call remove"},
			{time.Second, RemoveResult{ok}, ""},
			{reregisterPause, Tick{}, "call register"},
			{time.Second, RegisterResult{ok, 8}, "call launch"},
			{time.Second, LaunchResult{ok}, ""},
			{time.Second, SessionReady{}, ""},
			{time.Hour, sigterm, "call disable"},
			{time.Second, DisableResult{ok}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, "call remove"},
			{time.Second, RemoveResult{ok}, "scan"},
			{time.Millisecond, WorkerScanned{Worker: NoWorker}, "interrupt, scan"},
			{time.Millisecond, WorkerScanned{Worker: NoWorker}, ""},
			{time.Second, ListenerExited{}, "finish job cut"},
		}), cutByExit + " signal 9"},
		{"it exits during a job with code 0", Policy{Once: true}, concat(idle, []row{
			{time.Minute, JobStarted{}, "call disable"},
			{time.Second, DisableResult{ok}, ""},
			{time.Minute, ListenerExited{}, "kill, call remove"},
			{time.Second, RemoveResult{ok}, "finish job cut"},
		}), exitedOKInJob.Reason},
	} {
		t.Run(tt.name, func(t *testing.T) { playTo(t, tt.policy, tt.rows, tt.why) })
	}
}

// TestFrozen: azptend was frozen during a drain until the drain time had expired. The
// job's end, which was queued, must be applied before the deadline is checked.
func TestFrozen(t *testing.T) {
	drains := concat(busy, []row{
		{time.Minute, sigterm, "call disable"},
		{time.Second, DisableResult{ok}, ""},
	})
	s := play(t, Policy{Grace: 100 * time.Second}, drains)
	thaws := s.drain.graceStartedAt.Add(70 * time.Second)
	s, actions := Apply(s, JobFinished{}, thaws)
	if got := describe(actions); got != "" {
		t.Fatalf("the job's end: %s", got)
	}
	s, actions = Step(s, Tick{}, thaws)
	s, actions = answerScans(s, actions, thaws)
	if got := describe(actions); got != "interrupt" || s.drain.mayBeCut {
		t.Errorf("%s, and cuts a job: %v", got, s.drain.mayBeCut)
	}
}

// TestOldScan: a scan that began before the cut became due does not decide about it.
func TestOldScan(t *testing.T) {
	s := play(t, Policy{Grace: 100 * time.Second}, concat(busy, []row{{time.Second, SocketLost{}, ""}}))
	asked := began.Add(10 * time.Minute)
	s, actions := Step(s, sigterm, asked)
	if got := describe(actions); got != "scan, call disable" {
		t.Fatal(got)
	}
	late := asked.Add(60 * time.Second) // frozen in between
	s, actions = Apply(s, DisableResult{result(Unreachable)}, late)
	if got := describe(actions); got != "" {
		t.Fatal(got)
	}
	s.session.scanSince = late // otherwise the scan has timed out
	s, _ = Step(s, Tick{}, late)
	if s, actions = Step(s, WorkerScanned{Worker: NoWorker}, late); describe(actions) != "scan" {
		t.Fatalf("an old scan decides: %s", describe(actions))
	}
	if _, actions = Step(s, WorkerScanned{Worker: WorkerWithSteps}, late); describe(actions) != "interrupt, scan" {
		t.Fatalf("the new scan does not cut: %s", describe(actions))
	}
}
