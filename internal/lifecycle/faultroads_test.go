package lifecycle

import (
	"testing"
	"time"
)

// TestRoadsOfFaults walks roads on which the server or the platform goes wrong:
// a session that is in the way, a notice, throttling.
func TestRoadsOfFaults(t *testing.T) {
	usual := Policy{Grace: 100 * time.Second, NameWait: time.Minute} // drain 60 s, stop 30 s, remove 10 s
	for _, tt := range []struct {
		name   string
		policy Policy
		road   []line
		why    string // the reason it left for, in part
	}{
		{"exit 1 over the session of an earlier listener: started again until that has lapsed", usual, roads(started, []line{
			{time.Second, SessionHeld{}, ""},
			{4 * time.Minute, ListenerExited{Exit: Exit{Code: 1}}, "ask to inspect"},
			{time.Second, Inspected{Result: fine}, ""},
			{time.Second, Tick{}, "ask to launch"},
			{time.Second, Launched{fine}, ""},
			{time.Second, SessionHeld{}, ""},
			{time.Minute, SessionReady{}, ""},
			{time.Minute, SessionHeld{}, ""}, // it has one
			{time.Minute, ListenerExited{Exit: Exit{Code: 1}}, "ask to inspect"},
			{time.Second, Inspected{Result: fine}, "ask to remove"},
		}), "exit code 1"},

		{"that session does not lapse: somebody else's listener lives by our key", usual, roads(started, []line{
			{time.Second, SessionHeld{}, ""},
			{4 * time.Minute, ListenerExited{Exit: Exit{Code: 1}}, "ask to inspect"},
			{time.Second, Inspected{Result: fine}, ""},
			{time.Second, Tick{}, "ask to launch"},
			{time.Second, Launched{fine}, ""},
			{time.Second, SessionHeld{}, ""},
			{6 * time.Minute, ListenerExited{Exit: Exit{Code: 1}}, "ask to inspect"},
			{time.Second, Inspected{Result: fine}, "ask to remove"},
			{time.Second, Deleted{fine}, "leave 1"},
		}), "exit code 1"},

		{"a later listener's exit 1 is not that session's fault", usual, roads(started, []line{
			{time.Second, SessionHeld{}, ""},
			{4 * time.Minute, ListenerExited{Exit: Exit{Code: 1}}, "ask to inspect"},
			{time.Second, Inspected{Result: fine}, ""},
			{time.Second, Tick{}, "ask to launch"},
			{time.Second, Launched{fine}, ""},
			{time.Second, ListenerExited{Exit: Exit{Code: 1}}, "ask to inspect"},
			{time.Second, Inspected{Result: fine}, "ask to remove"},
		}), "exit code 1"},

		{"a short notice: all ends within it", usual, roads(busy, []line{ // of 30 s: drain 13.5 s, stop 12 s
			{time.Minute, DrainAsked{Reason: "Preempt", Clock: true, Grace: 30 * time.Second}, "ask to disable"},
			{time.Second, Disabled{fine}, ""},
			{time.Second, sigterm, ""}, // extends nothing
			{11500 * time.Millisecond, Tick{}, "interrupt"},
			{12 * time.Second, Tick{}, "kill"},
			{time.Second, ListenerExited{Exit: Exit{Signal: 9}}, "ask to remove"},
			{time.Second, Deleted{fine}, "leave 75"},
		}), "the job was cut"},

		{"503 to the POST, then the name is taken, and nobody is seen: 75, and what may be ours is named", usual, roads(booted, []line{
			{time.Second, Registered{Result: of(Doubtful)}, ""},
			{time.Second, Tick{}, "ask to register"},
			{time.Second, Registered{Result: of(Taken)}, "ask to look up"},
			{lateAct, LookedUp{Result: fine, Owner: Nobody}, "ask to look up"}, // what it says was true too early
			{time.Second, LookedUp{Result: fine, Owner: Nobody}, ""},
			{longestPause, Tick{}, "ask to register"},
			{time.Second, Registered{Result: of(Taken)}, "ask to look up"},
			{bootPatience, LookedUp{Result: fine, Owner: Nobody}, "name 0, leave 75"},
		}), heldUnseen},

		{"the same, and asked to end", usual, roads(booted, []line{
			{time.Second, Registered{Result: of(Doubtful)}, ""},
			{time.Second, Tick{}, "ask to register"},
			{time.Second, Registered{Result: of(Taken)}, "ask to look up"},
			{time.Second, sigterm, "abort"},
			{time.Second, LookedUp{Result: of(Unreachable)}, ""},
			{2 * time.Second, Tick{}, "ask to look up"},
			{lateAct, LookedUp{Result: fine, Owner: Nobody}, "name 0, leave 0"},
		}), "SIGTERM"},

		{"SIGTERM to every process: the listener has cancelled its job, and ends by itself", usual, roads(busy, []line{
			{time.Minute, sigterm, "ask to disable"},
			{time.Second, Disabled{fine}, ""},
			{time.Second, JobFinished{}, "ask to inspect"},
			{100 * time.Millisecond, ListenerExited{Cut: MaybeCut}, ""},
			{time.Second, Inspected{Result: fine}, "ask to remove"},
			{time.Second, Deleted{fine}, "leave 75"},
		}), cutByOthers},

		{"the same with --once, whose listener ends by itself in any case", Policy{Grace: 100 * time.Second, Once: true}, roads(idle, []line{
			{time.Minute, JobStarted{}, "ask to disable"},
			{time.Second, Disabled{fine}, ""},
			{time.Minute, sigterm, ""},
			{time.Second, JobFinished{}, "ask to inspect"},
			{time.Second, Inspected{Result: fine}, "ask to remove"},
			{time.Second, Deleted{fine}, ""},
			{time.Second, ListenerExited{Cut: MaybeCut}, "leave 75"},
		}), cutByOthers},

		{"the same, and the listener takes longer to end than azptend to remove its agent", usual, roads(busy, []line{
			{time.Minute, sigterm, "ask to disable"},
			{time.Second, Disabled{fine}, ""},
			{time.Second, JobFinished{}, "ask to inspect"},
			{time.Second, Inspected{Result: fine}, "ask to remove"},
			{time.Second, Deleted{fine}, "interrupt"},
			{time.Second, ListenerExited{Cut: SurelyCut}, "leave 75"},
		}), cutByOthers},

		{"--once, and SIGTERM to the listener alone: it cancels its one job", Policy{Once: true}, roads(idle, []line{
			{time.Minute, JobStarted{}, "ask to disable"},
			{time.Second, Disabled{fine}, ""},
			{time.Minute, JobFinished{}, "ask to remove"},
			{time.Millisecond, ListenerExited{Cut: SurelyCut}, ""},
			{time.Second, Deleted{fine}, "leave 75"},
		}), cutByOthers},

		{"the same, and its socket was lost: the log alone knows", Policy{Once: true}, roads(idle, []line{
			{time.Minute, SocketLost{}, ""},
			{time.Minute, ListenerExited{Cut: SurelyCut}, "kill, ask to remove"},
			{time.Second, Deleted{fine}, "leave 75"},
		}), cutByOthers},

		{"--once, and its one job fails of itself before the listener is told to end", Policy{Once: true}, roads(idle, []line{
			{time.Minute, JobStarted{}, "ask to disable"},
			{time.Second, Disabled{fine}, ""},
			{time.Minute, JobFinished{}, "ask to remove"},
			{time.Millisecond, ListenerExited{Cut: MaybeCut}, ""},
			{time.Second, Deleted{fine}, "leave 0"},
		}), "one job served"},

		{"a job that fails while azptend drains: it is azptend that tells the listener to end", usual, roads(busy, []line{
			{time.Minute, sigterm, "ask to disable"},
			{time.Second, Disabled{fine}, ""},
			{time.Second, JobFinished{}, "ask to inspect"},
			{time.Second, Inspected{Result: fine}, "ask to remove"},
			{time.Second, Deleted{fine}, "interrupt"},
			{time.Second, ListenerExited{Cut: MaybeCut}, "leave 0"},
		}), "SIGTERM"},

		{"SIGTERM to every process, and the listener leaves its job behind", usual, roads(busy, []line{
			{time.Minute, sigterm, "ask to disable"},
			{time.Second, ListenerExited{}, "kill"},
			{time.Second, Disabled{fine}, "ask to remove"},
			{time.Second, Deleted{fine}, "leave 75"},
		}), endedInJob},

		{"SIGTERM to every process, and the job has succeeded all the same", usual, roads(busy, []line{
			{time.Minute, sigterm, "ask to disable"},
			{time.Second, Disabled{fine}, ""},
			{time.Second, JobFinished{}, "ask to inspect"},
			{100 * time.Millisecond, ListenerExited{}, ""},
			{time.Second, Inspected{Result: fine}, "ask to remove"},
			{time.Second, Deleted{fine}, "leave 0"},
		}), "SIGTERM"},

		{"SIGTERM to every process when the last job, which has failed, is over", usual, roads(busy, []line{
			{time.Second, JobFinished{}, ""},
			{time.Minute, sigterm, "ask to disable"},
			{time.Second, ListenerExited{Cut: MaybeCut}, ""},
			{time.Second, Disabled{fine}, "ask to remove"},
			{time.Second, Deleted{fine}, "leave 0"},
		}), "SIGTERM"},

		{"SIGTERM to every process, and azptend, which is slow, hears of it after the job that it has cut", usual, roads(busy, []line{
			{time.Second, JobFinished{}, ""},
			{time.Millisecond, sigterm, "ask to disable"},
			{time.Second, Disabled{fine}, "ask to inspect"},
			{time.Second, Inspected{Result: fine}, "ask to remove"},
			{time.Second, Deleted{fine}, "interrupt"},
			{time.Second, ListenerExited{Cut: SurelyCut}, "leave 75"},
		}), cutByOthers},

		{"a long notice: the job gets it, until SIGTERM says less", usual, roads(busy, []line{
			{time.Minute, DrainAsked{Reason: "Reboot", Clock: true, Grace: 15 * time.Minute}, "ask to disable"},
			{time.Second, Disabled{fine}, ""},
			{10 * time.Minute, sigterm, ""},
			{time.Minute, Tick{}, "interrupt"},
			{30 * time.Second, Tick{}, "kill"},
			{100 * time.Millisecond, ListenerExited{Exit: Exit{Signal: 9}}, "ask to remove"},
			{time.Second, Deleted{fine}, "leave 75"},
		}), "the job was cut"},

		{"a notice cancels no job, whatever SIGTERM would do", Policy{Grace: 100 * time.Second, CancelOnTerm: true}, roads(busy, []line{
			{time.Minute, DrainAsked{Reason: "Reboot", Clock: true, Grace: 15 * time.Minute}, "ask to disable"},
			{time.Second, Disabled{fine}, ""},
			{time.Minute, sigterm, "interrupt"},
			{time.Second, ListenerExited{}, "ask to remove"},
			{time.Second, Deleted{fine}, "leave 75"},
		}), onTerm.why},

		{"a 404, and then a job that runs: the agent is there after all, and a later 404 is the first one", usual, roads(busy, []line{
			{time.Minute, ListenerExited{Exit: Exit{Signal: 9}}, "kill, ask to remove"},
			{time.Second, Deleted{of(Missing)}, ""},
			{shortestPause, Tick{}, "ask to remove"},
			{time.Second, Deleted{of(JobRunning)}, ""},
			{time.Second, Tick{}, "ask to remove"},
			{time.Second, Deleted{of(Missing)}, ""},
			{shortestPause, Tick{}, "ask to remove"},
			{time.Second, Deleted{fine}, ""},
			{rejoinPause, Tick{}, "ask to register"},
		}), ""},

		{"the first calls are throttled: waited for as long as the server asks", usual, []line{
			{0, Begin{}, "ask to prepare"},
			{time.Second, Prepared{Result: Result{Outcome: Unreachable, RetryAfter: 4 * time.Minute}}, ""},
			{4 * time.Minute, Tick{}, "ask to prepare"},
			{time.Second, Prepared{Result: fine}, "ask to register"},
			{time.Second, Registered{Result: Result{Outcome: Unreachable, RetryAfter: 4 * time.Minute}}, ""},
			{4 * time.Minute, Tick{}, "ask to register"},
		}, ""},

		{"a server that asks for ten minutes does not throttle: it is of another tenant", usual, []line{
			{0, Begin{}, "ask to prepare"},
			{time.Second, Prepared{Result: Result{Outcome: Unreachable, RetryAfter: 619 * time.Second}}, ""},
			{bootPatience, Tick{}, "ask to prepare"},
			{time.Second, Prepared{Result: Result{Outcome: Unreachable, RetryAfter: 619 * time.Second}}, "leave 69"},
		}, "cannot begin"},
	} {
		t.Run(tt.name, func(t *testing.T) { leadsFor(t, tt.policy, tt.road, tt.why) })
	}
}
