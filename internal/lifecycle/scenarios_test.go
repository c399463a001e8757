package lifecycle

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// row is one row of a scenario: an event, how long after the row before it comes, and
// the actions that follow.
type row struct {
	after time.Duration
	event Event
	want  string // the actions, in order; "" for none
}

var began = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// play plays a scenario and returns the last state.
func play(t *testing.T, p Policy, rows []row) State {
	t.Helper()
	s, now := New(p), began
	for n, l := range rows {
		now = now.Add(l.after)
		var actions []Action
		s, actions = Step(s, l.event, now)
		if !strings.Contains(l.want, "scan") {
			s, actions = answerScans(s, actions, now)
		}
		if got := describe(actions); got != l.want {
			t.Fatalf("line %d, %T%+v:\n got %q\nwant %q\nstate %+v", n+1, l.event, l.event, got, l.want, s)
		}
	}
	return s
}

// answerScans answers each scan in agreement with what the listener and the server last
// reported. It returns the other actions.
func answerScans(s State, actions []Action, now time.Time) (State, []Action) {
	var rest []Action
	for len(actions) > 0 {
		a := actions[0]
		actions = actions[1:]
		if a != (ScanForWorker{}) {
			rest = append(rest, a)
			continue
		}
		w := NoWorker
		if s.Job == RunningJob || s.session.jobAssigned {
			w = WorkerWithSteps
		}
		var more []Action
		s, more = Step(s, WorkerScanned{Worker: w}, now)
		actions = append(actions, more...)
	}
	return s, rest
}

// describe writes actions as a scenario does.
func describe(actions []Action) string {
	var words []string
	for _, a := range actions {
		switch a := a.(type) {
		case ScanForWorker:
			words = append(words, "scan")
		case StartCall:
			words = append(words, "call "+string(a.Call))
		case AbortCall:
			words = append(words, "abort")
		case InterruptListener:
			words = append(words, "interrupt")
		case KillListener:
			words = append(words, "kill")
		case AwaitUpdate:
			words = append(words, "await update")
		case ReportLeftover:
			words = append(words, fmt.Sprintf("report %d", a.AgentID))
		case Finish:
			words = append(words, "finish "+string(a.Outcome))
		default:
			panic(fmt.Sprintf("unknown action %T", a))
		}
	}
	return strings.Join(words, ", ")
}

func concat(parts ...[]row) []row {
	var all []row
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// result is a result with this outcome.
func result(o Outcome) Result { return Result{Outcome: o} }

var (
	ok      = result(OK)
	sigterm = DrainRequested{Reason: "SIGTERM", StartsGrace: true, CancelsJob: true}
)

// The first rows of most scenarios. Agent 7 is ours, and agent 3 has our name.
var (
	booted = []row{
		{0, Begin{}, "call prepare"},
		{time.Second, PrepareResult{Result: ok}, "call register"},
	}
	started = concat(booted, []row{
		{time.Second, RegisterResult{ok, 7}, "call launch"},
		{time.Second, LaunchResult{ok}, ""},
	})
	idle = concat(started, []row{{time.Second, SessionReady{}, ""}})
	busy = concat(idle, []row{{time.Minute, JobStarted{}, ""}})
)

// TestScenarios plays the main scenarios, as documentation. TestPromises checks what is
// true of every run.
func TestScenarios(t *testing.T) {
	usual := Policy{Grace: 100 * time.Second, NameWait: time.Minute} // drain 60 s, stop 30 s, remove 10 s
	once := Policy{Grace: 100 * time.Second, Once: true}
	for _, tt := range []struct {
		name   string
		policy Policy
		rows   []row
		why    string // part of the end's reason
	}{
		{"SIGTERM while idle: disabled, looked at, removed, and only then stopped", usual, concat(idle, []row{
			{time.Minute, sigterm, "call disable"},
			{time.Second, DisableResult{ok}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, "call remove"},
			{time.Second, RemoveResult{ok}, "interrupt"},
			{time.Second, ListenerExited{}, "finish ok"},
		}), "SIGTERM"},

		{"SIGTERM while busy: the job ends first", usual, concat(busy, []row{
			{time.Minute, sigterm, "call disable"},
			{time.Second, DisableResult{ok}, ""},
			{30 * time.Second, DrainRequested{Reason: "SIGTERM", StartsGrace: true, CancelsJob: true}, ""}, // extends nothing
			{time.Second, JobFinished{}, "call inspect"},
			{time.Second, InspectResult{Result: ok, Worker: WorkerWithSteps}, ""},
			{inspectInterval, Tick{}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, "call remove"},
			{time.Second, RemoveResult{ok}, "interrupt"},
			{time.Second, ListenerExited{}, "finish ok"},
		}), "SIGTERM"},

		{"SIGTERM while an inspection hangs: the agent is disabled without it", usual, concat(idle, []row{
			{time.Minute, AgentMaybeDeleted{}, "call inspect"},
			{time.Second, sigterm, "abort"},
			{time.Millisecond, InspectResult{Result: result(AnswerLost)}, "call disable"},
			{time.Second, DisableResult{ok}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, "call remove"},
			{time.Second, RemoveResult{ok}, "interrupt"},
			{time.Second, ListenerExited{}, "finish ok"},
		}), "SIGTERM"},

		{"a job slipped in: it is served", usual, concat(idle, []row{
			{time.Minute, sigterm, "call disable"},
			{time.Second, DisableResult{ok}, "call inspect"},
			{time.Second, InspectResult{Result: ok, Assigned: true}, ""},
			{time.Second, JobStarted{}, ""},
			{time.Millisecond, JobFinished{}, "call inspect"}, // at once
			{time.Second, InspectResult{Result: ok}, "call remove"},
			{time.Second, RemoveResult{result(JobRunning)}, ""}, // the server has assigned another job
			{inspectInterval, Tick{}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, "call remove"},
			{time.Second, RemoveResult{result(NotFound)}, ""}, // one 404 may be wrong
			{shortPause, Tick{}, "call remove"},
			{time.Second, RemoveResult{result(NotFound)}, "interrupt"},
			{time.Second, ListenerExited{}, "finish ok"},
		}), "SIGTERM"},

		{"an inspection does not show the agent, and a wrong 404 to the DELETE: one more try", usual, concat(idle, []row{
			{time.Minute, sigterm, "call disable"},
			{time.Second, DisableResult{ok}, "call inspect"},
			{time.Second, InspectResult{Result: result(NotFound)}, "call remove"},
			{time.Second, RemoveResult{result(NotFound)}, ""},
			{shortPause, Tick{}, "call remove"},
			{time.Second, RemoveResult{ok}, "interrupt"},
			{time.Second, ListenerExited{}, "finish ok"},
		}), "SIGTERM"},

		{"a wrong 404: the agent is still removed", usual, concat(idle, []row{
			{time.Minute, sigterm, "call disable"},
			{time.Second, DisableResult{result(NotFound)}, ""},
			{shortPause, Tick{}, "call disable"},
			{time.Second, DisableResult{ok}, "call inspect"},
			{time.Second, InspectResult{Result: result(NotFound)}, "call remove"},
			{time.Second, RemoveResult{ok}, "interrupt"},
			{time.Second, ListenerExited{}, "finish ok"},
		}), "SIGTERM"},

		{"a job had begun unknown when the listener was interrupted: it was cut, and that is reported", Policy{Grace: 4 * time.Second}, concat(idle, []row{
			{time.Minute, sigterm, "interrupt"},
			{100 * time.Millisecond, JobStarted{}, ""},
			{500 * time.Millisecond, JobFinished{}, ""},
			{100 * time.Millisecond, ListenerExited{}, "call remove"},
			{100 * time.Millisecond, RemoveResult{ok}, "finish job cut"},
		}), budgetSpent.Reason},

		{"the same, after a second SIGINT", usual, concat(idle, []row{
			{time.Minute, UserInterrupt{}, "call disable"},
			{2 * time.Second, UserInterrupt{}, "interrupt, abort"},
			{100 * time.Millisecond, JobStarted{}, ""},
			{500 * time.Millisecond, DisableResult{result(AnswerLost)}, ""},
			{500 * time.Millisecond, JobFinished{}, ""},
			{100 * time.Millisecond, ListenerExited{}, "call remove"},
			{100 * time.Millisecond, RemoveResult{ok}, "finish job cancelled"},
		}), "the job was cancelled by a second SIGINT"},

		{"a removal fails while its listener is stopped already: again once that has ended", usual, concat(idle, []row{
			{time.Minute, sigterm, "call disable"},
			{time.Second, DisableResult{ok}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, "call remove"},
			{time.Second, JobStarted{}, ""},
			{57 * time.Second, Tick{}, "interrupt, abort"},
			{time.Second, RemoveResult{result(Unreachable)}, ""},
			{time.Second, Tick{}, ""},
			{time.Second, ListenerExited{}, "call remove"},
			{time.Second, RemoveResult{ok}, "finish job cut"},
		}), budgetSpent.Reason},

		{"the budget is spent: cancelled, killed, removed", usual, concat(busy, []row{
			{time.Minute, sigterm, "call disable"},
			{time.Second, DisableResult{ok}, ""},
			{59 * time.Second, Tick{}, "interrupt"},
			{30 * time.Second, Tick{}, "kill"},
			{100 * time.Millisecond, ListenerExited{Exit: Exit{Signal: 9}}, "call remove"},
			{time.Second, RemoveResult{ok}, "finish job cut"},
		}), "the job was cut"},

		{"the budget is spent and the server is away: named before the last call", usual, concat(busy, []row{
			{time.Minute, sigterm, "call disable"},
			{60 * time.Second, DisableResult{result(Unreachable)}, "interrupt"},
			{time.Second, ListenerExited{}, "call remove"},
			{time.Second, RemoveResult{result(Unreachable)}, ""},
			{time.Second, Tick{}, "call remove"},
			{36 * time.Second, Tick{}, "abort, report 7, finish job cut"},
		}), "the job was cut"},

		{"a removal that is never answered is asked for again while there is time", usual, concat(idle, []row{
			{time.Minute, sigterm, "call disable"},
			{time.Second, DisableResult{ok}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, "call remove"},
			{45 * time.Second, RemoveResult{result(AnswerLost)}, ""},
			{time.Second, Tick{}, "call remove"},
			{time.Second, RemoveResult{result(NotFound)}, "interrupt"},
			{time.Second, ListenerExited{}, "finish ok"},
		}), "SIGTERM"},

		{"Ctrl-C three times: drain, cancel, kill", usual, concat(busy, []row{
			{time.Minute, UserInterrupt{}, "call disable"},
			{time.Millisecond, UserInterrupt{}, ""},                // does not count: too soon
			{2 * time.Second, UserInterrupt{}, "interrupt, abort"}, // the PATCH must not delay the removal
			{time.Millisecond, DisableResult{result(AnswerLost)}, ""},
			{500 * time.Millisecond, UserInterrupt{}, ""},
			{time.Second, UserInterrupt{}, "kill"},
			{time.Second, ListenerExited{Exit: Exit{Signal: 9}}, "call remove"},
			{time.Second, RemoveResult{ok}, "finish job cancelled"},
		}), "the job was cancelled by a second SIGINT"},

		{"Ctrl-C after SIGTERM: only SIGINT is counted, so the second cancels the job, and the fourth exits", usual, concat(busy, []row{
			{time.Minute, sigterm, "call disable"},
			{time.Second, DisableResult{ok}, ""},
			{2 * time.Second, UserInterrupt{}, ""},
			{2 * time.Second, UserInterrupt{}, "interrupt"},
			{2 * time.Second, UserInterrupt{}, "kill"},
			{2 * time.Second, UserInterrupt{}, "report 7, finish job cancelled"},
		}), byUser.Reason},

		{"Ctrl-C after a drain request: it starts the grace period, and cancels nothing", usual, concat(busy, []row{
			{time.Minute, DrainRequested{Reason: "asked"}, "call disable"},
			{time.Second, DisableResult{ok}, ""},
			{2 * time.Second, UserInterrupt{}, ""},
			{2 * time.Second, JobFinished{}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, "call remove"},
			{time.Second, RemoveResult{ok}, "interrupt"},
			{time.Second, ListenerExited{}, "finish ok"},
		}), "asked"},

		{"SIGTERM arrived a while ago: the grace period began then", usual, concat(busy, []row{
			{time.Minute, DrainRequested{Reason: "SIGTERM", StartsGrace: true, At: began.Add(2*time.Minute + time.Second)}, "call disable"},
			{time.Second, DisableResult{ok}, ""},
			{56 * time.Second, Tick{}, "interrupt"}, // 57 s after it was read, 60 s after it came
			{time.Second, ListenerExited{}, "call remove"},
			{time.Second, RemoveResult{ok}, "finish job cut"},
		}), "the job was cut"},

		{"SIGTERM twice escalates nothing", usual, concat(busy, []row{
			{time.Minute, sigterm, "call disable"},
			{5 * time.Second, sigterm, ""},
			{5 * time.Second, sigterm, ""},
			{50 * time.Second, DisableResult{result(Unreachable)}, "interrupt"}, // nor extends anything
		}), ""},

		{"azptend drain: no clock, the job takes as long as it takes", usual, concat(busy, []row{
			{time.Minute, DrainRequested{Reason: "asked"}, "call disable"},
			{time.Second, DisableResult{ok}, ""},
			{10 * time.Hour, JobFinished{}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, "call remove"},
			{time.Second, RemoveResult{ok}, "interrupt"},
			{time.Second, ListenerExited{}, "finish ok"},
		}), "asked"},

		{"--once: disabled as its job starts, so that only the DELETE is left", once, concat(idle, []row{
			{time.Minute, JobStarted{}, "call disable"},
			{time.Second, DisableResult{ok}, ""},
			{time.Minute, JobFinished{}, "call remove"},
			{time.Second, RemoveResult{result(JobRunning)}, ""}, // the server does not know yet that the job ended
			{time.Second, Tick{}, "call remove"},
			{time.Second, RemoveResult{ok}, ""}, // the listener exits by itself
			{time.Second, ListenerExited{}, "finish ok"},
		}), "one job served"},

		{"--once: a listener that dies of its job is not started again", once, concat(idle, []row{
			{time.Minute, JobStarted{}, "call disable"},
			{time.Second, DisableResult{ok}, ""},
			{time.Minute, ListenerExited{Exit: Exit{Signal: 9}}, "kill, call remove"},
			{time.Second, RemoveResult{result(JobRunning)}, ""}, // until the lock of its job expires
			{time.Second, Tick{}, "call remove"},
			{time.Second, RemoveResult{ok}, "finish listener failed"},
		}), "exited during its job"},

		{"--once: a listener was killed before it reported its job, which the server shows", once, concat(idle, []row{
			{time.Minute, ListenerExited{Exit: Exit{Signal: 9}}, "kill, call remove"},
			{time.Second, RemoveResult{result(JobRunning)}, ""},
			{time.Second, Tick{}, "call remove"},
			{time.Second, RemoveResult{ok}, "finish listener failed"},
		}), "exited during its job"},

		{"--once: a listener was killed without evidence of a job: the agent is registered again", once, concat(idle, []row{
			{time.Minute, ListenerExited{Exit: Exit{Signal: 9}}, "kill, call remove"},
			{time.Second, RemoveResult{ok}, ""},
			{reregisterPause, Tick{}, "call register"},
		}), ""},

		{"--once: a listener that ends without a job is started again", once, concat(started, []row{
			{time.Second, ListenerExited{Exit: Exit{Code: 2}}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, ""},
			{time.Second, Tick{}, "call launch"},
		}), ""},

		{"exit 1: final, if the agent still exists", usual, concat(idle, []row{
			{time.Minute, ListenerExited{Exit: Exit{Code: 1}}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, "call remove"},
			{time.Second, RemoveResult{ok}, "finish listener failed"},
		}), "exit code 1"},

		{"exit 1: the agent was deleted, so register again", usual, concat(idle, []row{
			{time.Minute, ListenerExited{Exit: Exit{Code: 1}}, "call inspect"},
			{time.Second, InspectResult{Result: result(NotFound)}, "call remove"},
			{time.Second, RemoveResult{result(NotFound)}, ""}, // only two 404s to a DELETE prove that it is gone
			{shortPause, Tick{}, "call remove"},
			{time.Second, RemoveResult{result(NotFound)}, ""},
			{reregisterPause, Tick{}, "call register"},
			{time.Second, RegisterResult{ok, 8}, "call launch"},
		}), ""},

		{"the listener is killed: its session stays, so register again", usual, concat(busy, []row{
			{time.Minute, ListenerExited{Exit: Exit{Signal: 9}}, "kill, call remove"},
			{time.Second, RemoveResult{result(JobRunning)}, ""}, // until the lock of its job expires
			{time.Second, Tick{}, "call remove"},
			{time.Second, RemoveResult{ok}, ""},
			{reregisterPause, Tick{}, "call register"},
		}), ""},

		{"exit 3: the update's script is waited for, and nothing killed", usual, concat(busy, []row{
			{time.Minute, ListenerExited{Exit: Exit{Code: 3}}, "await update"},
			{time.Minute, UpdateEnded{}, "call launch"},
			{time.Second, LaunchResult{ok}, ""},
		}), ""},

		{"exit 4: the same for --once, which has had no job yet", once, concat(idle, []row{
			{time.Minute, ListenerExited{Exit: Exit{Code: 4}}, "await update"},
			{time.Minute, UpdateEnded{}, "call launch"},
		}), ""},

		{"exit 3 while draining is no fault", usual, concat(busy, []row{
			{time.Minute, sigterm, "call disable"},
			{time.Second, DisableResult{ok}, ""},
			{time.Second, ListenerExited{Exit: Exit{Code: 3}}, "await update, call remove"},
			{time.Second, RemoveResult{ok}, ""},
			{time.Second, UpdateEnded{}, "finish ok"},
		}), "SIGTERM"},

		{"a listener that dies while its job is drained: what it left is killed", usual, concat(busy, []row{
			{time.Minute, sigterm, "call disable"},
			{time.Second, DisableResult{ok}, ""},
			{time.Second, ListenerExited{Exit: Exit{Code: 2}}, "kill, call remove"},
			{time.Second, RemoveResult{ok}, "finish listener failed"},
		}), "exited during its job"},

		{"the socket is lost: idle only after server and scans have shown no job for a while", usual, concat(idle, []row{
			{time.Second, SocketLost{}, ""},
			{time.Minute, DrainRequested{Reason: "asked"}, "call disable"},
			{time.Second, DisableResult{ok}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, ""},
			{idleConfirmTime, Tick{}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, "call remove"},
		}), ""},

		{"the socket is lost, and the listener dies: the worker that it may have left is killed", usual, concat(idle, []row{
			{time.Second, SocketLost{}, ""},
			{time.Minute, ListenerExited{Exit: Exit{Code: 2}}, "kill, call inspect"},
			{time.Second, InspectResult{Result: ok}, ""},
			{time.Second, Tick{}, "call launch"},
		}), ""},

		{"the socket is lost: SIGTERM does not shorten that while", usual, concat(idle, []row{
			{time.Second, SocketLost{}, ""},
			{time.Minute, DrainRequested{Reason: "asked"}, "call disable"},
			{time.Second, DisableResult{ok}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, ""},
			{time.Second, sigterm, "call inspect"},
			{time.Second, InspectResult{Result: ok}, ""},
		}), ""},

		{"a job slips in while the removal is out: served, within the budget", usual, concat(idle, []row{
			{time.Minute, sigterm, "call disable"},
			{time.Second, DisableResult{result(Refused)}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, "call remove"},
			{time.Second, JobStarted{}, ""},
			{time.Second, RemoveResult{result(AnswerLost)}, ""},
			{2 * time.Second, Tick{}, ""}, // it waits for the end of the job
			{54 * time.Second, Tick{}, "interrupt"},
			{time.Second, ListenerExited{}, "call remove"},
			{time.Second, RemoveResult{ok}, "finish job cut"},
		}), "the job was cut"},

		{"the listener comes up when the drain budget is spent", usual, concat(booted, []row{
			{time.Second, RegisterResult{ok, 7}, "call launch"},
			{time.Second, sigterm, ""},
			{60 * time.Second, Tick{}, "abort"},
			{time.Second, LaunchResult{ok}, "interrupt"},
			{time.Second, ListenerExited{}, "call remove"},
			{time.Second, RemoveResult{ok}, "finish ok"},
		}), "SIGTERM"},

		{"the launch hangs until the drain budget is spent", usual, concat(booted, []row{
			{time.Second, RegisterResult{ok, 7}, "call launch"},
			{time.Second, sigterm, ""},
			{60 * time.Second, Tick{}, "abort"},
			{time.Millisecond, LaunchResult{result(Unreachable)}, "call remove"},
			{time.Second, RemoveResult{ok}, "finish ok"},
		}), "SIGTERM"},

		{"azptend was stopped for longer than its grace period", usual, concat(busy, []row{
			{time.Minute, sigterm, "call disable"},
			{time.Second, DisableResult{ok}, ""},
			{time.Hour, Tick{}, "interrupt, kill"},
			{lastScanTimeout, Tick{}, "report 7, finish job cut"},
		}), "the job was cut"},

		{"SIGTERM while a removal hangs that had time: it is given up at half", usual, concat(busy, []row{
			{time.Second, ListenerExited{}, "kill, call remove"},
			{time.Second, sigterm, ""},
			{50 * time.Second, Tick{}, "abort"},
			{time.Millisecond, RemoveResult{result(AnswerLost)}, ""},
			{time.Second, Tick{}, "call remove"},
			{time.Second, RemoveResult{result(NotFound)}, "finish job cut"},
		}), cutByExit},

		{"the socket is lost and a worker runs at the second SIGINT", usual, concat(busy, []row{
			{time.Second, SocketLost{}, ""},
			{time.Minute, UserInterrupt{}, "call disable"},
			{time.Second, DisableResult{ok}, "call inspect"},
			{time.Second, InspectResult{Result: ok, Worker: WorkerWithSteps}, ""},
			{time.Second, UserInterrupt{}, "interrupt"},
			{time.Second, ListenerExited{}, "call remove"},
			{time.Second, RemoveResult{ok}, "finish job cancelled"},
		}), "the job was cancelled by a second SIGINT"},

		{"the name is held by a dead agent: it is removed, then ours is added", usual, concat(booted, []row{
			{time.Second, RegisterResult{Result: result(NameTaken)}, "call look up"},
			{time.Second, LookUpResult{Result: ok, Owner: Foreign, AgentID: 3}, "call remove conflicting agent"},
			{time.Second, RemoveConflictingResult{result(JobRunning)}, ""}, // waited for
			{conflictBusyInterval, Tick{}, "call look up"},
			{time.Second, LookUpResult{Result: ok, Owner: Foreign, AgentID: 3}, "call remove conflicting agent"},
			{time.Second, RemoveConflictingResult{ok}, "call register"},
			{time.Second, RegisterResult{ok, 7}, "call launch"},
		}), ""},

		{"a previous run's agent has the name, still online", usual, concat(booted, []row{
			{time.Second, RegisterResult{Result: result(NameTaken)}, "call look up"},
			{time.Second, LookUpResult{Result: ok, Owner: PreviousRun, Online: true, AgentID: 3}, "call remove conflicting agent"},
		}), ""},

		{"another agent has the name, online: wait, then 75", usual, concat(booted, []row{
			{time.Second, RegisterResult{Result: result(NameTaken)}, "call look up"},
			{time.Second, LookUpResult{Result: ok, Owner: Foreign, Online: true}, ""},
			{conflictInterval, Tick{}, "call look up"},
			{50 * time.Second, LookUpResult{Result: ok, Owner: Foreign, Online: true}, "finish name taken"},
		}), "another agent has"},

		{"the name is taken by an agent that is not shown: no hot loop, then 75", usual, concat(booted, []row{
			{time.Second, RegisterResult{Result: result(NameTaken)}, "call look up"},
			{time.Second, LookUpResult{Result: ok, Owner: NoAgent}, ""},
			{time.Second, Tick{}, "call register"},
			{time.Second, RegisterResult{Result: result(NameTaken)}, "call look up"},
			{time.Second, LookUpResult{Result: ok, Owner: NoAgent}, ""},
			{2 * time.Second, Tick{}, "call register"},
			{time.Second, RegisterResult{Result: result(NameTaken)}, "call look up"},
			{bootTimeout, LookUpResult{Result: ok, Owner: NoAgent}, "finish name taken"},
		}), "cannot see"},

		{"the server does not show the agent yet: a DELETE decides, and is refused", usual, concat(idle, []row{
			{time.Second, sigterm, "call disable"},
			{time.Second, DisableResult{ok}, "call inspect"},
			{time.Second, InspectResult{Result: result(NotFound)}, "call remove"},
			{time.Second, RemoveResult{result(JobRunning)}, ""},
			{inspectInterval, Tick{}, "call inspect"},
			{time.Second, InspectResult{Result: ok}, "call remove"},
			{time.Second, RemoveResult{ok}, "interrupt"},
		}), ""},

		{"the POST's answer is lost: the agent is ours and complete", usual, concat(booted, []row{
			{time.Second, RegisterResult{Result: result(AnswerLost)}, "call look up"},
			{time.Second, LookUpResult{Result: ok, Owner: ThisRun, AgentID: 7, HasCredentials: true}, "call launch"},
		}), ""},

		{"the POST's answer is lost: what the listener needs was in it", usual, concat(booted, []row{
			{time.Second, RegisterResult{Result: result(AnswerLost)}, "call look up"},
			{time.Second, LookUpResult{Result: ok, Owner: ThisRun, AgentID: 7}, "call remove"},
			{time.Second, RemoveResult{ok}, ""},
			{reregisterPause, Tick{}, "call register"},
		}), ""},

		{"the POST's answer is lost: no agent is shown, also after latePostWindow", usual, concat(booted, []row{
			{time.Second, RegisterResult{Result: result(AnswerLost)}, "call look up"},
			{time.Second, LookUpResult{Result: ok, Owner: NoAgent}, ""},
			{latePostWindow - time.Second, Tick{}, "call look up"},
			{time.Second, LookUpResult{Result: ok, Owner: NoAgent}, ""},
			{time.Second, Tick{}, "call register"},
		}), ""},

		{"SIGTERM while the POST is out whose first answer was lost: the late agent is removed", usual, concat(booted, []row{
			{time.Second, RegisterResult{Result: result(AnswerLost)}, "call look up"},
			{latePostWindow, LookUpResult{Result: ok, Owner: NoAgent}, "call look up"},
			{time.Second, LookUpResult{Result: ok, Owner: NoAgent}, ""},
			{time.Second, Tick{}, "call register"},
			{time.Second, sigterm, ""},
			{time.Second, RegisterResult{Result: result(NameTaken)}, "call look up"},
			{time.Second, LookUpResult{Result: ok, Owner: ThisRun, AgentID: 7}, "call remove"},
			{time.Second, RemoveResult{ok}, "finish ok"},
		}), "SIGTERM"},

		{"503 to the POST, and SIGTERM before the next: the agent that the server added is removed", usual, concat(booted, []row{
			{time.Second, RegisterResult{Result: result(Unclear)}, ""},
			{500 * time.Millisecond, sigterm, "call look up"},
			{time.Second, LookUpResult{Result: ok, Owner: ThisRun, AgentID: 7}, "call remove"},
			{time.Second, RemoveResult{ok}, "finish ok"},
		}), "SIGTERM"},

		{"SIGTERM during a POST that is answered with 503: no agent is shown, also after latePostWindow", usual, concat(booted, []row{
			{time.Second, sigterm, ""},
			{time.Second, RegisterResult{Result: result(Unclear)}, "call look up"},
			{time.Second, LookUpResult{Result: ok, Owner: NoAgent}, ""},
			{latePostWindow - time.Second, Tick{}, "call look up"},
			{time.Second, LookUpResult{Result: ok, Owner: NoAgent}, "finish ok"},
		}), "SIGTERM"},

		{"503 to the POST, and the next is refused: a look-up comes before leaving", usual, concat(booted, []row{
			{time.Second, RegisterResult{Result: result(Unclear)}, ""},
			{time.Second, Tick{}, "call register"},
			{latePostWindow, RegisterResult{Result: result(Denied)}, "call look up"},
			{time.Second, LookUpResult{Result: ok, Owner: NoAgent}, "finish denied"},
		}), "cannot register"},

		{"SIGTERM while the POST is out: the agent it makes is removed", usual, concat(booted, []row{
			{time.Second, sigterm, ""},
			{time.Second, RegisterResult{ok, 7}, "call remove"},
			{time.Second, RemoveResult{ok}, "finish ok"},
		}), "SIGTERM"},

		{"SIGTERM while booting", usual, []row{
			{0, Begin{}, "call prepare"},
			{time.Second, sigterm, "finish ok"},
		}, "SIGTERM"},

		{"the identity may not", usual, []row{
			{0, Begin{}, "call prepare"},
			{time.Second, PrepareResult{Result: result(Denied)}, "finish denied"},
		}, "startup failed"},

		{"the server is not there for two minutes", usual, []row{
			{0, Begin{}, "call prepare"},
			{time.Second, PrepareResult{Result: result(Unreachable)}, ""},
			{time.Second, Tick{}, "call prepare"},
			{bootTimeout, PrepareResult{Result: result(Unreachable)}, "finish unreachable"},
		}, "startup failed"},

		{"the agent's directory turns out to be unusable", usual, concat(booted, []row{
			{time.Second, RegisterResult{ok, 7}, "call launch"},
			{time.Second, LaunchResult{result(DirUnusable)}, "call remove"},
			{time.Second, RemoveResult{ok}, "finish directory unusable"},
		}), "cannot start the listener"},

		{"an agent that cannot be removed is reported; --strict-remove changes the exit code", Policy{Grace: time.Minute, StrictRemove: true}, concat(idle, []row{
			{time.Minute, sigterm, "call disable"},
			{time.Second, DisableResult{result(Denied)}, "call inspect"},
			{time.Second, InspectResult{Result: result(Denied)}, "call remove"},
			{time.Second, RemoveResult{result(Denied)}, ""}, // one more try: it may be temporary
			{minRetryPause, Tick{}, "call remove"},
			{time.Second, RemoveResult{result(Denied)}, "report 7, interrupt"},
			{time.Second, ListenerExited{}, "finish not removed"},
		}), notRemoved},
	} {
		t.Run(tt.name, func(t *testing.T) { playTo(t, tt.policy, tt.rows, tt.why) })
	}
}

// playTo plays a scenario and checks the reason of its end.
func playTo(t *testing.T, p Policy, rows []row, why string) {
	t.Helper()
	s := play(t, p, rows)
	if !strings.Contains(s.end.Reason, why) {
		t.Errorf("why: got %q, want %q in it", s.end.Reason, why)
	}
	if ends := strings.Contains(rows[len(rows)-1].want, "finish"); ends != (s.Phase == Gone) {
		t.Errorf("ends in phase %s", s.Phase)
	}
}

// TestReregistersAtMostFiveTimesAnHour deletes the agent of a running listener again and
// again, and once more after an hour.
func TestReregistersAtMostFiveTimesAnHour(t *testing.T) {
	deleted := func(id int) []row {
		return []row{
			{time.Second, SessionReady{}, ""},
			{time.Second, ListenerExited{Exit: Exit{Code: 2}}, "call inspect"},
			{time.Second, InspectResult{Result: result(NotFound)}, "call remove"},
			{time.Second, RemoveResult{result(NotFound)}, ""},
			{shortPause, Tick{}, "call remove"},
			{time.Second, RemoveResult{result(NotFound)}, ""},
			{time.Minute, Tick{}, "call register"},
			{time.Second, RegisterResult{ok, id}, "call launch"},
			{time.Second, LaunchResult{ok}, ""},
		}
	}
	rows := started
	for n := range maxReregistrations {
		rows = concat(rows, deleted(8+n))
	}
	once := []row{
		{time.Second, ListenerExited{Exit: Exit{Code: 2}}, "call inspect"},
		{time.Second, InspectResult{Result: result(NotFound)}, "call remove"},
		{time.Second, RemoveResult{result(NotFound)}, ""},
		{shortPause, Tick{}, "call remove"},
		{time.Second, RemoveResult{result(NotFound)}, "finish unreachable"},
	}
	play(t, Policy{Grace: time.Minute}, concat(rows, once))
	play(t, Policy{Grace: time.Minute}, concat(rows, []row{{reregisterWindow, Tick{}, ""}}, deleted(20)))
}

// TestRestarts: five in a row, with growing pauses. The count starts again after a
// listener was ready for restartResetTime.
func TestRestarts(t *testing.T) {
	ends := func(pause time.Duration) []row {
		return []row{
			{time.Second, ListenerExited{Exit: Exit{Code: 2}}, "call inspect"},
			{time.Second, InspectResult{Result: result(Unreachable)}, ""},
			{pause, Tick{}, "call launch"},
			{time.Second, LaunchResult{ok}, ""},
		}
	}
	rows := started
	for _, pause := range []time.Duration{1, 2, 4, 8, 16} {
		rows = concat(rows, ends(pause*time.Second))
	}
	play(t, Policy{Grace: time.Minute}, concat(rows, []row{
		{time.Second, ListenerExited{Exit: Exit{Code: 2}}, "call inspect"},
		{time.Second, InspectResult{Result: ok}, "call remove"},
		{time.Second, RemoveResult{ok}, "finish listener failed"},
	}))
	play(t, Policy{Grace: time.Minute}, concat(rows, []row{{time.Second, SessionReady{}, ""}, {restartResetTime, Tick{}, ""}}, ends(time.Second)))
}

func TestSplit(t *testing.T) {
	for _, tt := range []struct{ grace, drain, stop, remove string }{
		{"0s", "0s", "0s", "0s"},
		{"1s", "0s", "0s", "1s"},
		{"3s", "0s", "2s", "1s"},
		{"5s", "0s", "4s", "1s"},
		{"10s", "0s", "9s", "1s"},
		{"11s", "0s", "9s", "2s"},
		{"12s", "1s", "9s", "2s"},
		{"20s", "8s", "9s", "3s"},
		{"30s", "13.5s", "12s", "4.5s"},
		{"90s", "50s", "30s", "10s"},
		{"1h", "59m20s", "30s", "10s"},
	} {
		t.Run(tt.grace, func(t *testing.T) {
			of := func(s string) time.Duration { d, _ := time.ParseDuration(s); return d }
			want := Budget{Drain: of(tt.drain), Stop: of(tt.stop), Remove: of(tt.remove)}
			if got := SplitGrace(of(tt.grace)); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

// TestSplitAny: the parts of a grace period add up to it, and none is negative.
func TestSplitAny(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		grace := time.Duration(rapid.Int64Range(0, math.MaxInt64).Draw(t, "grace"))
		b := SplitGrace(grace)
		if b.Drain < 0 || b.Stop < 0 || b.Remove < 0 || b.Drain+b.Stop+b.Remove != grace {
			t.Fatalf("%v is split into %+v", grace, b)
		}
		if grace >= 2*time.Minute && (b.Stop != maxStop || b.Remove != maxRemove) {
			t.Fatalf("%v is split into %+v", grace, b)
		}
		if short := grace < 12*time.Second; b.CancelsJobs() != short {
			t.Fatalf("%v: it cancels jobs: %v", grace, b.CancelsJobs())
		}
	})
}

// TestPauses: pauses grow, are at least the server's Retry-After, and near the deadline
// are half of the time left.
func TestPauses(t *testing.T) {
	for _, tt := range []struct {
		name       string
		tries      int
		retryAfter time.Duration
		left       time.Duration // 0: no deadline
		pause      time.Duration
		late       bool
	}{
		{name: "first", pause: time.Second},
		{name: "third", tries: 2, pause: 4 * time.Second},
		{name: "many", tries: 1000, pause: maxRetryPause},
		{name: "Retry-After", retryAfter: time.Minute, pause: time.Minute},
		{name: "Retry-After has a maximum", retryAfter: math.MaxInt64, pause: maxRetryAfter},
		{name: "time enough", tries: 2, left: 5 * time.Second, pause: 4 * time.Second},
		{name: "half of the time left", tries: 2, left: 4 * time.Second, pause: 2 * time.Second},
		{name: "against Retry-After", retryAfter: time.Hour, left: 4 * time.Second, pause: 2 * time.Second},
		{name: "too late", left: 400 * time.Millisecond, late: true},
		{name: "past", left: -time.Second, late: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var until time.Time
			if tt.left != 0 {
				until = began.Add(tt.left)
			}
			x := transition{State: State{call: callState{failures: tt.tries}}, now: began}
			ok := x.retry(Remove, Result{RetryAfter: tt.retryAfter}, until)
			if ok == tt.late || (ok && x.call.nextAt.Sub(began) != tt.pause) {
				t.Errorf("got %v, %v; want %v", ok, x.call.nextAt.Sub(began), tt.pause)
			}
		})
	}
}
