package supervisor

import (
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/azptend/azptend/internal/control"
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
		var each []control.Status
		least, ready, ended, most, jobs := len(phases), true, true, 0, 0
		for range rapid.IntRange(2, 4).Draw(t, "agents") {
			at := rapid.IntRange(0, len(phases)-1).Draw(t, "phase")
			s := control.Status{Phase: string(phases[at]), Agent: "a", Jobs: at, Job: string(lifecycle.NoJob), Ready: phases[at] == lifecycle.Idle || phases[at] == lifecycle.Busy}
			if phases[at] == lifecycle.Gone {
				s.End = &control.End{Code: rapid.SampledFrom([]int{0, 1, 70, 75, 77, 130, 137}).Draw(t, "code")}
				if exitcode.Severity(s.End.Code) > exitcode.Severity(most) {
					most = s.End.Code
				}
			}
			least, jobs = min(least, at), jobs+at
			ready = ready && s.Ready
			ended = ended && s.End != nil
			each = append(each, s)
		}
		got := merge(each)
		if got.Phase != string(phases[least]) || got.Ready != ready || (got.End != nil) != ended || got.Jobs != jobs || len(got.Agents) != len(each) {
			t.Fatalf("%+v of %+v", got, each)
		}
		if ended && got.End.Code != most {
			t.Fatalf("the end is %+v, want code %d", got.End, most)
		}
	})
	if one := merge([]control.Status{{Agent: "only"}}); one.Agent != "only" || one.Agents != nil {
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
		_, _ = g.Drain(t.Context(), false)
		<-s.ended
	})
}
