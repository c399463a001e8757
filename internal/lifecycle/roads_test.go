package lifecycle

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// line is one line of a road: what happens, how long after the line before, and
// what follows from it.
type line struct {
	after time.Duration
	event Event
	want  string // the actions, in order; "" for none
}

var began = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// walk goes down a road and returns the state it leads to.
func walk(t *testing.T, p Policy, road []line) State {
	t.Helper()
	s, now := New(p), began
	for n, l := range road {
		now = now.Add(l.after)
		var actions []Action
		s, actions = Step(s, l.event, now)
		if n+1 == len(road) || !isWorkSeen(road[n+1].event) {
			s, actions = looked(s, actions, now)
		}
		if got := told(actions); got != l.want {
			t.Fatalf("line %d, %T%+v:\n got %q\nwant %q\nstate %+v", n+1, l.event, l.event, got, l.want, s)
		}
	}
	return s
}

// looked answers the looks at the process table as a machine would whose listener
// says the truth, and returns the actions without them.
func looked(s State, actions []Action, now time.Time) (State, []Action) {
	var rest []Action
	for len(actions) > 0 {
		a := actions[0]
		actions = actions[1:]
		if a != (LookForWork{}) {
			rest = append(rest, a)
			continue
		}
		w := NoWork
		if s.Job == RunningJob || s.assigned {
			w = Steps
		}
		var more []Action
		s, more = Step(s, WorkSeen{w}, now)
		actions = append(actions, more...)
	}
	return s, rest
}

func isWorkSeen(e Event) bool { _, is := e.(WorkSeen); return is }

// told writes actions as a road does.
func told(actions []Action) string {
	var words []string
	for _, a := range actions {
		switch a := a.(type) {
		case LookForWork:
			words = append(words, "look")
		case Ask:
			words = append(words, "ask to "+string(a.Call))
		case Name:
			words = append(words, fmt.Sprintf("name %d", a.AgentID))
		case Leave:
			words = append(words, fmt.Sprintf("leave %d", a.Code))
		default:
			words = append(words, strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", a), "lifecycle.")))
		}
	}
	return strings.Join(words, ", ")
}

func roads(parts ...[]line) []line {
	var all []line
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// of is a result; fine is the good one.
func of(o Outcome) Result { return Result{Outcome: o} }

var (
	fine    = of(OK)
	sigterm = DrainAsked{Reason: "SIGTERM", Clock: true}
)

// The beginnings that most roads share. Agent 7 is ours, agent 3 is a twin.
var (
	booted = []line{
		{0, Begin{}, "ask to prepare"},
		{time.Second, Prepared{Result: fine}, "ask to register"},
	}
	started = roads(booted, []line{
		{time.Second, Registered{fine, 7}, "ask to launch"},
		{time.Second, Launched{fine}, ""},
	})
	idle = roads(started, []line{{time.Second, SessionReady{}, ""}})
	busy = roads(idle, []line{{time.Minute, JobStarted{}, ""}})
)

// TestRoads walks the main roads of a life. They document; what holds on every
// road is TestPromises'.
func TestRoads(t *testing.T) {
	usual := Policy{Grace: 100 * time.Second, NameWait: time.Minute} // drain 60 s, stop 30 s, remove 10 s
	once := Policy{Grace: 100 * time.Second, Once: true}
	for _, tt := range []struct {
		name   string
		policy Policy
		road   []line
		why    string // the reason it left for, in part
	}{
		{"SIGTERM while idle: disabled, looked at, removed, and only then stopped", usual, roads(idle, []line{
			{time.Minute, sigterm, "ask to disable"},
			{time.Second, Disabled{fine}, "ask to inspect"},
			{time.Second, Inspected{Result: fine}, "ask to remove"},
			{time.Second, Deleted{fine}, "interrupt"},
			{time.Second, ListenerExited{}, "leave 0"},
		}), "SIGTERM"},

		{"SIGTERM while busy: the job ends first", usual, roads(busy, []line{
			{time.Minute, sigterm, "ask to disable"},
			{time.Second, Disabled{fine}, ""},
			{30 * time.Second, DrainAsked{Reason: "SIGTERM", Clock: true}, ""}, // extends nothing
			{time.Second, JobFinished{}, "ask to inspect"},
			{time.Second, Inspected{Result: fine, Work: Steps}, ""},
			{recheck, Tick{}, "ask to inspect"},
			{time.Second, Inspected{Result: fine}, "ask to remove"},
			{time.Second, Deleted{fine}, "interrupt"},
			{time.Second, ListenerExited{}, "leave 0"},
		}), "SIGTERM"},

		{"a job slipped in: it is served", usual, roads(idle, []line{
			{time.Minute, sigterm, "ask to disable"},
			{time.Second, Disabled{fine}, "ask to inspect"},
			{time.Second, Inspected{Result: fine, Assigned: true}, ""},
			{time.Second, JobStarted{}, ""},
			{time.Millisecond, JobFinished{}, "ask to inspect"}, // its end is looked at at once
			{time.Second, Inspected{Result: fine}, "ask to remove"},
			{time.Second, Deleted{of(JobRunning)}, ""}, // and another: the server's word is obeyed
			{recheck, Tick{}, "ask to inspect"},
			{time.Second, Inspected{Result: fine}, "ask to remove"},
			{time.Second, Deleted{of(Missing)}, ""}, // who says so once may be wrong
			{shortestPause, Tick{}, "ask to remove"},
			{time.Second, Deleted{of(Missing)}, "interrupt"},
			{time.Second, ListenerExited{}, "leave 0"},
		}), "SIGTERM"},

		{"a look that sees no agent, and a 404 to the DELETE that is not true: once more", usual, roads(idle, []line{
			{time.Minute, sigterm, "ask to disable"},
			{time.Second, Disabled{fine}, "ask to inspect"},
			{time.Second, Inspected{Result: of(Missing)}, "ask to remove"},
			{time.Second, Deleted{of(Missing)}, ""},
			{shortestPause, Tick{}, "ask to remove"},
			{time.Second, Deleted{fine}, "interrupt"},
			{time.Second, ListenerExited{}, "leave 0"},
		}), "SIGTERM"},

		{"a 404 that is not true: the agent is removed all the same", usual, roads(idle, []line{
			{time.Minute, sigterm, "ask to disable"},
			{time.Second, Disabled{of(Missing)}, ""},
			{shortestPause, Tick{}, "ask to disable"},
			{time.Second, Disabled{fine}, "ask to inspect"},
			{time.Second, Inspected{Result: of(Missing)}, "ask to remove"},
			{time.Second, Deleted{fine}, "interrupt"},
			{time.Second, ListenerExited{}, "leave 0"},
		}), "SIGTERM"},

		{"a job had begun when the listener was told to end, and nobody knew: it was cut, and that is said", Policy{Grace: 4 * time.Second}, roads(idle, []line{
			{time.Minute, sigterm, "interrupt"},
			{100 * time.Millisecond, JobStarted{}, ""},
			{500 * time.Millisecond, JobFinished{}, ""},
			{100 * time.Millisecond, ListenerExited{}, "ask to remove"},
			{100 * time.Millisecond, Deleted{fine}, "leave 75"},
		}), budgetSpent.why},

		{"the same, and a person had insisted", usual, roads(idle, []line{
			{time.Minute, PersonInterrupts{}, "ask to disable"},
			{2 * time.Second, PersonInterrupts{}, "interrupt, abort"},
			{100 * time.Millisecond, JobStarted{}, ""},
			{500 * time.Millisecond, Disabled{of(Lost)}, ""},
			{500 * time.Millisecond, JobFinished{}, ""},
			{100 * time.Millisecond, ListenerExited{}, "ask to remove"},
			{100 * time.Millisecond, Deleted{fine}, "leave 130"},
		}), "a person cancelled the job"},

		{"a removal fails while its listener is stopped already: again once that has ended", usual, roads(idle, []line{
			{time.Minute, sigterm, "ask to disable"},
			{time.Second, Disabled{fine}, "ask to inspect"},
			{time.Second, Inspected{Result: fine}, "ask to remove"},
			{time.Second, JobStarted{}, ""},
			{57 * time.Second, Tick{}, "interrupt, abort"},
			{time.Second, Deleted{of(Unreachable)}, ""},
			{time.Second, Tick{}, ""},
			{time.Second, ListenerExited{}, "ask to remove"},
			{time.Second, Deleted{fine}, "leave 75"},
		}), budgetSpent.why},

		{"the budget is spent: cancelled, killed, removed", usual, roads(busy, []line{
			{time.Minute, sigterm, "ask to disable"},
			{time.Second, Disabled{fine}, ""},
			{59 * time.Second, Tick{}, "interrupt"},
			{30 * time.Second, Tick{}, "kill"},
			{100 * time.Millisecond, ListenerExited{Exit: Exit{Signal: 9}}, "ask to remove"},
			{time.Second, Deleted{fine}, "leave 75"},
		}), "the job was cut"},

		{"the budget is spent and the server is away: named before the last call", usual, roads(busy, []line{
			{time.Minute, sigterm, "ask to disable"},
			{60 * time.Second, Disabled{of(Unreachable)}, "interrupt"},
			{time.Second, ListenerExited{}, "ask to remove"},
			{time.Second, Deleted{of(Unreachable)}, ""},
			{time.Second, Tick{}, "ask to remove"},
			{36 * time.Second, Tick{}, "abort, name 7, leave 75"},
		}), "the job was cut"},

		{"a removal that is never answered is asked for again while there is time", usual, roads(idle, []line{
			{time.Minute, sigterm, "ask to disable"},
			{time.Second, Disabled{fine}, "ask to inspect"},
			{time.Second, Inspected{Result: fine}, "ask to remove"},
			{45 * time.Second, Deleted{of(Lost)}, ""},
			{time.Second, Tick{}, "ask to remove"},
			{time.Second, Deleted{of(Missing)}, "interrupt"},
			{time.Second, ListenerExited{}, "leave 0"},
		}), "SIGTERM"},

		{"Ctrl-C three times: drain, cancel, kill", usual, roads(busy, []line{
			{time.Minute, PersonInterrupts{}, "ask to disable"},
			{time.Millisecond, PersonInterrupts{}, ""},                // the same one, heard twice
			{2 * time.Second, PersonInterrupts{}, "interrupt, abort"}, // the PATCH must not delay the removal
			{time.Millisecond, Disabled{of(Lost)}, ""},
			{500 * time.Millisecond, PersonInterrupts{}, ""},
			{time.Second, PersonInterrupts{}, "kill"},
			{time.Second, ListenerExited{Exit: Exit{Signal: 9}}, "ask to remove"},
			{time.Second, Deleted{fine}, "leave 130"},
		}), "a person cancelled the job"},

		{"SIGTERM twice escalates nothing", usual, roads(busy, []line{
			{time.Minute, sigterm, "ask to disable"},
			{5 * time.Second, sigterm, ""},
			{5 * time.Second, sigterm, ""},
			{50 * time.Second, Disabled{of(Unreachable)}, "interrupt"}, // nor extends anything
		}), ""},

		{"azptend drain: no clock, the job takes as long as it takes", usual, roads(busy, []line{
			{time.Minute, DrainAsked{Reason: "asked"}, "ask to disable"},
			{time.Second, Disabled{fine}, ""},
			{10 * time.Hour, JobFinished{}, "ask to inspect"},
			{time.Second, Inspected{Result: fine}, "ask to remove"},
			{time.Second, Deleted{fine}, "interrupt"},
			{time.Second, ListenerExited{}, "leave 0"},
		}), "asked"},

		{"--once: disabled as its job starts, so that only the DELETE is left", once, roads(idle, []line{
			{time.Minute, JobStarted{}, "ask to disable"},
			{time.Second, Disabled{fine}, ""},
			{time.Minute, JobFinished{}, "ask to remove"},
			{time.Second, Deleted{of(JobRunning)}, ""}, // the server has not heard its end yet
			{time.Second, Tick{}, "ask to remove"},
			{time.Second, Deleted{fine}, ""}, // the listener is ending by itself
			{time.Second, ListenerExited{}, "leave 0"},
		}), "one job served"},

		{"--once: a listener that dies of its job is not started again", once, roads(idle, []line{
			{time.Minute, JobStarted{}, "ask to disable"},
			{time.Second, Disabled{fine}, ""},
			{time.Minute, ListenerExited{Exit: Exit{Signal: 9}}, "kill, ask to remove"},
			{time.Second, Deleted{of(JobRunning)}, ""}, // until the dead job's lock lapses
			{time.Second, Tick{}, "ask to remove"},
			{time.Second, Deleted{fine}, "leave 137"},
		}), "in the middle of its job"},

		{"--once: a listener that was killed before it was heard to have a job, as the server says", once, roads(idle, []line{
			{time.Minute, ListenerExited{Exit: Exit{Signal: 9}}, "kill, ask to remove"},
			{time.Second, Deleted{of(JobRunning)}, ""},
			{time.Second, Tick{}, "ask to remove"},
			{time.Second, Deleted{fine}, "leave 137"},
		}), "in the middle of its job"},

		{"--once: a listener that was killed and had no job, as far as anybody says, is registered anew", once, roads(idle, []line{
			{time.Minute, ListenerExited{Exit: Exit{Signal: 9}}, "kill, ask to remove"},
			{time.Second, Deleted{fine}, ""},
			{rejoinPause, Tick{}, "ask to register"},
		}), ""},

		{"--once: a listener that ends without a job is started again", once, roads(started, []line{
			{time.Second, ListenerExited{Exit: Exit{Code: 2}}, "ask to inspect"},
			{time.Second, Inspected{Result: fine}, ""},
			{time.Second, Tick{}, "ask to launch"},
		}), ""},

		{"exit 1: final, if the agent still exists", usual, roads(idle, []line{
			{time.Minute, ListenerExited{Exit: Exit{Code: 1}}, "ask to inspect"},
			{time.Second, Inspected{Result: fine}, "ask to remove"},
			{time.Second, Deleted{fine}, "leave 1"},
		}), "exit code 1"},

		{"exit 1: the agent was deleted, so register anew", usual, roads(idle, []line{
			{time.Minute, ListenerExited{Exit: Exit{Code: 1}}, "ask to inspect"},
			{time.Second, Inspected{Result: of(Missing)}, "ask to remove"},
			{time.Second, Deleted{of(Missing)}, ""}, // a look is no witness: two answers to a DELETE are
			{shortestPause, Tick{}, "ask to remove"},
			{time.Second, Deleted{of(Missing)}, ""},
			{rejoinPause, Tick{}, "ask to register"},
			{time.Second, Registered{fine, 8}, "ask to launch"},
		}), ""},

		{"the listener is killed: its session stays, so register anew", usual, roads(busy, []line{
			{time.Minute, ListenerExited{Exit: Exit{Signal: 9}}, "kill, ask to remove"},
			{time.Second, Deleted{of(JobRunning)}, ""}, // until the dead job's lock lapses
			{time.Second, Tick{}, "ask to remove"},
			{time.Second, Deleted{fine}, ""},
			{rejoinPause, Tick{}, "ask to register"},
		}), ""},

		{"exit 3: the update's script is waited for, and nothing killed", usual, roads(busy, []line{
			{time.Minute, ListenerExited{Exit: Exit{Code: 3}}, "awaitupdate"},
			{time.Minute, UpdateSettled{}, "ask to launch"},
			{time.Second, Launched{fine}, ""},
		}), ""},

		{"exit 4: the same for --once, which has had no job yet", once, roads(idle, []line{
			{time.Minute, ListenerExited{Exit: Exit{Code: 4}}, "awaitupdate"},
			{time.Minute, UpdateSettled{}, "ask to launch"},
		}), ""},

		{"exit 3 while draining is no fault", usual, roads(busy, []line{
			{time.Minute, sigterm, "ask to disable"},
			{time.Second, Disabled{fine}, ""},
			{time.Second, ListenerExited{Exit: Exit{Code: 3}}, "awaitupdate, ask to remove"},
			{time.Second, Deleted{fine}, ""},
			{time.Second, UpdateSettled{}, "leave 0"},
		}), "SIGTERM"},

		{"a listener that dies while its job is drained: what it left is killed", usual, roads(busy, []line{
			{time.Minute, sigterm, "ask to disable"},
			{time.Second, Disabled{fine}, ""},
			{time.Second, ListenerExited{Exit: Exit{Code: 2}}, "kill, ask to remove"},
			{time.Second, Deleted{fine}, "leave 2"},
		}), "in the middle of a job"},

		{"the socket is lost: idle only when the others have said so for a while", usual, roads(idle, []line{
			{time.Second, SocketLost{}, ""},
			{time.Minute, DrainAsked{Reason: "asked"}, "ask to disable"},
			{time.Second, Disabled{fine}, "ask to inspect"},
			{time.Second, Inspected{Result: fine}, ""},
			{settle, Tick{}, "ask to inspect"},
			{time.Second, Inspected{Result: fine}, "ask to remove"},
		}), ""},

		{"the socket is lost, and the listener dies: the worker that it may have left is killed", usual, roads(idle, []line{
			{time.Second, SocketLost{}, ""},
			{time.Minute, ListenerExited{Exit: Exit{Code: 2}}, "kill, ask to inspect"},
			{time.Second, Inspected{Result: fine}, ""},
			{time.Second, Tick{}, "ask to launch"},
		}), ""},

		{"the socket is lost: SIGTERM does not shorten that while", usual, roads(idle, []line{
			{time.Second, SocketLost{}, ""},
			{time.Minute, DrainAsked{Reason: "asked"}, "ask to disable"},
			{time.Second, Disabled{fine}, "ask to inspect"},
			{time.Second, Inspected{Result: fine}, ""},
			{time.Second, sigterm, "ask to inspect"},
			{time.Second, Inspected{Result: fine}, ""},
		}), ""},

		{"a job slips in while the removal is out: served, within the budget", usual, roads(idle, []line{
			{time.Minute, sigterm, "ask to disable"},
			{time.Second, Disabled{of(Refused)}, "ask to inspect"},
			{time.Second, Inspected{Result: fine}, "ask to remove"},
			{time.Second, JobStarted{}, ""},
			{time.Second, Deleted{of(Lost)}, ""},
			{2 * time.Second, Tick{}, ""}, // not again before the job has ended
			{54 * time.Second, Tick{}, "interrupt"},
			{time.Second, ListenerExited{}, "ask to remove"},
			{time.Second, Deleted{fine}, "leave 75"},
		}), "the job was cut"},

		{"the listener comes up when the drain budget is spent", usual, roads(booted, []line{
			{time.Second, Registered{fine, 7}, "ask to launch"},
			{time.Second, sigterm, ""},
			{60 * time.Second, Tick{}, "abort"},
			{time.Second, Launched{fine}, "interrupt"},
			{time.Second, ListenerExited{}, "ask to remove"},
			{time.Second, Deleted{fine}, "leave 0"},
		}), "SIGTERM"},

		{"the launch hangs until the drain budget is spent", usual, roads(booted, []line{
			{time.Second, Registered{fine, 7}, "ask to launch"},
			{time.Second, sigterm, ""},
			{60 * time.Second, Tick{}, "abort"},
			{time.Millisecond, Launched{of(Unreachable)}, "ask to remove"},
			{time.Second, Deleted{fine}, "leave 0"},
		}), "SIGTERM"},

		{"azptend was stopped for longer than its grace period", usual, roads(busy, []line{
			{time.Minute, sigterm, "ask to disable"},
			{time.Second, Disabled{fine}, ""},
			{time.Hour, Tick{}, "interrupt, kill"},
			{lastLook, Tick{}, "name 7, leave 75"},
		}), "the job was cut"},

		{"SIGTERM while a removal hangs that had time: it is given up at half", usual, roads(busy, []line{
			{time.Second, ListenerExited{}, "kill, ask to remove"},
			{time.Second, sigterm, ""},
			{50 * time.Second, Tick{}, "abort"},
			{time.Millisecond, Deleted{of(Lost)}, ""},
			{time.Second, Tick{}, "ask to remove"},
			{time.Second, Deleted{of(Missing)}, "leave 0"},
		}), "SIGTERM"},

		{"the socket is lost and a worker runs when a person insists", usual, roads(busy, []line{
			{time.Second, SocketLost{}, ""},
			{time.Minute, PersonInterrupts{}, "ask to disable"},
			{time.Second, Disabled{fine}, "ask to inspect"},
			{time.Second, Inspected{Result: fine, Work: Steps}, ""},
			{time.Second, PersonInterrupts{}, "interrupt"},
			{time.Second, ListenerExited{}, "ask to remove"},
			{time.Second, Deleted{fine}, "leave 130"},
		}), "a person cancelled the job"},

		{"the name is held by a dead agent: it is removed, then ours is added", usual, roads(booted, []line{
			{time.Second, Registered{Result: of(Taken)}, "ask to look up"},
			{time.Second, LookedUp{Result: fine, Owner: Other, AgentID: 3}, "ask to remove twin"},
			{time.Second, TwinRemoved{of(JobRunning)}, ""}, // waited for
			{twinBusy, Tick{}, "ask to look up"},
			{time.Second, LookedUp{Result: fine, Owner: Other, AgentID: 3}, "ask to remove twin"},
			{time.Second, TwinRemoved{fine}, "ask to register"},
			{time.Second, Registered{fine, 7}, "ask to launch"},
		}), ""},

		{"the name is held by an earlier life on this host, still online", usual, roads(booted, []line{
			{time.Second, Registered{Result: of(Taken)}, "ask to look up"},
			{time.Second, LookedUp{Result: fine, Owner: Recorded, Online: true, AgentID: 3}, "ask to remove twin"},
		}), ""},

		{"the name is held by somebody else, online: watched, then 75", usual, roads(booted, []line{
			{time.Second, Registered{Result: of(Taken)}, "ask to look up"},
			{time.Second, LookedUp{Result: fine, Owner: Other, Online: true}, ""},
			{twinWatch, Tick{}, "ask to look up"},
			{50 * time.Second, LookedUp{Result: fine, Owner: Other, Online: true}, "leave 75"},
		}), "held by another"},

		{"the name is taken by an agent nobody sees: no hot loop, then 75", usual, roads(booted, []line{
			{time.Second, Registered{Result: of(Taken)}, "ask to look up"},
			{time.Second, LookedUp{Result: fine, Owner: Nobody}, ""},
			{time.Second, Tick{}, "ask to register"},
			{time.Second, Registered{Result: of(Taken)}, "ask to look up"},
			{time.Second, LookedUp{Result: fine, Owner: Nobody}, ""},
			{2 * time.Second, Tick{}, "ask to register"},
			{time.Second, Registered{Result: of(Taken)}, "ask to look up"},
			{bootPatience, LookedUp{Result: fine, Owner: Nobody}, "leave 75"},
		}), "does not see"},

		{"the server does not show the agent yet: a DELETE decides, and is refused", usual, roads(idle, []line{
			{time.Second, sigterm, "ask to disable"},
			{time.Second, Disabled{fine}, "ask to inspect"},
			{time.Second, Inspected{Result: of(Missing)}, "ask to remove"},
			{time.Second, Deleted{of(JobRunning)}, ""},
			{recheck, Tick{}, "ask to inspect"},
			{time.Second, Inspected{Result: fine}, "ask to remove"},
			{time.Second, Deleted{fine}, "interrupt"},
		}), ""},

		{"the POST's answer is lost: the agent is ours and complete", usual, roads(booted, []line{
			{time.Second, Registered{Result: of(Lost)}, "ask to look up"},
			{time.Second, LookedUp{Result: fine, Owner: Ours, AgentID: 7, Complete: true}, "ask to launch"},
		}), ""},

		{"the POST's answer is lost: what the listener needs was in it", usual, roads(booted, []line{
			{time.Second, Registered{Result: of(Lost)}, "ask to look up"},
			{time.Second, LookedUp{Result: fine, Owner: Ours, AgentID: 7}, "ask to remove"},
			{time.Second, Deleted{fine}, ""},
			{rejoinPause, Tick{}, "ask to register"},
		}), ""},

		{"the POST's answer is lost: nobody is there, and after a while nobody will be", usual, roads(booted, []line{
			{time.Second, Registered{Result: of(Lost)}, "ask to look up"},
			{time.Second, LookedUp{Result: fine, Owner: Nobody}, ""},
			{lateAct - time.Second, Tick{}, "ask to look up"},
			{time.Second, LookedUp{Result: fine, Owner: Nobody}, ""},
			{time.Second, Tick{}, "ask to register"},
		}), ""},

		{"SIGTERM while the POST is out whose first answer was lost: the late agent is removed", usual, roads(booted, []line{
			{time.Second, Registered{Result: of(Lost)}, "ask to look up"},
			{lateAct, LookedUp{Result: fine, Owner: Nobody}, "ask to look up"},
			{time.Second, LookedUp{Result: fine, Owner: Nobody}, ""},
			{time.Second, Tick{}, "ask to register"},
			{time.Second, sigterm, ""},
			{time.Second, Registered{Result: of(Taken)}, "ask to look up"},
			{time.Second, LookedUp{Result: fine, Owner: Ours, AgentID: 7}, "ask to remove"},
			{time.Second, Deleted{fine}, "leave 0"},
		}), "SIGTERM"},

		{"503 to the POST, and SIGTERM before the next: the agent that the server has added all the same is removed", usual, roads(booted, []line{
			{time.Second, Registered{Result: of(Doubtful)}, ""},
			{500 * time.Millisecond, sigterm, "ask to look up"},
			{time.Second, LookedUp{Result: fine, Owner: Ours, AgentID: 7}, "ask to remove"},
			{time.Second, Deleted{fine}, "leave 0"},
		}), "SIGTERM"},

		{"SIGTERM while the POST is out that is answered with 503: nobody is there, and after a while nobody will be", usual, roads(booted, []line{
			{time.Second, sigterm, ""},
			{time.Second, Registered{Result: of(Doubtful)}, "ask to look up"},
			{time.Second, LookedUp{Result: fine, Owner: Nobody}, ""},
			{lateAct - time.Second, Tick{}, "ask to look up"},
			{time.Second, LookedUp{Result: fine, Owner: Nobody}, "leave 0"},
		}), "SIGTERM"},

		{"503 to the POST, and the next is refused: a look-up comes before leaving", usual, roads(booted, []line{
			{time.Second, Registered{Result: of(Doubtful)}, ""},
			{time.Second, Tick{}, "ask to register"},
			{lateAct, Registered{Result: of(Denied)}, "ask to look up"},
			{time.Second, LookedUp{Result: fine, Owner: Nobody}, "leave 77"},
		}), "cannot register"},

		{"SIGTERM while the POST is out: the agent it makes is removed", usual, roads(booted, []line{
			{time.Second, sigterm, ""},
			{time.Second, Registered{fine, 7}, "ask to remove"},
			{time.Second, Deleted{fine}, "leave 0"},
		}), "SIGTERM"},

		{"SIGTERM while booting", usual, []line{
			{0, Begin{}, "ask to prepare"},
			{time.Second, sigterm, "leave 0"},
		}, "SIGTERM"},

		{"the identity may not", usual, []line{
			{0, Begin{}, "ask to prepare"},
			{time.Second, Prepared{Result: of(Denied)}, "leave 77"},
		}, "cannot begin"},

		{"the server is not there for two minutes", usual, []line{
			{0, Begin{}, "ask to prepare"},
			{time.Second, Prepared{Result: of(Unreachable)}, ""},
			{time.Second, Tick{}, "ask to prepare"},
			{bootPatience, Prepared{Result: of(Unreachable)}, "leave 69"},
		}, "cannot begin"},

		{"the agent's folder is unfit after all", usual, roads(booted, []line{
			{time.Second, Registered{fine, 7}, "ask to launch"},
			{time.Second, Launched{of(Unfit)}, "ask to remove"},
			{time.Second, Deleted{fine}, "leave 78"},
		}), "cannot start the listener"},

		{"what cannot be removed is named; --strict-remove says so in the code", Policy{Grace: time.Minute, StrictRemove: true}, roads(idle, []line{
			{time.Minute, sigterm, "ask to disable"},
			{time.Second, Disabled{of(Denied)}, "ask to inspect"},
			{time.Second, Inspected{Result: of(Denied)}, "ask to remove"},
			{time.Second, Deleted{of(Denied)}, ""}, // once more: it may be trouble of another kind
			{firstPause, Tick{}, "ask to remove"},
			{time.Second, Deleted{of(Denied)}, "name 7, interrupt"},
			{time.Second, ListenerExited{}, "leave 75"},
		}), notRemoved},
	} {
		t.Run(tt.name, func(t *testing.T) { leadsFor(t, tt.policy, tt.road, tt.why) })
	}
}

// leadsFor walks a road that leads somewhere for a reason.
func leadsFor(t *testing.T, p Policy, road []line, why string) {
	t.Helper()
	s := walk(t, p, road)
	if !strings.Contains(s.why, why) {
		t.Errorf("why: got %q, want %q in it", s.why, why)
	}
	if ends := strings.Contains(road[len(road)-1].want, "leave"); ends != (s.Phase == Gone) {
		t.Errorf("ends in phase %s", s.Phase)
	}
}

// TestRejoinsAtMostFiveTimesAnHour deletes the agent under its listener again
// and again; and then, after an hour, once more.
func TestRejoinsAtMostFiveTimesAnHour(t *testing.T) {
	deleted := func(id int) []line {
		return []line{
			{time.Second, SessionReady{}, ""},
			{time.Second, ListenerExited{Exit: Exit{Code: 2}}, "ask to inspect"},
			{time.Second, Inspected{Result: of(Missing)}, "ask to remove"},
			{time.Second, Deleted{of(Missing)}, ""},
			{shortestPause, Tick{}, "ask to remove"},
			{time.Second, Deleted{of(Missing)}, ""},
			{time.Minute, Tick{}, "ask to register"},
			{time.Second, Registered{fine, id}, "ask to launch"},
			{time.Second, Launched{fine}, ""},
		}
	}
	road := started
	for n := range maxRejoins {
		road = roads(road, deleted(8+n))
	}
	once := []line{
		{time.Second, ListenerExited{Exit: Exit{Code: 2}}, "ask to inspect"},
		{time.Second, Inspected{Result: of(Missing)}, "ask to remove"},
		{time.Second, Deleted{of(Missing)}, ""},
		{shortestPause, Tick{}, "ask to remove"},
		{time.Second, Deleted{of(Missing)}, "leave 69"},
	}
	walk(t, Policy{Grace: time.Minute}, roads(road, once))
	walk(t, Policy{Grace: time.Minute}, roads(road, []line{{rejoinWindow, Tick{}, ""}}, deleted(20)))
}

// TestRestarts: five in a row with growing pauses; one that stayed ready for
// long begins anew.
func TestRestarts(t *testing.T) {
	ends := func(pause time.Duration) []line {
		return []line{
			{time.Second, ListenerExited{Exit: Exit{Code: 2}}, "ask to inspect"},
			{time.Second, Inspected{Result: of(Unreachable)}, ""},
			{pause, Tick{}, "ask to launch"},
			{time.Second, Launched{fine}, ""},
		}
	}
	road := started
	for _, pause := range []time.Duration{1, 2, 4, 8, 16} {
		road = roads(road, ends(pause*time.Second))
	}
	walk(t, Policy{Grace: time.Minute}, roads(road, []line{
		{time.Second, ListenerExited{Exit: Exit{Code: 2}}, "ask to inspect"},
		{time.Second, Inspected{Result: fine}, "ask to remove"},
		{time.Second, Deleted{fine}, "leave 2"},
	}))
	walk(t, Policy{Grace: time.Minute}, roads(road, []line{{time.Second, SessionReady{}, ""}, {steady, Tick{}, ""}}, ends(time.Second)))
}

func TestSplit(t *testing.T) {
	for _, tt := range []struct{ grace, drain, stop, remove string }{
		{"0s", "0s", "0s", "0s"},
		{"1s", "0s", "0s", "1s"},
		{"3s", "0s", "1s", "2s"},
		{"5s", "0s", "3s", "2s"},
		{"10s", "0s", "8s", "2s"},
		{"11s", "1s", "8s", "2s"},
		{"12s", "2s", "8s", "2s"},
		{"20s", "9s", "8s", "3s"},
		{"30s", "13.5s", "12s", "4.5s"},
		{"90s", "50s", "30s", "10s"},
		{"1h", "59m20s", "30s", "10s"},
	} {
		t.Run(tt.grace, func(t *testing.T) {
			of := func(s string) time.Duration { d, _ := time.ParseDuration(s); return d }
			want := Budget{Drain: of(tt.drain), Stop: of(tt.stop), Remove: of(tt.remove)}
			if got := Split(of(tt.grace)); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

// TestSplitAny: the parts of any grace period add up to it, and none is negative.
func TestSplitAny(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		grace := time.Duration(rapid.Int64Range(0, math.MaxInt64).Draw(t, "grace"))
		b := Split(grace)
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

// TestPauses: later each time, never more often than the server wishes, and
// close to the end half of what is left.
func TestPauses(t *testing.T) {
	for _, tt := range []struct {
		name       string
		tries      int
		wish, left time.Duration // left: 0 for ever
		pause      time.Duration
		late       bool
	}{
		{name: "first", pause: time.Second},
		{name: "third", tries: 2, pause: 4 * time.Second},
		{name: "many", tries: 1000, pause: longestPause},
		{name: "the server's wish", wish: time.Minute, pause: time.Minute},
		{name: "no wish is for days", wish: math.MaxInt64, pause: mostHeeded},
		{name: "time enough", tries: 2, left: 5 * time.Second, pause: 4 * time.Second},
		{name: "half of what is left", tries: 2, left: 4 * time.Second, pause: 2 * time.Second},
		{name: "against the server's wish", wish: time.Hour, left: 4 * time.Second, pause: 2 * time.Second},
		{name: "too late", left: 400 * time.Millisecond, late: true},
		{name: "past", left: -time.Second, late: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var until time.Time
			if tt.left != 0 {
				until = began.Add(tt.left)
			}
			x := turn{State: State{tries: tt.tries}, now: began}
			ok := x.tryAgain(Remove, Result{RetryAfter: tt.wish}, until)
			if ok == tt.late || (ok && x.when.Sub(began) != tt.pause) {
				t.Errorf("got %v, %v; want %v", ok, x.when.Sub(began), tt.pause)
			}
		})
	}
}
