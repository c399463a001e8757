package lifecycle

import (
	"testing"
	"time"
)

// TestLimits plays runs that a limit ends. Each disables the agent and inspects it before
// the removal, so that a job that was assigned just before is not lost.
func TestLimits(t *testing.T) {
	with := func(l Limits) Policy { return Policy{Grace: 100 * time.Second, NameWait: time.Minute, Limits: l} }
	removed := []row{
		{time.Second, InspectResult{Result: ok}, "call remove"},
		{time.Second, RemoveResult{ok}, "interrupt"},
		{time.Second, ListenerExited{}, "finish ok"},
	}
	for _, tt := range []struct {
		name   string
		policy Policy
		rows   []row
		why    string
	}{
		{"idle for too long", with(Limits{Idle: 5 * time.Minute}), concat(busy, []row{
			{time.Hour, Tick{}, ""}, // not while a job runs
			{time.Second, JobFinished{}, ""},
			{4 * time.Minute, Tick{}, ""},
			{time.Minute, Tick{}, "call disable"},
			{time.Second, DisableResult{ok}, "call inspect"},
		}, removed), idleTimeoutReached},

		{"idle for too long, and a job slips in", with(Limits{Idle: time.Minute}), concat(idle, []row{
			{time.Minute, Tick{}, "call disable"},
			{time.Second, JobStarted{}, ""},
			{time.Second, DisableResult{ok}, ""},
			{time.Hour, JobFinished{}, "call inspect"}, // the job has no deadline
		}, removed), idleTimeoutReached},

		{"idle for too long with a lost socket: the others are asked", with(Limits{Idle: time.Minute}), concat(busy, []row{
			{time.Second, SocketLost{}, ""},
			{time.Minute, Tick{}, "call disable"},
			{time.Second, DisableResult{ok}, "call inspect"},
			{time.Second, InspectResult{Result: ok, Worker: WorkerWithSteps}, ""},
			{inspectInterval, Tick{}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, ""},
			{idleConfirmTime, Tick{}, "call inspect"},
		}, removed), idleTimeoutReached},

		{"an agent that never becomes ready is idle too", with(Limits{Idle: time.Minute}), concat(started, []row{
			{time.Minute, Tick{}, "call disable"},
			{time.Second, DisableResult{ok}, "call inspect"},
		}, removed), idleTimeoutReached},

		{"its lifetime ends in the middle of a job", with(Limits{Lifetime: time.Hour}), concat(busy, []row{
			{time.Hour, Tick{}, "call disable"},
			{time.Second, DisableResult{ok}, ""},
			{time.Hour, JobFinished{}, "call inspect"},
		}, removed), lifetimeReached},

		{"its lifetime ends before it has registered", with(Limits{Lifetime: time.Second}), []row{
			{0, Begin{}, "call prepare"},
			{time.Second, Tick{}, "finish ok"},
		}, lifetimeReached},

		{"its last job: disabled when that starts", with(Limits{Jobs: 2}), concat(busy, []row{
			{time.Minute, JobFinished{}, ""},
			{time.Minute, JobStarted{}, "call disable"},
			{time.Second, DisableResult{ok}, ""},
			{time.Minute, JobFinished{}, "call inspect"},
		}, removed), jobLimitReached},

		{"jobs that cannot be counted", with(Limits{Jobs: 2}), concat(idle, []row{
			{time.Second, SocketLost{}, "call disable"},
			{time.Second, DisableResult{ok}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, ""},
			{idleConfirmTime, Tick{}, "call inspect"},
		}, removed), cannotCountJobs},

		{"the first Ctrl-C after a limit does not cancel", with(Limits{Jobs: 1}), concat(idle, []row{
			{time.Second, JobStarted{}, "call disable"},
			{time.Second, DisableResult{ok}, ""},
			{time.Minute, UserInterrupt{}, ""},
			{time.Second, JobFinished{}, "call inspect"},
		}, removed), jobLimitReached},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := play(t, tt.policy, tt.rows)
			if s.end.Reason != tt.why || s.Phase != Gone {
				t.Errorf("left in %s for %q", s.Phase, s.end.Reason)
			}
		})
	}
}

// TestCancelOnTerm: SIGTERM cancels the job, and stopping gets the drain time too.
func TestCancelOnTerm(t *testing.T) {
	p := Policy{Grace: 100 * time.Second, CancelOnTerm: true} // drain 60 s, stop 30 s, remove 10 s
	end := []row{
		{time.Second, ListenerExited{}, "call remove"},
		{time.Second, RemoveResult{ok}, "finish job cut"},
	}
	for _, tt := range []struct {
		name string
		rows []row
	}{
		{"busy", concat(busy, []row{
			{time.Second, sigterm, "interrupt"},
			{89 * time.Second, Tick{}, ""},
			{time.Second, Tick{}, "kill"},
		}, end)},
		{"a job slipped in", concat(idle, []row{
			{time.Second, sigterm, "call disable"},
			{time.Second, DisableResult{ok}, "call inspect"},
			{time.Second, InspectResult{Result: ok, Assigned: true}, "interrupt"},
		}, end)},
		{"azptend drain does not cancel, SIGTERM does", concat(busy, []row{
			{time.Second, DrainRequested{Reason: "asked"}, "call disable"},
			{time.Second, DisableResult{ok}, ""},
			{time.Minute, sigterm, "interrupt"},
		}, end)},
	} {
		t.Run(tt.name, func(t *testing.T) { play(t, p, tt.rows) })
	}
	play(t, p, concat(idle, []row{ // idle: the usual path
		{time.Second, sigterm, "call disable"},
		{time.Second, DisableResult{ok}, "call inspect"},
		{time.Second, InspectResult{Result: ok}, "call remove"},
		{time.Second, RemoveResult{ok}, "interrupt"},
		{time.Second, ListenerExited{}, "finish ok"},
	}))
}

// TestLeftovers: a previous run in the same directory is drained and removed before this
// run registers.
func TestLeftovers(t *testing.T) {
	usual := Policy{Grace: 100 * time.Second}
	found := func(l Leftover, then string) []row {
		return []row{
			{0, Begin{}, "call prepare"},
			{time.Second, PrepareResult{Result: ok, Leftover: l}, then},
		}
	}
	for _, tt := range []struct {
		name string
		rows []row
	}{
		{"its agent", concat(found(Leftover{AgentID: 5}, "call remove"), []row{
			{time.Second, RemoveResult{result(JobRunning)}, ""}, // its job has ended, but the lock has not expired
			{5 * time.Minute, Tick{}, "call remove"},
			{time.Second, RemoveResult{ok}, "call register"},
		})},
		{"its agent, already removed", concat(found(Leftover{AgentID: 5}, "call remove"), []row{
			{time.Second, RemoveResult{result(NotFound)}, ""},
			{shortPause, Tick{}, "call remove"},
			{time.Second, RemoveResult{result(NotFound)}, "call register"},
		})},
		{"an idle listener is stopped", concat(found(Leftover{AgentID: 5, ListenerRuns: true}, "call disable"), []row{
			{time.Second, DisableResult{ok}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, ""},
			{idleConfirmTime, Tick{}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, "call remove"},
			{time.Second, RemoveResult{ok}, "interrupt"},
			{time.Second, ListenerExited{}, "call register"},
		})},
		{"a busy one finishes its job", concat(found(Leftover{AgentID: 5, ListenerRuns: true}, "call disable"), []row{
			{time.Second, DisableResult{ok}, "call inspect"},
			{time.Second, InspectResult{Result: ok, Assigned: true, Worker: WorkerWithSteps}, ""},
			{time.Hour, Tick{}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, ""},
			{idleConfirmTime, Tick{}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, "call remove"},
			{time.Second, RemoveResult{ok}, "interrupt"},
			{time.Second, ListenerExited{}, "call register"},
		})},
		{"a busy one, and SIGTERM comes", concat(found(Leftover{AgentID: 5, ListenerRuns: true}, "call disable"), []row{
			{time.Second, DisableResult{ok}, "call inspect"},
			{time.Second, InspectResult{Result: ok, Assigned: true, Worker: WorkerWithSteps}, ""},
			{time.Second, sigterm, "call inspect"},
			{time.Second, InspectResult{Result: ok, Assigned: true, Worker: WorkerWithSteps}, ""},
			{time.Hour, Tick{}, "interrupt, kill"},
			{lastScanTimeout, Tick{}, "report 5, finish job cut"},
		})},
		{"a busy one whose agent is gone: its worker is waited for", concat(found(Leftover{AgentID: 5, ListenerRuns: true}, "call disable"), []row{
			{time.Second, DisableResult{result(NotFound)}, ""},
			{shortPause, Tick{}, "call disable"},
			{time.Second, DisableResult{result(NotFound)}, "call inspect"},
			{time.Second, InspectResult{Result: result(NotFound), Worker: WorkerWithSteps}, ""},
			{inspectInterval, Tick{}, "call inspect"},
			{time.Second, InspectResult{Result: result(NotFound)}, "interrupt"},
			{time.Second, ListenerExited{}, "call register"},
		})},
		{"a busy one that this identity may not inspect: its worker is waited for", concat(found(Leftover{AgentID: 5, ListenerRuns: true, WorkerRuns: true}, "call disable"), []row{
			{time.Second, DisableResult{result(Denied)}, "call inspect"},
			{time.Second, InspectResult{Result: result(Denied), Worker: WorkerWithSteps}, ""},
			{inspectInterval, Tick{}, "call inspect"},
			{time.Second, InspectResult{Result: result(Denied)}, "call remove"},
			{time.Second, RemoveResult{result(Denied)}, ""},
			{minRetryPause, Tick{}, "call remove"},
			{time.Second, RemoveResult{result(Denied)}, "report 5, scan"},
			{time.Millisecond, WorkerScanned{Worker: NoWorker}, "interrupt"},
			{time.Second, ListenerExited{}, "call register"},
		})},
		{"a listener without a known agent", concat(found(Leftover{ListenerRuns: true}, "call inspect"), []row{
			{time.Second, InspectResult{Result: result(NotFound)}, "interrupt"},
			{time.Second, ListenerExited{}, "call register"},
		})},
	} {
		t.Run(tt.name, func(t *testing.T) { play(t, usual, tt.rows) })
	}
	// This identity may not see the listener's agent: the agent stays.
	hidden := play(t, usual, concat(found(Leftover{AgentID: 5, Hidden: true, ListenerRuns: true}, "report 5, call inspect"), []row{
		{time.Second, sigterm, ""},
		{time.Second, InspectResult{Result: result(Denied)}, "interrupt"},
		{time.Second, ListenerExited{}, "finish ok"},
	}))
	if hidden.Registration != Abandoned {
		t.Errorf("a hidden agent is %s", hidden.Registration)
	}
	// The job of the previous run does not count: a run with Once still takes one.
	s := play(t, Policy{Grace: 100 * time.Second, Once: true}, concat(found(Leftover{AgentID: 5, ListenerRuns: true}, "call disable"), []row{
		{time.Second, ListenerExited{}, ""},
		{time.Second, DisableResult{ok}, "call remove"},
		{time.Second, RemoveResult{ok}, "call register"},
		{time.Second, RegisterResult{ok, 7}, "call launch"},
		{time.Second, LaunchResult{ok}, ""},
	}))
	if s.Jobs != 0 {
		t.Errorf("a previous run's jobs are counted: %d", s.Jobs)
	}
}

// TestKilledAndNotStarted: an azptend that was killed has left an agent, and the next
// start in its directory is stopped before it registers. There may be no further start.
func TestKilledAndNotStarted(t *testing.T) {
	begin := []row{{0, Begin{PreviousAgentID: 5}, "call prepare"}}
	asked := concat(begin, []row{{time.Second, sigterm, ""}})
	for _, tt := range []struct {
		name string
		rows []row
	}{
		{"it is removed first", concat(asked, []row{
			{time.Second, PrepareResult{Result: ok, Leftover: Leftover{AgentID: 5}}, "call remove"},
			{time.Second, RemoveResult{ok}, "finish ok"},
		})},
		{"there is none after all", concat(asked, []row{{time.Second, PrepareResult{Result: ok}, "finish ok"}})},
		{"its directory cannot be used: it is removed nevertheless", concat(begin, []row{
			{time.Second, PrepareResult{Result: result(DirUnusable), Leftover: Leftover{AgentID: 5}, Checked: true}, "call remove"},
			{time.Second, RemoveResult{ok}, "finish directory unusable"},
		})},
		{"the same, after SIGTERM", concat(asked, []row{
			{time.Second, PrepareResult{Result: result(DirUnusable), Leftover: Leftover{AgentID: 5}, Checked: true}, "call remove"},
			{time.Second, RemoveResult{ok}, "finish ok"},
		})},
		{"the same, and it is gone", concat(asked, []row{{time.Second, PrepareResult{Result: result(DirUnusable), Checked: true}, "finish ok"}})},
		{"the server does not answer", concat(asked, []row{
			{time.Second, PrepareResult{Result: result(Unreachable)}, ""},
			{minRetryPause, Tick{}, "call prepare"},
			{97 * time.Second, Tick{}, "abort, report 5, finish ok"},
		})},
		{"SIGINT twice", concat(asked, []row{
			{secondInterruptAfter, UserInterrupt{}, ""},
			{secondInterruptAfter, UserInterrupt{}, "report 5, finish ok"},
		})},
		{"this identity may not see it", concat(begin, []row{
			{time.Second, sigterm, ""},
			{time.Second, PrepareResult{Result: ok, Leftover: Leftover{AgentID: 5, Hidden: true}}, "report 5, finish ok"},
		})},
		{"this identity lacks the permission", concat(begin, []row{{time.Second, PrepareResult{Result: result(Denied)}, "report 5, finish denied"}})},
	} {
		t.Run(tt.name, func(t *testing.T) { play(t, Policy{Grace: 100 * time.Second}, tt.rows) })
	}
}

// TestExternalAgent: an agent that another azptend registered is run without requests to
// the server. The other azptend removes it.
func TestExternalAgent(t *testing.T) {
	external := []row{
		{0, Begin{}, "call prepare"},
		{time.Second, PrepareResult{Result: ok, ExternalAgentID: 9}, "call launch"},
		{time.Second, LaunchResult{ok}, ""},
		{time.Second, SessionReady{}, ""},
	}
	for _, tt := range []struct {
		name   string
		policy Policy
		rows   []row
	}{
		{"one job", Policy{Once: true, Grace: time.Minute}, concat(external, []row{
			{time.Second, JobStarted{}, ""},
			{time.Second, JobFinished{}, ""},
			{time.Second, ListenerExited{}, "finish ok"},
		})},
		{"SIGTERM while idle: only the process table is scanned", Policy{Grace: time.Minute}, concat(external, []row{
			{time.Second, sigterm, "call inspect"},
			{time.Second, InspectResult{Result: ok}, "interrupt"},
			{time.Second, ListenerExited{}, "finish ok"},
		})},
		{"SIGTERM while busy", Policy{Grace: time.Minute}, concat(external, []row{
			{time.Second, JobStarted{}, ""},
			{time.Second, sigterm, ""},
			{time.Second, JobFinished{}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, "interrupt"},
			{time.Second, ListenerExited{}, "finish ok"},
		})},
		{"killed: it cannot register again", Policy{Grace: time.Minute}, concat(external, []row{
			{time.Second, ListenerExited{Exit: Exit{Signal: 9}}, "kill, finish listener failed"},
		})},
		{"idle for too long", Policy{Grace: time.Minute, Limits: Limits{Idle: time.Minute}}, concat(external, []row{
			{time.Minute, Tick{}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, "interrupt"},
			{time.Second, ListenerExited{}, "finish ok"},
		})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if s := play(t, tt.policy, tt.rows); s.Registration != External {
				t.Errorf("the agent is %s", s.Registration)
			}
		})
	}
}

// TestRecentlyCreated: two azptends that start at the same time with the same name do not
// remove each other's agent.
func TestRecentlyCreated(t *testing.T) {
	play(t, Policy{Grace: time.Minute, NameWait: time.Minute}, concat(booted, []row{
		{time.Second, RegisterResult{Result: result(NameTaken)}, "call look up"},
		{time.Second, LookUpResult{Result: ok, Owner: Foreign, AgentID: 3, RecentlyCreated: true}, ""},
		{conflictInterval, Tick{}, "call look up"},
		{time.Second, LookUpResult{Result: ok, Owner: Foreign, AgentID: 3}, "call remove conflicting agent"}, // it never came online
		{time.Second, RemoveConflictingResult{ok}, "call register"},
	}))
}

// TestDirInUse: another container's agent uses the directory. azptend waits for it for
// NameWait. A wait for the name afterwards gets its own NameWait.
func TestDirInUse(t *testing.T) {
	p := Policy{Grace: time.Minute, NameWait: 15 * time.Second}
	began := []row{
		{0, Begin{}, "call prepare"},
		{time.Second, PrepareResult{Result: result(DirInUse)}, ""},
		{conflictInterval, Tick{}, "call prepare"},
		{time.Second, PrepareResult{Result: result(DirInUse)}, ""},
		{4 * time.Second, Tick{}, "call prepare"},
	}
	play(t, p, concat(began, []row{{time.Second, PrepareResult{Result: result(DirInUse)}, "finish directory in use"}}))
	play(t, p, concat(began, []row{{time.Second, DrainRequested{Reason: "SIGTERM", StartsGrace: true, CancelsJob: true}, "finish ok"}}))
	play(t, p, concat(began, []row{
		{time.Second, PrepareResult{Result: ok}, "call register"},
		{time.Second, RegisterResult{Result: result(NameTaken)}, "call look up"},
		{time.Second, LookUpResult{Result: ok, Owner: Foreign, AgentID: 3, Online: true}, ""},
		{conflictInterval, Tick{}, "call look up"},
	}))
}

// TestRegisterOnly: the agent stays registered for another azptend, unless something
// fails.
func TestRegisterOnly(t *testing.T) {
	p := Policy{Grace: time.Minute, RegisterOnly: true}
	began := concat(booted, []row{{time.Second, RegisterResult{ok, 7}, "call launch"}})
	if s := play(t, p, concat(began, []row{{time.Second, LaunchResult{ok}, "finish ok"}})); s.Registration != External {
		t.Errorf("the agent is %s", s.Registration)
	}
	play(t, p, concat(began, []row{
		{time.Second, LaunchResult{result(DirUnusable)}, "call remove"},
		{time.Second, RemoveResult{ok}, "finish directory unusable"},
	}))
	play(t, p, concat(began, []row{
		{time.Second, sigterm, ""},
		{time.Second, LaunchResult{ok}, "call remove"},
		{time.Second, RemoveResult{ok}, "finish ok"},
	}))
}
