package lifecycle

import (
	"testing"
	"time"
)

// TestFaultScenarios plays runs with a session conflict, a scheduled event, or a server
// that throttles.
func TestFaultScenarios(t *testing.T) {
	usual := Policy{Grace: 100 * time.Second, NameWait: time.Minute} // drain 60 s, stop 30 s, remove 10 s
	for _, tt := range []struct {
		name   string
		policy Policy
		rows   []row
		why    string // part of the end's reason
	}{
		{"exit 1 because of the session of an earlier listener: restarted until that has expired", usual, concat(started, []row{
			{time.Second, SessionConflict{}, ""},
			{4 * time.Minute, ListenerExited{Exit: Exit{Code: 1}}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, ""},
			{time.Second, Tick{}, "call launch"},
			{time.Second, LaunchResult{ok}, ""},
			{time.Second, SessionConflict{}, ""},
			{time.Minute, SessionReady{}, ""},
			{time.Minute, SessionConflict{}, ""}, // ignored: it has its session
			{time.Minute, ListenerExited{Exit: Exit{Code: 1}}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, "call remove"},
		}), "exit code 1"},

		{"that session does not expire: another listener uses our key", usual, concat(started, []row{
			{time.Second, SessionConflict{}, ""},
			{4 * time.Minute, ListenerExited{Exit: Exit{Code: 1}}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, ""},
			{time.Second, Tick{}, "call launch"},
			{time.Second, LaunchResult{ok}, ""},
			{time.Second, SessionConflict{}, ""},
			{6 * time.Minute, ListenerExited{Exit: Exit{Code: 1}}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, "call remove"},
			{time.Second, RemoveResult{ok}, "finish listener failed"},
		}), "exit code 1"},

		{"a later listener's exit 1 is not that session's fault", usual, concat(started, []row{
			{time.Second, SessionConflict{}, ""},
			{4 * time.Minute, ListenerExited{Exit: Exit{Code: 1}}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, ""},
			{time.Second, Tick{}, "call launch"},
			{time.Second, LaunchResult{ok}, ""},
			{time.Second, ListenerExited{Exit: Exit{Code: 1}}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, "call remove"},
		}), "exit code 1"},

		{"a scheduled event with a short grace period", usual, concat(busy, []row{ // of 30 s: drain 13.5 s, stop 12 s
			{time.Minute, DrainRequested{Reason: "Preempt", StartsGrace: true, Grace: 30 * time.Second}, "call disable"},
			{time.Second, DisableResult{ok}, ""},
			{time.Second, sigterm, ""}, // extends nothing
			{11500 * time.Millisecond, Tick{}, "interrupt"},
			{12 * time.Second, Tick{}, "kill"},
			{time.Second, ListenerExited{Exit: Exit{Signal: 9}}, "call remove"},
			{time.Second, RemoveResult{ok}, "finish job cut"},
		}), "the job was cut"},

		{"503 to the POST, then the name is taken by an agent that is not shown: 75, and an agent that may be ours is reported", usual, concat(booted, []row{
			{time.Second, RegisterResult{Result: result(Unclear)}, ""},
			{time.Second, Tick{}, "call register"},
			{time.Second, RegisterResult{Result: result(NameTaken)}, "call look up"},
			{latePostWindow, LookUpResult{Result: ok, Owner: NoAgent}, "call look up"}, // its request was too early to prove anything
			{time.Second, LookUpResult{Result: ok, Owner: NoAgent}, ""},
			{maxRetryPause, Tick{}, "call register"},
			{time.Second, RegisterResult{Result: result(NameTaken)}, "call look up"},
			{bootTimeout, LookUpResult{Result: ok, Owner: NoAgent}, "report 0, finish name taken"},
		}), nameTakenUnseen.Reason},

		{"the same, and asked to end", usual, concat(booted, []row{
			{time.Second, RegisterResult{Result: result(Unclear)}, ""},
			{time.Second, Tick{}, "call register"},
			{time.Second, RegisterResult{Result: result(NameTaken)}, "call look up"},
			{time.Second, sigterm, "abort"},
			{time.Second, LookUpResult{Result: result(Unreachable)}, ""},
			{2 * time.Second, Tick{}, "call look up"},
			{latePostWindow, LookUpResult{Result: ok, Owner: NoAgent}, "report 0, finish ok"},
		}), "SIGTERM"},

		{"SIGTERM to every process: the listener has cancelled its job, and ends by itself", usual, concat(busy, []row{
			{time.Minute, sigterm, "call disable"},
			{time.Second, DisableResult{ok}, ""},
			{time.Second, JobFinished{}, "call inspect"},
			{100 * time.Millisecond, ListenerExited{Cut: MaybeCut}, ""},
			{time.Second, InspectResult{Result: ok}, "call remove"},
			{time.Second, RemoveResult{ok}, "finish job cut"},
		}), cutByOthers.Reason},

		{"the same with --once, whose listener ends by itself in any case", Policy{Grace: 100 * time.Second, Once: true}, concat(idle, []row{
			{time.Minute, JobStarted{}, "call disable"},
			{time.Second, DisableResult{ok}, ""},
			{time.Minute, sigterm, ""},
			{time.Second, JobFinished{}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, "call remove"},
			{time.Second, RemoveResult{ok}, ""},
			{time.Second, ListenerExited{Cut: MaybeCut}, "finish job cut"},
		}), cutByOthers.Reason},

		{"the same, and the listener takes longer to end than azptend to remove its agent", usual, concat(busy, []row{
			{time.Minute, sigterm, "call disable"},
			{time.Second, DisableResult{ok}, ""},
			{time.Second, JobFinished{}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, "call remove"},
			{time.Second, RemoveResult{ok}, "interrupt"},
			{time.Second, ListenerExited{Cut: SurelyCut}, "finish job cut"},
		}), cutByOthers.Reason},

		{"--once, and SIGTERM to the listener alone: it cancels its one job", Policy{Once: true}, concat(idle, []row{
			{time.Minute, JobStarted{}, "call disable"},
			{time.Second, DisableResult{ok}, ""},
			{time.Minute, JobFinished{}, "call remove"},
			{time.Millisecond, ListenerExited{Cut: SurelyCut}, ""},
			{time.Second, RemoveResult{ok}, "finish job cut"},
		}), cutByOthers.Reason},

		{"the same, and its socket was lost: the log alone knows", Policy{Once: true}, concat(idle, []row{
			{time.Minute, SocketLost{}, ""},
			{time.Minute, ListenerExited{Cut: SurelyCut}, "kill, call remove"},
			{time.Second, RemoveResult{ok}, "finish job cut"},
		}), cutByOthers.Reason},

		{"--once, and its job fails before the listener is interrupted", Policy{Once: true}, concat(idle, []row{
			{time.Minute, JobStarted{}, "call disable"},
			{time.Second, DisableResult{ok}, ""},
			{time.Minute, JobFinished{}, "call remove"},
			{time.Millisecond, ListenerExited{Cut: MaybeCut}, ""},
			{time.Second, RemoveResult{ok}, "finish ok"},
		}), "one job served"},

		{"a job that fails during a drain, before azptend interrupts the listener", usual, concat(busy, []row{
			{time.Minute, sigterm, "call disable"},
			{time.Second, DisableResult{ok}, ""},
			{time.Second, JobFinished{}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, "call remove"},
			{time.Second, RemoveResult{ok}, "interrupt"},
			{time.Second, ListenerExited{Cut: MaybeCut}, "finish ok"},
		}), "SIGTERM"},

		{"SIGTERM to every process, and the listener leaves its job behind", usual, concat(busy, []row{
			{time.Minute, sigterm, "call disable"},
			{time.Second, ListenerExited{}, "kill"},
			{time.Second, DisableResult{ok}, "call remove"},
			{time.Second, RemoveResult{ok}, "finish job cut"},
		}), exitedOKInJob.Reason},

		{"SIGTERM to all processes, and the job succeeds", usual, concat(busy, []row{
			{time.Minute, sigterm, "call disable"},
			{time.Second, DisableResult{ok}, ""},
			{time.Second, JobFinished{}, "call inspect"},
			{100 * time.Millisecond, ListenerExited{}, ""},
			{time.Second, InspectResult{Result: ok}, "call remove"},
			{time.Second, RemoveResult{ok}, "finish ok"},
		}), "SIGTERM"},

		{"SIGTERM to every process when the last job, which has failed, is over", usual, concat(busy, []row{
			{time.Second, JobFinished{}, ""},
			{time.Minute, sigterm, "call disable"},
			{time.Second, ListenerExited{Cut: MaybeCut}, ""},
			{time.Second, DisableResult{ok}, "call remove"},
			{time.Second, RemoveResult{ok}, "finish ok"},
		}), "SIGTERM"},

		{"SIGTERM to every process, and azptend, which is slow, hears of it after the job that it has cut", usual, concat(busy, []row{
			{time.Second, JobFinished{}, ""},
			{time.Millisecond, sigterm, "call disable"},
			{time.Second, DisableResult{ok}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, "call remove"},
			{time.Second, RemoveResult{ok}, "interrupt"},
			{time.Second, ListenerExited{Cut: SurelyCut}, "finish job cut"},
		}), cutByOthers.Reason},

		{"a long notice: the job gets it, until SIGTERM says less", usual, concat(busy, []row{
			{time.Minute, DrainRequested{Reason: "Reboot", StartsGrace: true, Grace: 15 * time.Minute}, "call disable"},
			{time.Second, DisableResult{ok}, ""},
			{10 * time.Minute, sigterm, ""},
			{time.Minute, Tick{}, "interrupt"},
			{30 * time.Second, Tick{}, "kill"},
			{100 * time.Millisecond, ListenerExited{Exit: Exit{Signal: 9}}, "call remove"},
			{time.Second, RemoveResult{ok}, "finish job cut"},
		}), "the job was cut"},

		{"a notice cancels no job, whatever SIGTERM would do", Policy{Grace: 100 * time.Second, CancelOnTerm: true}, concat(busy, []row{
			{time.Minute, DrainRequested{Reason: "Reboot", StartsGrace: true, Grace: 15 * time.Minute}, "call disable"},
			{time.Second, DisableResult{ok}, ""},
			{time.Minute, sigterm, "interrupt"},
			{time.Second, ListenerExited{}, "call remove"},
			{time.Second, RemoveResult{ok}, "finish job cut"},
		}), onTerm.Reason},

		{"a 404, and then a job that runs: the agent is there after all, and a later 404 is the first one", usual, concat(busy, []row{
			{time.Minute, ListenerExited{Exit: Exit{Signal: 9}}, "kill, call remove"},
			{time.Second, RemoveResult{result(NotFound)}, ""},
			{shortPause, Tick{}, "call remove"},
			{time.Second, RemoveResult{result(JobRunning)}, ""},
			{time.Second, Tick{}, "call remove"},
			{time.Second, RemoveResult{result(NotFound)}, ""},
			{shortPause, Tick{}, "call remove"},
			{time.Second, RemoveResult{ok}, ""},
			{reregisterPause, Tick{}, "call register"},
		}), ""},

		{"the first calls are throttled: waited for as long as the server asks", usual, []row{
			{0, Begin{}, "call prepare"},
			{time.Second, PrepareResult{Result: Result{Outcome: Unreachable, RetryAfter: 4 * time.Minute}}, ""},
			{4 * time.Minute, Tick{}, "call prepare"},
			{time.Second, PrepareResult{Result: ok}, "call register"},
			{time.Second, RegisterResult{Result: Result{Outcome: Unreachable, RetryAfter: 4 * time.Minute}}, ""},
			{4 * time.Minute, Tick{}, "call register"},
		}, ""},

		{"a server that asks for ten minutes does not throttle: it is of another tenant", usual, []row{
			{0, Begin{}, "call prepare"},
			{time.Second, PrepareResult{Result: Result{Outcome: Unreachable, RetryAfter: 619 * time.Second}}, ""},
			{bootTimeout, Tick{}, "call prepare"},
			{time.Second, PrepareResult{Result: Result{Outcome: Unreachable, RetryAfter: 619 * time.Second}}, "finish unreachable"},
		}, "startup failed"},
	} {
		t.Run(tt.name, func(t *testing.T) { playTo(t, tt.policy, tt.rows, tt.why) })
	}
}
