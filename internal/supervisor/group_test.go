package supervisor

import (
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/proc"
)

// TestMerge: the phase is the least of all agents. The group is ready if all are, and ended
// if all have, with the worst end.
func TestMerge(t *testing.T) {
	phases := []lifecycle.Phase{
		lifecycle.Booting, lifecycle.Registering, lifecycle.Starting, lifecycle.Busy, lifecycle.Idle,
		lifecycle.Draining, lifecycle.Stopping, lifecycle.Removing, lifecycle.Gone,
	}
	rapid.Check(t, func(t *rapid.T) {
		var each []Snapshot
		least, ready, ended, most, jobs := len(phases), true, true, 0, 0
		for range rapid.IntRange(2, 4).Draw(t, "agents") {
			at := rapid.IntRange(0, len(phases)-1).Draw(t, "phase")
			s := Snapshot{Phase: phases[at], Agent: "a", Jobs: at, Job: lifecycle.NoJob}
			if s.Phase == lifecycle.Gone {
				s.End = &End{Code: rapid.SampledFrom([]int{0, 1, 70, 75, 77, 130, 137}).Draw(t, "code")}
				if exitcode.Severity(s.End.Code) > exitcode.Severity(most) {
					most = s.End.Code
				}
			}
			least, jobs = min(least, at), jobs+at
			ready = ready && (s.Phase == lifecycle.Idle || s.Phase == lifecycle.Busy)
			ended = ended && s.End != nil
			each = append(each, s)
		}
		got := merge(each)
		if got.Phase != phases[least] || got.Ready() != ready || (got.End != nil) != ended || got.Jobs != jobs || len(got.Each) != len(each) {
			t.Fatalf("%+v of %+v", got, each)
		}
		if ended && got.End.Code != most {
			t.Fatalf("the end is %+v, want code %d", got.End, most)
		}
	})
	if one := merge([]Snapshot{{Agent: "only"}}); one.Agent != "only" || one.Each != nil {
		t.Errorf("one agent is %+v", one)
	}
}

// TestStatusWhileItStarts: the status may be asked for before Run. Run this test with
// -race.
func TestStatusWhileItStarts(t *testing.T) {
	f := newAgentDir(t)
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, f)
		g := NewGroup(s.o)
		var signals proc.Signals
		go func() { s.ended <- g.Run(&signals) }()
		for range 3 {
			go func() { _, _ = g.Status(t.Context()) }()
			go func() { g.Deadline() }()
		}
		_, _ = g.Drain(t.Context(), "asked", false)
		<-s.ended
	})
}

func TestWorst(t *testing.T) {
	order := []int{0, 130, 75, 69, 137, 77, 78, 64, 70}
	for i, worse := range order {
		for _, better := range order[:i] {
			for _, ends := range [][]End{{{Code: better}, {Code: worse}}, {{Code: worse}, {Code: better}}} {
				if got := worst(ends); got.Code != worse {
					t.Errorf("worst of %v is %d", ends, got.Code)
				}
			}
		}
	}
}
