package pool_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/pool"
)

// at is a server whose clock shows noon.
func at(agents ...azdo.Agent) *server {
	s := newServer(agents...)
	s.clock = noon
	return s
}

func survey(t *testing.T, s *server, r pool.Rules) (*pool.Pool, pool.Survey) {
	t.Helper()
	p := open(t, s)
	seen, err := p.Survey(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return p, seen
}

func namesOf(agents []azdo.Agent) []string {
	names := []string{}
	for _, a := range agents {
		names = append(names, a.Name)
	}
	return names
}

func TestSurvey(t *testing.T) {
	s := at(dead("a", can("docker", "1"), can("PATH", "/bin")), dead("b", theirs, can("Gpu", "1"), can("HOME", "/"), ran("gpu")), dead("c", online))
	s.queue = []azdo.JobRequest{waiting("docker")}
	_, seen := survey(t, s, pool.Rules{})
	if d := cmp.Diff([]string{"queue", "list"}, s.calls); d != "" {
		t.Errorf("calls (-want +got):\n%s", d)
	}
	if len(seen.Verdicts) != 3 || !seen.At.Equal(noon) || len(seen.Queue) != 1 || len(seen.Ghosts()) != 0 {
		t.Errorf("it sees %+v", seen)
	}
	if d := cmp.Diff(map[string]string{"docker": "1"}, seen.Verdicts[0].Agent.SystemCapabilities); d != "" {
		t.Errorf("of a's capabilities it keeps (-want +got):\n%s", d)
	}
	s.calls = nil
	_, seen = survey(t, s, pool.Rules{AnyOwner: true})
	if d := cmp.Diff([]string{"queue", "list", "list"}, s.calls); d != "" {
		t.Errorf("calls (-want +got):\n%s", d)
	}
	if v := seen.Verdicts[1]; v.Reason != pool.OnlyMatch || v.Agent.SystemCapabilities["Gpu"] != "1" {
		t.Errorf("b is %+v", v)
	}
	if got := seen.Missing([]string{"B", "x", "a", "Y"}); !slices.Equal(got, []string{"x", "Y"}) {
		t.Errorf("absent are %v", got)
	}
}

func TestASurveyThatFailsShowsNothing(t *testing.T) {
	for call, mishaps := range map[string][]mishap{"queue": {denied}, "list": {fine, denied}} {
		s := at(dead("a"))
		s.mishaps = mishaps
		seen, err := open(t, s).Survey(t.Context(), pool.Rules{})
		if azdo.Status(err) != 403 || seen.Verdicts != nil {
			t.Errorf("%s denied: %+v, %v", call, seen, err)
		}
	}
}

// TestASurveyAfterMishapsIsWhole: a list that broke down midway leaves nothing in
// the one that is read then.
func TestASurveyAfterMishapsIsWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := at(dead("a"), dead("b"))
		s.mishaps = []mishap{broken, fine, lostAfter, brokenAfter}
		if _, seen := survey(t, s, pool.Rules{}); len(seen.Verdicts) != 2 {
			t.Errorf("it sees %+v", seen)
		}
	})
}

func TestRemove(t *testing.T) {
	for _, tt := range []struct {
		name    string
		mishaps []mishap // after the survey
		meddle  func(s *server, call string)
		want    string
		left    []string
	}{
		{"it is removed", nil, nil, "removed", nil},
		{"the answer is lost", []mishap{fine, lostAfter}, nil, "removed", nil},
		{"the server breaks down", []mishap{broken, fine, broken, lostBefore}, nil, "removed", nil},
		{"throttled", []mishap{fine, throttled}, nil, "removed", nil},
		{"somebody was faster", nil, func(s *server, call string) {
			if call == "look again" {
				s.agents = nil
			}
		}, "gone", nil},
		{"somebody was just faster", nil, func(s *server, call string) {
			if call == "remove" {
				s.agents = nil
			}
		}, "removed", nil},
		{"it came back", nil, func(s *server, call string) { online(&s.agents[0]) }, "stayed: online", []string{"a"}},
		{"it got a job", nil, func(s *server, call string) { busy(&s.agents[0]) }, "stayed: has a job", []string{"a"}},
		{"it came and went", nil, func(s *server, call string) { since(0)(&s.agents[0]) }, "stayed: younger than 15m", []string{"a"}},
		{"registered anew under its id", nil, func(s *server, call string) {
			s.agents[0].UserCapabilities = map[string]string{"azptend.kind": "agent", "azptend.instance": "another"}
		}, "stayed: registered again", []string{"a"}},
		{"of another name", nil, func(s *server, call string) { s.agents[0].Name = "b" }, "stayed: registered again", []string{"b"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := at(dead("a"))
				p, seen := survey(t, s, pool.Rules{})
				s.mishaps = tt.mishaps
				if tt.meddle != nil {
					s.meddle = func(call string) { tt.meddle(s, call) }
				}
				var got []string
				err := p.Remove(t.Context(), pool.Rules{}, seen.Ghosts(), func(r pool.RemoveResult) {
					got = append(got, strings.TrimSuffix(string(r.Removal)+": "+r.Why, ": "))
				})
				if err != nil || !slices.Equal(got, []string{tt.want}) || !slices.Equal(namesOf(s.agents), tt.left) && len(s.agents)+len(tt.left) > 0 {
					t.Errorf("%q, %v; left are %q", got, err, namesOf(s.agents))
				}
			})
		})
	}
}

// refusing answers DELETEs with an error.
type refusing struct {
	*server
	err error
}

func (r refusing) RemoveAgent(context.Context, int, int) error { return r.err }

func TestWhatTheServerRefuses(t *testing.T) {
	for _, tt := range []struct {
		err   error
		want  pool.Removal
		stops bool
	}{
		{&azdo.Error{Status: 400, TypeKey: "TaskAgentJobStillRunningException"}, pool.Stayed, false},
		{&azdo.Error{Status: 400, TypeKey: "TaskAgentSomethingException"}, pool.Failed, false},
		{&azdo.Error{Status: 403, TypeKey: "AccessDeniedException"}, "", true},
		{&azdo.Error{Status: 401}, "", true},
		{&azdo.TokenError{Op: "remove", Cause: refusedToken{errors.New("no")}}, "", true},
	} {
		t.Run(fmt.Sprint(tt.err), func(t *testing.T) {
			s := at(dead("a"))
			p, err := pool.Open(t.Context(), pool.Options{Pool: azdo.PoolRef{ID: 1}, Server: refusing{s, tt.err}})
			if err != nil {
				t.Fatal(err)
			}
			seen, err := p.Survey(t.Context(), pool.Rules{})
			if err != nil {
				t.Fatal(err)
			}
			var got []pool.Removal
			err = p.Remove(t.Context(), pool.Rules{}, seen.Ghosts(), func(r pool.RemoveResult) {
				got = append(got, r.Removal)
				if (r.Err != nil) != (r.Removal == pool.Failed) || r.Agent.Name != "a" {
					t.Errorf("the result is %+v", r)
				}
			})
			if tt.stops != (err != nil) || tt.stops != (len(got) == 0) || !tt.stops && got[0] != tt.want {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

// counting knows how many calls about one agent are under way at a time, and holds
// each until all hands are busy.
type counting struct {
	*server
	now, most atomic.Int32
}

func (c *counting) AgentByID(ctx context.Context, p, id int, with azdo.Include) (azdo.Agent, error) {
	n := c.now.Add(1)
	defer c.now.Add(-1)
	for most := c.most.Load(); n > most && !c.most.CompareAndSwap(most, n); most = c.most.Load() {
	}
	time.Sleep(time.Second) // in a bubble: until everybody waits
	return c.server.AgentByID(ctx, p, id, with)
}

func TestSeveralAtATimeButFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var agents []azdo.Agent
		for i := range 100 {
			agents = append(agents, dead(fmt.Sprint("a", i)))
		}
		s := &counting{server: at(agents...)}
		p, err := pool.Open(t.Context(), pool.Options{Pool: azdo.PoolRef{ID: 1}, Server: s})
		if err != nil {
			t.Fatal(err)
		}
		seen, err := p.Survey(t.Context(), pool.Rules{})
		if err != nil {
			t.Fatal(err)
		}
		results := 0
		err = p.Remove(t.Context(), pool.Rules{}, seen.Ghosts(), func(pool.RemoveResult) { results++ })
		if err != nil || results != 100 || len(s.agents) != 0 || s.most.Load() != 4 {
			t.Errorf("%d results, %d left, %d at a time, %v", results, len(s.agents), s.most.Load(), err)
		}
	})
}

// A server that is away is waited for once, and not for each ghost.
func TestAServerThatIsAwayStopsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var agents []azdo.Agent
		for i := range 100 {
			agents = append(agents, dead(fmt.Sprint("a", i)))
		}
		s := at(agents...)
		p, seen := survey(t, s, pool.Rules{})
		s.mishaps = slices.Repeat([]mishap{broken}, 10000)
		begun := time.Now()
		err := p.Remove(t.Context(), pool.Rules{}, seen.Ghosts(), func(r pool.RemoveResult) { t.Errorf("a result: %+v", r) })
		if took := time.Since(begun); azdo.Status(err) != 503 || took > 2*time.Minute {
			t.Errorf("%v after %v", err, took)
		}
	})
}

func TestASignalStopsRemoving(t *testing.T) {
	s := at(dead("a"), dead("b"))
	p, seen := survey(t, s, pool.Rules{})
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := p.Remove(ctx, pool.Rules{}, seen.Ghosts(), func(pool.RemoveResult) {}); !errors.Is(err, context.Canceled) || len(s.agents) != 2 {
		t.Errorf("%v, left are %v", err, namesOf(s.agents))
	}
}

// TestPruningTwiceAtATime: whatever happens to the calls, two who prune one pool
// take all ghosts and nothing else.
func TestPruningTwiceAtATime(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		agents, queue, rules := somePool(rt)
		mishaps := rapid.SliceOfN(rapid.SampledFrom([]mishap{fine, fine, lostBefore, lostAfter, broken, brokenAfter, unreadable, throttled}), 0, 12).Draw(rt, "mishaps")
		synctest.Test(t, func(t *testing.T) {
			s := at(agents...)
			s.queue = queue
			want := map[string]int{}
			for _, v := range rules.Judge(s.agents, queue, noon) {
				if !v.Ghost() {
					want[v.Agent.Name]++
				}
			}
			s.mishaps = mishaps
			done := make(chan error, 2)
			for range 2 {
				go func() {
					p, err := pool.Open(t.Context(), pool.Options{Pool: azdo.PoolRef{ID: 1}, Server: s})
					if err != nil {
						done <- err
						return
					}
					seen, err := p.Survey(t.Context(), rules)
					if err == nil {
						err = p.Remove(t.Context(), rules, seen.Ghosts(), func(pool.RemoveResult) {})
					}
					done <- err
				}()
			}
			if err := errors.Join(<-done, <-done); err != nil {
				t.Errorf("every one of these passes: %v", err)
			}
			left := map[string]int{}
			for _, a := range s.agents {
				left[a.Name]++
			}
			if !maps.Equal(left, want) {
				t.Errorf("left are %v, want %v", left, want)
			}
		})
	})
}

// TestOfManyMatchesOneStays although only some of those that the server names for
// a request are looked at.
func TestOfManyMatchesOneStays(t *testing.T) {
	var agents []azdo.Agent
	request := waiting("docker")
	for i := range 50 {
		agents = append(agents, dead(fmt.Sprint("a", i)))
		request.MatchedAgents = append(request.MatchedAgents, azdo.Agent{ID: i + 1})
	}
	s := at(agents...)
	s.queue = []azdo.JobRequest{request}
	_, seen := survey(t, s, pool.Rules{})
	if got := len(seen.Ghosts()); got != 49 {
		t.Errorf("%d of 50 are ghosts", got)
	}
	if got := seen.Queue[0]; len(got.MatchedAgents) >= 50 || got.Demands[0] != "docker" {
		t.Errorf("the queue is %+v", got)
	}
}
