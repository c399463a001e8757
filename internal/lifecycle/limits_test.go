package lifecycle

import (
	"testing"
	"time"
)

// TestLeavingByItself walks the roads of a life that a limit ends: each disables
// first and looks again, so that no job is lost to the race.
func TestLeavingByItself(t *testing.T) {
	with := func(l Limits) Policy { return Policy{Grace: 100 * time.Second, NameWait: time.Minute, Limits: l} }
	removed := []line{
		{time.Second, Inspected{Result: fine}, "ask to remove"},
		{time.Second, Deleted{fine}, "interrupt"},
		{time.Second, ListenerExited{}, "leave 0"},
	}
	for _, tt := range []struct {
		name   string
		policy Policy
		road   []line
		why    string
	}{
		{"idle for too long", with(Limits{Idle: 5 * time.Minute}), roads(busy, []line{
			{time.Hour, Tick{}, ""}, // not while a job runs
			{time.Second, JobFinished{}, ""},
			{4 * time.Minute, Tick{}, ""},
			{time.Minute, Tick{}, "ask to disable"},
			{time.Second, Disabled{fine}, "ask to inspect"},
		}, removed), idleTooLong},

		{"idle for too long, and a job slips in", with(Limits{Idle: time.Minute}), roads(idle, []line{
			{time.Minute, Tick{}, "ask to disable"},
			{time.Second, JobStarted{}, ""},
			{time.Second, Disabled{fine}, ""},
			{time.Hour, JobFinished{}, "ask to inspect"}, // it may take as long as it takes
		}, removed), idleTooLong},

		{"idle for too long with a lost socket: the others are asked", with(Limits{Idle: time.Minute}), roads(busy, []line{
			{time.Second, SocketLost{}, ""},
			{time.Minute, Tick{}, "ask to disable"},
			{time.Second, Disabled{fine}, "ask to inspect"},
			{time.Second, Inspected{Result: fine, Work: Steps}, ""},
			{recheck, Tick{}, "ask to inspect"},
			{time.Second, Inspected{Result: fine}, ""},
			{settle, Tick{}, "ask to inspect"},
		}, removed), idleTooLong},

		{"an agent that never becomes ready is idle too", with(Limits{Idle: time.Minute}), roads(started, []line{
			{time.Minute, Tick{}, "ask to disable"},
			{time.Second, Disabled{fine}, "ask to inspect"},
		}, removed), idleTooLong},

		{"its lifetime ends in the middle of a job", with(Limits{Lifetime: time.Hour}), roads(busy, []line{
			{time.Hour, Tick{}, "ask to disable"},
			{time.Second, Disabled{fine}, ""},
			{time.Hour, JobFinished{}, "ask to inspect"},
		}, removed), livedLong},

		{"its lifetime ends before it has registered", with(Limits{Lifetime: time.Second}), []line{
			{0, Begin{}, "ask to prepare"},
			{time.Second, Tick{}, "leave 0"},
		}, livedLong},

		{"its last job: disabled when that starts", with(Limits{Jobs: 2}), roads(busy, []line{
			{time.Minute, JobFinished{}, ""},
			{time.Minute, JobStarted{}, "ask to disable"},
			{time.Second, Disabled{fine}, ""},
			{time.Minute, JobFinished{}, "ask to inspect"},
		}, removed), servedMany},

		{"jobs that cannot be counted", with(Limits{Jobs: 2}), roads(idle, []line{
			{time.Second, SocketLost{}, "ask to disable"},
			{time.Second, Disabled{fine}, "ask to inspect"},
			{time.Second, Inspected{Result: fine}, ""},
			{settle, Tick{}, "ask to inspect"},
		}, removed), cannotCount},

		{"a person's first Ctrl-C is no insistence, whatever a limit has said", with(Limits{Jobs: 1}), roads(idle, []line{
			{time.Second, JobStarted{}, "ask to disable"},
			{time.Second, Disabled{fine}, ""},
			{time.Minute, PersonInterrupts{}, ""},
			{time.Second, JobFinished{}, "ask to inspect"},
		}, removed), servedMany},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := walk(t, tt.policy, tt.road)
			if s.why != tt.why || s.Phase != Gone {
				t.Errorf("left in %s for %q", s.Phase, s.why)
			}
		})
	}
}

// TestCancelOnTerm: the platform's word cancels the job, and what was to be
// drained with is spent on stopping it well.
func TestCancelOnTerm(t *testing.T) {
	p := Policy{Grace: 100 * time.Second, CancelOnTerm: true} // drain 60 s, stop 30 s, remove 10 s
	end := []line{
		{time.Second, ListenerExited{}, "ask to remove"},
		{time.Second, Deleted{fine}, "leave 75"},
	}
	for _, tt := range []struct {
		name string
		road []line
	}{
		{"busy", roads(busy, []line{
			{time.Second, sigterm, "interrupt"},
			{89 * time.Second, Tick{}, ""},
			{time.Second, Tick{}, "kill"},
		}, end)},
		{"a job slipped in", roads(idle, []line{
			{time.Second, sigterm, "ask to disable"},
			{time.Second, Disabled{fine}, "ask to inspect"},
			{time.Second, Inspected{Result: fine, Assigned: true}, "interrupt"},
		}, end)},
		{"a drain that somebody else asked for is none", roads(busy, []line{
			{time.Second, DrainAsked{Reason: "asked"}, "ask to disable"},
			{time.Second, Disabled{fine}, ""},
			{time.Minute, sigterm, "interrupt"},
		}, end)},
	} {
		t.Run(tt.name, func(t *testing.T) { walk(t, p, tt.road) })
	}
	walk(t, p, roads(idle, []line{ // idle: the good road, as ever
		{time.Second, sigterm, "ask to disable"},
		{time.Second, Disabled{fine}, "ask to inspect"},
		{time.Second, Inspected{Result: fine}, "ask to remove"},
		{time.Second, Deleted{fine}, "interrupt"},
		{time.Second, ListenerExited{}, "leave 0"},
	}))
}

// TestLeftovers: an earlier life in the same folder is ended as it would have
// ended itself, and only then replaced.
func TestLeftovers(t *testing.T) {
	usual := Policy{Grace: 100 * time.Second}
	found := func(l Leftover, then string) []line {
		return []line{
			{0, Begin{}, "ask to prepare"},
			{time.Second, Prepared{Result: fine, Leftover: l}, then},
		}
	}
	for _, tt := range []struct {
		name string
		road []line
	}{
		{"its agent", roads(found(Leftover{AgentID: 5}, "ask to remove"), []line{
			{time.Second, Deleted{of(JobRunning)}, ""}, // the lock of a job that died with it
			{5 * time.Minute, Tick{}, "ask to remove"},
			{time.Second, Deleted{fine}, "ask to register"},
		})},
		{"its agent, already removed", roads(found(Leftover{AgentID: 5}, "ask to remove"), []line{
			{time.Second, Deleted{of(Missing)}, ""},
			{shortestPause, Tick{}, "ask to remove"},
			{time.Second, Deleted{of(Missing)}, "ask to register"},
		})},
		{"an idle listener is ended", roads(found(Leftover{AgentID: 5, Alive: true}, "ask to disable"), []line{
			{time.Second, Disabled{fine}, "ask to inspect"},
			{time.Second, Inspected{Result: fine}, ""},
			{settle, Tick{}, "ask to inspect"},
			{time.Second, Inspected{Result: fine}, "ask to remove"},
			{time.Second, Deleted{fine}, "interrupt"},
			{time.Second, ListenerExited{}, "ask to register"},
		})},
		{"a busy one finishes its job", roads(found(Leftover{AgentID: 5, Alive: true}, "ask to disable"), []line{
			{time.Second, Disabled{fine}, "ask to inspect"},
			{time.Second, Inspected{Result: fine, Assigned: true, Work: Steps}, ""},
			{time.Hour, Tick{}, "ask to inspect"},
			{time.Second, Inspected{Result: fine}, ""},
			{settle, Tick{}, "ask to inspect"},
			{time.Second, Inspected{Result: fine}, "ask to remove"},
			{time.Second, Deleted{fine}, "interrupt"},
			{time.Second, ListenerExited{}, "ask to register"},
		})},
		{"a busy one, and the platform ends it", roads(found(Leftover{AgentID: 5, Alive: true}, "ask to disable"), []line{
			{time.Second, Disabled{fine}, "ask to inspect"},
			{time.Second, Inspected{Result: fine, Assigned: true, Work: Steps}, ""},
			{time.Second, sigterm, "ask to inspect"},
			{time.Second, Inspected{Result: fine, Assigned: true, Work: Steps}, ""},
			{time.Hour, Tick{}, "interrupt, kill"},
			{lastLook, Tick{}, "name 5, leave 75"},
		})},
		{"a busy one whose agent is gone: its worker is waited for", roads(found(Leftover{AgentID: 5, Alive: true}, "ask to disable"), []line{
			{time.Second, Disabled{of(Missing)}, ""},
			{shortestPause, Tick{}, "ask to disable"},
			{time.Second, Disabled{of(Missing)}, "ask to inspect"},
			{time.Second, Inspected{Result: of(Missing), Work: Steps}, ""},
			{recheck, Tick{}, "ask to inspect"},
			{time.Second, Inspected{Result: of(Missing)}, "interrupt"},
			{time.Second, ListenerExited{}, "ask to register"},
		})},
		{"a busy one that nobody may look at: its worker is waited for", roads(found(Leftover{AgentID: 5, Alive: true, Working: true}, "ask to disable"), []line{
			{time.Second, Disabled{of(Denied)}, "ask to inspect"},
			{time.Second, Inspected{Result: of(Denied), Work: Steps}, ""},
			{recheck, Tick{}, "ask to inspect"},
			{time.Second, Inspected{Result: of(Denied)}, "ask to remove"},
			{time.Second, Deleted{of(Denied)}, ""},
			{firstPause, Tick{}, "ask to remove"},
			{time.Second, Deleted{of(Denied)}, "name 5, interrupt"},
			{time.Second, ListenerExited{}, "ask to register"},
		})},
		{"a listener without a known agent", roads(found(Leftover{Alive: true}, "ask to inspect"), []line{
			{time.Second, Inspected{Result: of(Missing)}, "interrupt"},
			{time.Second, ListenerExited{}, "ask to register"},
		})},
	} {
		t.Run(tt.name, func(t *testing.T) { walk(t, usual, tt.road) })
	}
	// Its job is not ours: one that was to take one job has still to take it.
	s := walk(t, Policy{Grace: 100 * time.Second, Once: true}, roads(found(Leftover{AgentID: 5, Alive: true}, "ask to disable"), []line{
		{time.Second, ListenerExited{}, ""},
		{time.Second, Disabled{fine}, "ask to remove"},
		{time.Second, Deleted{fine}, "ask to register"},
		{time.Second, Registered{fine, 7}, "ask to launch"},
		{time.Second, Launched{fine}, ""},
	}))
	if s.Jobs != 0 {
		t.Errorf("an earlier life's jobs are counted: %d", s.Jobs)
	}
}

// TestKilledAndNotStarted: an azptend that was killed has left an agent, and the
// next start in its folder is ended before it has begun. There may be no other.
func TestKilledAndNotStarted(t *testing.T) {
	begin := []line{{0, Begin{Former: 5}, "ask to prepare"}}
	asked := roads(begin, []line{{time.Second, sigterm, ""}})
	for _, tt := range []struct {
		name string
		road []line
	}{
		{"it is removed first", roads(asked, []line{
			{time.Second, Prepared{Result: fine, Leftover: Leftover{AgentID: 5}}, "ask to remove"},
			{time.Second, Deleted{fine}, "leave 0"},
		})},
		{"there is none after all", roads(asked, []line{{time.Second, Prepared{Result: fine}, "leave 0"}})},
		{"nobody answers", roads(asked, []line{
			{time.Second, Prepared{Result: of(Unreachable)}, ""},
			{firstPause, Tick{}, "ask to prepare"},
			{97 * time.Second, Tick{}, "abort, name 5, leave 0"},
		})},
		{"a person insists", roads(asked, []line{{insistAfter, PersonInterrupts{}, "name 5, leave 0"}})},
		{"this identity may not", roads(begin, []line{{time.Second, Prepared{Result: of(Denied)}, "name 5, leave 77"}})},
	} {
		t.Run(tt.name, func(t *testing.T) { walk(t, Policy{Grace: 100 * time.Second}, tt.road) })
	}
}

// TestLent: an agent that somebody else has registered is run without a word to
// the server, and left for him to remove.
func TestLent(t *testing.T) {
	lent := []line{
		{0, Begin{}, "ask to prepare"},
		{time.Second, Prepared{Result: fine, Lent: 9}, "ask to launch"},
		{time.Second, Launched{fine}, ""},
		{time.Second, SessionReady{}, ""},
	}
	for _, tt := range []struct {
		name   string
		policy Policy
		road   []line
	}{
		{"one job", Policy{Once: true, Grace: time.Minute}, roads(lent, []line{
			{time.Second, JobStarted{}, ""},
			{time.Second, JobFinished{}, ""},
			{time.Second, ListenerExited{}, "leave 0"},
		})},
		{"SIGTERM while idle: the process table alone is looked at", Policy{Grace: time.Minute}, roads(lent, []line{
			{time.Second, sigterm, "ask to inspect"},
			{time.Second, Inspected{Result: fine}, "interrupt"},
			{time.Second, ListenerExited{}, "leave 0"},
		})},
		{"SIGTERM while busy", Policy{Grace: time.Minute}, roads(lent, []line{
			{time.Second, JobStarted{}, ""},
			{time.Second, sigterm, ""},
			{time.Second, JobFinished{}, "ask to inspect"},
			{time.Second, Inspected{Result: fine}, "interrupt"},
			{time.Second, ListenerExited{}, "leave 0"},
		})},
		{"killed: it cannot register anew", Policy{Grace: time.Minute}, roads(lent, []line{
			{time.Second, ListenerExited{Exit: Exit{Signal: 9}}, "kill, leave 137"},
		})},
		{"idle for too long", Policy{Grace: time.Minute, Limits: Limits{Idle: time.Minute}}, roads(lent, []line{
			{time.Minute, Tick{}, "ask to inspect"},
			{time.Second, Inspected{Result: fine}, "interrupt"},
			{time.Second, ListenerExited{}, "leave 0"},
		})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if s := walk(t, tt.policy, tt.road); s.Registration != Lent {
				t.Errorf("the agent is %s", s.Registration)
			}
		})
	}
}

// TestYoungTwin: two that start at the same time under one name do not remove
// each other's agent.
func TestYoungTwin(t *testing.T) {
	walk(t, Policy{Grace: time.Minute, NameWait: time.Minute}, roads(booted, []line{
		{time.Second, Registered{Result: of(Taken)}, "ask to look up"},
		{time.Second, LookedUp{Result: fine, Owner: Other, AgentID: 3, Young: true}, ""},
		{twinWatch, Tick{}, "ask to look up"},
		{time.Second, LookedUp{Result: fine, Owner: Other, AgentID: 3}, "ask to remove twin"}, // it never came online
		{time.Second, TwinRemoved{fine}, "ask to register"},
	}))
}

// TestOccupiedFolder: another container's agent is at work in our folder. It is
// waited for, as long as a name is; then a name may be waited for anew.
func TestOccupiedFolder(t *testing.T) {
	p := Policy{Grace: time.Minute, NameWait: 15 * time.Second}
	began := []line{
		{0, Begin{}, "ask to prepare"},
		{time.Second, Prepared{Result: of(Occupied)}, ""},
		{twinWatch, Tick{}, "ask to prepare"},
		{time.Second, Prepared{Result: of(Occupied)}, ""},
		{4 * time.Second, Tick{}, "ask to prepare"},
	}
	walk(t, p, roads(began, []line{{time.Second, Prepared{Result: of(Occupied)}, "leave 75"}}))
	walk(t, p, roads(began, []line{{time.Second, DrainAsked{Reason: "SIGTERM", Clock: true}, "leave 0"}}))
	walk(t, p, roads(began, []line{
		{time.Second, Prepared{Result: fine}, "ask to register"},
		{time.Second, Registered{Result: of(Taken)}, "ask to look up"},
		{time.Second, LookedUp{Result: fine, Owner: Other, AgentID: 3, Online: true}, ""},
		{twinWatch, Tick{}, "ask to look up"},
	}))
}

// TestHandOver: registered, and left to another; unless something fails.
func TestHandOver(t *testing.T) {
	p := Policy{Grace: time.Minute, HandOver: true}
	began := roads(booted, []line{{time.Second, Registered{fine, 7}, "ask to launch"}})
	if s := walk(t, p, roads(began, []line{{time.Second, Launched{fine}, "leave 0"}})); s.Registration != Lent {
		t.Errorf("the agent is %s", s.Registration)
	}
	walk(t, p, roads(began, []line{
		{time.Second, Launched{of(Unfit)}, "ask to remove"},
		{time.Second, Deleted{fine}, "leave 78"},
	}))
	walk(t, p, roads(began, []line{
		{time.Second, sigterm, ""},
		{time.Second, Launched{fine}, "ask to remove"},
		{time.Second, Deleted{fine}, "leave 0"},
	}))
}
