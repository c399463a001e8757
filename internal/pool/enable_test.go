package pool_test

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/pool"
)

func TestEnable(t *testing.T) {
	for _, on := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := at(dead("a", disabled), dead("b"), dead("c"))
			p := open(t, s)
			agents, err := p.Agents(t.Context(), nil)
			if err != nil || len(agents) != 3 || !slices.Equal(s.calls, []string{"list"}) || !p.Now().Equal(noon) {
				t.Fatalf("%v, %v, calls %v", agents, err, s.calls)
			}
			s.agents = s.agents[:2]
			s.mishaps = []mishap{lostAfter, throttled, brokenAfter}
			gone, done := 0, 0
			err = p.SetEnabled(t.Context(), agents, on, func(r pool.SwitchResult) {
				done++
				if r.Gone {
					gone++
				}
			})
			if err != nil || gone != 1 || done != 3 || *s.agents[0].Enabled != on || *s.agents[1].Enabled != on {
				t.Errorf("%v: %d done, %d gone, %v, agents %+v", on, done, gone, err, s.agents)
			}
		})
	}
}

func TestEnableIsRefused(t *testing.T) {
	s := at(dead("a"))
	s.mishaps = []mishap{fine, denied}
	p := open(t, s)
	agents, err := p.Agents(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	err = p.SetEnabled(t.Context(), agents, false, func(r pool.SwitchResult) { t.Errorf("a result: %+v", r) })
	if azdo.Status(err) != 403 || s.agents[0].Enabled != nil {
		t.Errorf("%v, %+v", err, s.agents)
	}
}
