package lifecycle

import (
	"testing"
	"time"
)

// TestRoadsOfEvidence walks roads on which what is known of a job is old, or comes
// from the process table alone.
func TestRoadsOfEvidence(t *testing.T) {
	usual := Policy{Grace: 100 * time.Second} // drain 60 s, stop 30 s, remove 10 s
	lost := roads(busy, []line{{time.Second, SocketLost{}, ""}})
	// The server is away from SIGTERM on; the worker is there.
	away := func(seen Work) []line {
		return roads(lost, []line{
			{time.Minute, sigterm, "look, ask to disable"},
			{time.Second, WorkSeen{seen}, ""},
			{59 * time.Second, Disabled{of(Unreachable)}, "look"},
			{time.Millisecond, WorkSeen{seen}, "interrupt, look"},
			{time.Millisecond, WorkSeen{seen}, ""},
		})
	}
	spent := roads(busy, []line{
		{time.Minute, sigterm, "ask to disable"},
		{time.Second, Disabled{fine}, ""},
		{59 * time.Second, Tick{}, "look"},
	})
	waits := roads(spent, []line{
		{time.Millisecond, WorkSeen{NoSteps}, ""},
		{lookSoon, Tick{}, "look"},
	})
	for _, tt := range []struct {
		name   string
		policy Policy
		road   []line
		why    string
	}{
		{"the socket is lost, and the server away: the process table shows the job that is cut", usual, roads(away(Steps), []line{
			{time.Second, ListenerExited{}, "ask to remove"},
			{time.Second, Deleted{fine}, "leave 75"},
		}), budgetSpent.why},
		{"the same, and the listener's log tells it too: it was azptend", usual, roads(away(Steps), []line{
			{time.Second, ListenerExited{Cut: SurelyCut}, "ask to remove"},
			{time.Second, Deleted{fine}, "leave 75"},
		}), budgetSpent.why},
		{"the same without a worker: no job was cut", usual, roads(away(NoWork), []line{
			{time.Second, ListenerExited{}, "ask to remove"},
			{time.Second, Deleted{fine}, "leave 0"},
		}), "SIGTERM"},
		{"the same, and nobody can look: it may have been cut", usual, roads(lost, []line{
			{time.Minute, sigterm, "look, ask to disable"},
			{time.Second, WorkSeen{Unseen}, ""},
			{59 * time.Second, Disabled{of(Unreachable)}, "look"},
			{time.Millisecond, WorkSeen{Unseen}, "interrupt"},
			{time.Second, ListenerExited{}, "ask to remove"},
			{time.Second, Deleted{fine}, "leave 75"},
		}), notSeen.why},
		{"what a look showed is kept although the server does not answer it", usual, roads(lost, []line{
			{time.Minute, sigterm, "look, ask to disable"},
			{time.Second, WorkSeen{NoWork}, ""},
			{time.Second, Disabled{fine}, "ask to inspect"},
			{58 * time.Second, Inspected{Result: of(Unreachable), Work: Steps}, "look"},
			{time.Millisecond, WorkSeen{Unseen}, "interrupt"},
			{time.Second, ListenerExited{}, "ask to remove"},
			{time.Second, Deleted{fine}, "leave 75"},
		}), budgetSpent.why},
		{"a job runs on: it is cut", usual, roads(spent, []line{
			{time.Millisecond, WorkSeen{Steps}, "interrupt"},
			{time.Second, ListenerExited{}, "ask to remove"},
			{time.Second, Deleted{fine}, "leave 75"},
		}), budgetSpent.why},
		{"none of its steps runs: its report is waited for, and comes", usual, roads(waits, []line{
			{time.Millisecond, WorkSeen{NoSteps}, ""},
			{time.Second, JobFinished{}, "look"},
			{time.Millisecond, WorkSeen{NoWork}, "interrupt"},
			{time.Second, ListenerExited{}, "ask to remove"},
			{time.Second, Deleted{fine}, "leave 0"},
		}), "SIGTERM"},
		{"the same, and a step begins: it is cut", usual, roads(waits, []line{
			{time.Millisecond, WorkSeen{Steps}, "interrupt"},
		}), ""},
		{"the same, and its report does not come", usual, roads(waits, []line{
			{time.Millisecond, WorkSeen{NoSteps}, ""},
			{14 * time.Second, Tick{}, "look"},
			{time.Millisecond, WorkSeen{NoSteps}, ""},
			{time.Second, Tick{}, "interrupt"},
			{time.Second, ListenerExited{}, "ask to remove"},
			{time.Second, Deleted{fine}, "leave 75"},
		}), notReported.why},
		{"a job that began while the agent was stopped", usual, roads(idle, []line{
			{time.Minute, sigterm, "ask to disable"},
			{time.Second, Disabled{fine}, "ask to inspect"},
			{time.Second, Inspected{Result: fine}, "ask to remove"},
			{time.Second, Deleted{fine}, "interrupt, look"},
			{time.Millisecond, WorkSeen{Steps}, ""},
			{time.Second, ListenerExited{}, "leave 75"},
		}), agentGone.why},
		{"it ends in the middle of a job, and nobody knows why", Policy{Once: true}, roads(idle, []line{
			{time.Minute, JobStarted{}, "ask to disable"},
			{time.Second, Disabled{fine}, ""},
			{time.Minute, ListenerExited{}, "kill, ask to remove"},
			{time.Second, Deleted{fine}, "leave 75"},
		}), endedInJob},
	} {
		t.Run(tt.name, func(t *testing.T) { leadsFor(t, tt.policy, tt.road, tt.why) })
	}
}

// TestFrozen: azptend was frozen in a drain until its part was over. What has
// happened meanwhile comes before the clock, in whatever order it is taken in.
func TestFrozen(t *testing.T) {
	drains := roads(busy, []line{
		{time.Minute, sigterm, "ask to disable"},
		{time.Second, Disabled{fine}, ""},
	})
	s := walk(t, Policy{Grace: 100 * time.Second}, drains)
	thaws := s.clock.Add(70 * time.Second)
	s, actions := Take(s, JobFinished{}, thaws)
	if got := told(actions); got != "" {
		t.Fatalf("the job's end: %s", got)
	}
	s, actions = Step(s, Tick{}, thaws)
	s, actions = looked(s, actions, thaws)
	if got := told(actions); got != "interrupt" || s.mayBeCut {
		t.Errorf("%s, and cuts a job: %v", got, s.mayBeCut)
	}
}

// TestOldLook: a look that was begun before the job was due to be cut shows what was,
// and not what is.
func TestOldLook(t *testing.T) {
	s := walk(t, Policy{Grace: 100 * time.Second}, roads(busy, []line{{time.Second, SocketLost{}, ""}}))
	asked := began.Add(10 * time.Minute)
	s, actions := Step(s, sigterm, asked)
	if got := told(actions); got != "look, ask to disable" {
		t.Fatal(got)
	}
	late := asked.Add(60 * time.Second) // frozen in between
	s, actions = Take(s, Disabled{of(Unreachable)}, late)
	if got := told(actions); got != "" {
		t.Fatal(got)
	}
	s.lookingSince = late // as one that was begun just now
	s, _ = Step(s, Tick{}, late)
	if s, actions = Step(s, WorkSeen{NoWork}, late); told(actions) != "look" {
		t.Fatalf("it decides by an old look: %s", told(actions))
	}
	if _, actions = Step(s, WorkSeen{Steps}, late); told(actions) != "interrupt, look" {
		t.Fatalf("then it does not cut: %s", told(actions))
	}
}
