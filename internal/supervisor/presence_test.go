package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/azptend/azptend/internal/azdo"
)

// pools is the server of a presenceChecker.
type pools struct {
	Server // nil: no other method is called
	mu     sync.Mutex
	agents map[int]bool // by id
	calls  []string
	at     []time.Time
	err    error
}

func (p *pools) call(what string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls, p.at = append(p.calls, what), append(p.at, time.Now())
	return p.err
}

func (p *pools) AgentByID(_ context.Context, pool, id int, _ azdo.Include) (azdo.Agent, error) {
	err := p.call(fmt.Sprintf("GET %d:%d", pool, id))
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil && !p.agents[id] {
		err = errNoAgent
	}
	return azdo.Agent{ID: id}, err
}

func (p *pools) EachAgent(_ context.Context, pool int, with azdo.Include, each func(azdo.Agent)) error {
	p.mu.Lock()
	agents := maps.Clone(p.agents)
	p.mu.Unlock()
	for id := range agents {
		each(azdo.Agent{ID: id})
	}
	return p.call(fmt.Sprintf("LIST %d %v", pool, with == azdo.Include{}))
}

// change changes the server between two checks.
func (p *pools) change(do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	do()
}

// TestPresence: about once an hour there is one request for all agents of a process. For a
// single agent it uses the agent's id.
func TestPresence(t *testing.T) {
	for _, tt := range []struct {
		name    string
		members int
		call    string
	}{
		{"a single agent", 1, "GET 7:1"},
		{"a hundred", 100, "LIST 7 true"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				p := &pools{agents: map[int]bool{}}
				r := newPresenceChecker(p, slog.New(slog.DiscardHandler))
				missing := map[int]int{}
				var leaves []func()
				for id := 1; id <= tt.members; id++ {
					p.agents[id] = true
					leaves = append(leaves, r.add(7, id, func() { missing[id]++ }))
				}
				go r.run(ctx)
				const hours = 200
				time.Sleep(hours * time.Hour)
				synctest.Wait()
				if n := len(p.calls); n < hours*9/10 || n > hours*11/10 || p.calls[0] != tt.call {
					t.Errorf("%d calls like %v in %d hours", n, p.calls[0], hours)
				}
				same := true
				for i := range p.at[1:] {
					between := p.at[i+1].Sub(p.at[i])
					if between < 45*time.Minute || between > 75*time.Minute {
						t.Errorf("%v between two looks", between)
					}
					same = same && between == p.at[1].Sub(p.at[0])
				}
				if same {
					t.Error("all looks are equally far apart: agents that started together ask together")
				}
				if len(missing) > 0 {
					t.Errorf("missing %v", missing)
				}

				p.change(func() { p.err = errors.New("no answer") }) // an error does not mean that an agent is missing
				time.Sleep(2 * time.Hour)
				p.change(func() { p.err = nil })
				synctest.Wait()
				if len(missing) > 0 {
					t.Errorf("missing %v, of a server that does not answer", missing)
				}
				p.change(func() { delete(p.agents, 1) })
				time.Sleep(90 * time.Minute)
				synctest.Wait()
				if len(missing) != 1 || missing[1] == 0 {
					t.Errorf("missing %v", missing)
				}
				for _, leave := range leaves {
					leave()
				}
				before := len(p.calls)
				time.Sleep(10 * time.Hour)
				synctest.Wait()
				if n := len(p.calls) - before; n > 0 {
					t.Errorf("%d calls for nobody", n)
				}
			})
		})
	}
}

// TestDeletedUnnoticed: the agent is deleted and its listener reports nothing. The hourly
// check finds out.
func TestDeletedUnnoticed(t *testing.T) {
	var stop context.CancelFunc
	s := play(t, nil, func(s *stage) {
		p := &pools{agents: map[int]bool{9: true}}
		s.o.presence = newPresenceChecker(p, s.o.Log)
		var ctx context.Context
		ctx, stop = context.WithCancel(s.t.Context())
		go s.o.presence.run(ctx)
		s.ready()
		s.deleteAgent(8)
		s.advance(90 * time.Minute)
		if len(p.calls) != 1 {
			s.t.Errorf("calls: %v", p.calls)
		}
		s.sigterm()
		stop()
	})
	if got, want := fmt.Sprint(s.record), "[pool POST start 8 GET 8 GET 8 GET 8 PATCH 8 PATCH 8 SIGINT POST start 9 PATCH 9 GET 9 DELETE 9 SIGINT]"; got != want || s.end.Code != 0 {
		t.Errorf("saw %s, exit code %d", got, s.end.Code)
	}
}
