package pool_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/pool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens the pool by its id, which costs no call.
func open(t testing.TB, s *server) *pool.Pool {
	t.Helper()
	p, err := pool.Open(t.Context(), pool.Options{Server: s, Pool: azdo.PoolRef{ID: 1}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func wanted(pairs ...string) pool.PlaceholderSpec {
	w := pool.PlaceholderSpec{Name: "p", Capabilities: map[string]string{}}
	for i := 0; i < len(pairs); i += 2 {
		w.Capabilities[pairs[i]] = pairs[i+1]
	}
	return w
}

func TestANewPlaceholder(t *testing.T) {
	s := newServer()
	done, err := open(t, s).EnsurePlaceholder(t.Context(), wanted("docker", "true", "agent.osarchitecture", "ARM64", "Agent.Software", "x"))
	if err != nil || done.Outcome != pool.Created || done.Agent.ID != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	got := s.agents[0]
	if id := got.UserCapabilities["azptend.instance"]; len(id) < 20 {
		t.Errorf("its mark is %q", id)
	}
	delete(got.UserCapabilities, "azptend.instance")
	enabled := true
	want := azdo.Agent{
		ID: 1, Name: "p", Version: "99.999.9", Status: "offline", Enabled: &enabled, MaxParallelism: 1, ProvisioningState: "Provisioned",
		OSDescription: "a placeholder of azptend: it never runs",
		SystemCapabilities: map[string]string{
			"Agent.Name": "p", "Agent.OS": "Linux", "Agent.Version": "99.999.9", "Agent.OSArchitecture": "ARM64", "Agent.Software": "x",
		},
		UserCapabilities: map[string]string{"azptend.kind": "placeholder", "docker": "true"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"look", "add"}, s.calls); d != "" {
		t.Errorf("calls (-want +got):\n%s", d)
	}
}

func ours(more ...string) azdo.Agent {
	a := azdo.Agent{
		Name: "P", Version: "99.999.9",
		SystemCapabilities: map[string]string{"Agent.Name": "p", "Agent.OS": "Linux", "Agent.Version": "99.999.9"},
		UserCapabilities:   map[string]string{"azptend.kind": "placeholder", "azptend.instance": "of another time"},
	}
	for i := 0; i < len(more); i += 2 {
		a.UserCapabilities[more[i]] = more[i+1]
	}
	return a
}

func TestWhoHasTheName(t *testing.T) {
	no := false
	disabled := ours()
	disabled.Enabled = &no
	for _, tt := range []struct {
		name    string
		there   azdo.Agent
		want    pool.PlaceholderSpec
		outcome pool.Outcome
		lacked  []string
		calls   []string
	}{
		{"ours, as wanted", ours(), wanted(), pool.Unchanged, nil, []string{"look"}},
		{"ours, with more than wanted", ours("gpu", "a100"), wanted(), pool.Unchanged, nil, []string{"look"}},
		{"ours, with less", ours("gpu", "a100"), wanted("docker", "true"), pool.Updated, []string{"docker"}, []string{"look", "replace"}},
		{"ours, with another value", ours("GPU", "a100"), wanted("gpu", "h100"), pool.Updated, []string{"gpu"}, []string{"look", "replace"}},
		{"ours, of another version", ours(), wanted("Agent.Version", "5.282.3"), pool.Updated, []string{"Agent.Version"}, []string{"look", "replace"}},
		{"ours, disabled by a person", disabled, wanted("docker", "true"), pool.Updated, []string{"docker"}, []string{"look", "replace"}},
		{"another maker's", azdo.Agent{Name: "p", Version: "99.0.1"}, wanted("docker", "true"), pool.Foreign,
			[]string{"Agent.OS", "Agent.Version", "docker"}, []string{"look"}},
		{"another maker's, with all of it among its system capabilities",
			azdo.Agent{Name: "p", Version: "99.999.9", SystemCapabilities: map[string]string{"Agent.OS": "Linux", "Agent.Version": "99.999.9", "Docker": "true"}},
			wanted("docker", "true"), pool.Foreign, nil, []string{"look"}},
		{"an agent", azdo.Agent{Name: "p", Version: "5.282.3", Status: "offline"}, wanted(), "", nil, []string{"look"}},
		{"an agent that is online", azdo.Agent{Name: "p", Version: "5.282.3", Status: "online"}, wanted(), "", nil, []string{"look"}},
		{"an agent of the far future", azdo.Agent{Name: "p", Version: "99.1.0", Status: "online"}, wanted(), "", nil, []string{"look"}},
		{"azptend's agent", azdo.Agent{Name: "p", Version: "99.1.0", UserCapabilities: map[string]string{"azptend.kind": "agent"}}, wanted(), "", nil, []string{"look"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(tt.there)
			done, err := open(t, s).EnsurePlaceholder(t.Context(), tt.want)
			var held *pool.NameTakenError
			if tt.outcome == "" {
				if !errors.As(err, &held) || held.Hint() == "" || !strings.Contains(err.Error(), `cannot create placeholder "p" in pool 1: the name is taken`) {
					t.Errorf("error is %v", err)
				}
			} else if err != nil || done.Outcome != tt.outcome || !slices.Equal(done.Missing, tt.lacked) {
				t.Errorf("%+v, %v", done, err)
			}
			if d := cmp.Diff(tt.calls, s.calls); d != "" {
				t.Errorf("calls (-want +got):\n%s", d)
			}
			if tt.outcome == pool.Updated {
				holdsAll(t, s.agents[0], tt.there, tt.want)
			} else if d := cmp.Diff([]azdo.Agent{newServer(tt.there).agents[0]}, s.agents); d != "" {
				t.Errorf("the pool has changed (-want +got):\n%s", d)
			}
			if done.Disabled != (tt.there.Enabled != nil) {
				t.Errorf("disabled is %v", done.Disabled)
			}
		})
	}
}

// holdsAll: what was there is there, but for what was wanted otherwise.
func holdsAll(t *testing.T, got, before azdo.Agent, want pool.PlaceholderSpec) {
	t.Helper()
	merged := map[string]string{}
	for _, m := range []map[string]string{before.SystemCapabilities, before.UserCapabilities, want.Capabilities} {
		for name, value := range m {
			maps.DeleteFunc(merged, func(n, _ string) bool { return strings.EqualFold(n, name) })
			merged[name] = value
		}
	}
	all := maps.Clone(got.SystemCapabilities)
	maps.Copy(all, got.UserCapabilities)
	if d := cmp.Diff(merged, all); d != "" {
		t.Errorf("capabilities (-want +got):\n%s", d)
	}
	if got.ID != 1 || (got.Enabled == nil) != (before.Enabled == nil) || got.Version != got.SystemCapabilities["Agent.Version"] {
		t.Errorf("it is %+v", got)
	}
}

func TestAVersionThatIsNone(t *testing.T) {
	for _, v := range []string{"", "latest", "5.282", "5.282.3.1", "v5.282.3"} {
		s := newServer()
		_, err := open(t, s).EnsurePlaceholder(t.Context(), wanted("Agent.Version", v))
		if !errors.As(err, new(*pool.InvalidVersionError)) || len(s.calls) > 0 {
			t.Errorf("%q: %v, calls %v", v, err, s.calls)
		}
	}
}

// TestOnePlaceholder: whatever happens to the calls, and whatever others do at
// the same time, there is one placeholder in the end, or an error.
func TestOnePlaceholder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		mishaps := rapid.SliceOfN(rapid.SampledFrom([]mishap{fine, lostBefore, lostAfter, broken, brokenAfter, unreadable, throttled}), 0, 6).Draw(rt, "mishaps")
		adds := rapid.IntRange(-1, 4).Draw(rt, "another ensure adds before call")
		deletes := rapid.IntRange(-1, 4).Draw(rt, "somebody deletes before call")
		synctest.Test(t, func(t *testing.T) {
			s := newServer()
			s.mishaps = slices.Clone(mishaps)
			n := -1
			s.meddle = func(string) {
				if n++; n == adds && s.named("p") < 0 {
					s.add(ours())
				}
				if i := s.named("p"); n == deletes && i >= 0 {
					s.agents = slices.Delete(s.agents, i, i+1)
				}
			}
			p := open(t, s)
			done, err := p.EnsurePlaceholder(t.Context(), wanted("docker", "true"))
			if err != nil {
				t.Errorf("every one of these passes: %v", err)
			}
			if len(s.agents) > 1 || s.last > len(s.calls)+1 {
				t.Errorf("there are %d agents: %+v", len(s.agents), s.agents)
			}
			if deletes < 0 && (len(s.agents) != 1 || done.Agent.ID != s.agents[0].ID) {
				t.Errorf("said %+v, there is %+v", done, s.agents)
			}
			again, err := p.EnsurePlaceholder(t.Context(), wanted("docker", "true")) // without a mishap
			if left := len(s.mishaps); left == 0 && (err != nil || len(s.agents) != 1 || again.Agent.ID != s.agents[0].ID) {
				t.Errorf("again: %+v, %v, there is %+v", again, err, s.agents)
			}
		})
	})
}

func TestALostAnswerIsCreation(t *testing.T) {
	for _, m := range []mishap{lostAfter, brokenAfter, unreadable} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer()
			s.mishaps = []mishap{fine, m}
			done, err := open(t, s).EnsurePlaceholder(t.Context(), wanted())
			if err != nil || done.Outcome != pool.Created || len(s.agents) != 1 {
				t.Errorf("%s: %+v, %v", m, done, err)
			}
			if d := cmp.Diff([]string{"look", "add", "look"}, s.calls); d != "" {
				t.Errorf("%s: calls (-want +got):\n%s", m, d)
			}
		})
	}
}

// Deleted between the look and the PUT, it is made anew.
func TestItVanishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(ours())
		s.meddle = func(call string) {
			if call == "replace" {
				s.agents = nil
			}
		}
		done, err := open(t, s).EnsurePlaceholder(t.Context(), wanted("docker", "true"))
		if err != nil || done.Outcome != pool.Created || len(s.agents) != 1 {
			t.Errorf("%+v, %v", done, err)
		}
	})
}

// refusedToken is an identity endpoint's last word.
type refusedToken struct{ error }

func (refusedToken) Permanent() bool { return true }

func TestPatience(t *testing.T) {
	forever := slices.Repeat([]mishap{broken}, 1000)
	for _, tt := range []struct {
		name    string
		mishaps []mishap
		within  [2]time.Duration
		status  int
	}{
		{"a server that stays away", forever, [2]time.Duration{time.Minute, 2 * time.Minute}, 503},
		{"a server that wants to be left alone for a while", []mishap{throttled}, [2]time.Duration{3 * time.Second, 3 * time.Second}, 0},
		{"a server that says no", []mishap{denied, fine}, [2]time.Duration{0, 0}, 403},
		// The pauses are 250 and 500 ms, each up to half longer.
		{"a moment", []mishap{broken, lostBefore}, [2]time.Duration{time.Millisecond, 1125 * time.Millisecond}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer()
				s.mishaps = tt.mishaps
				begun := time.Now()
				_, err := open(t, s).Placeholders(t.Context())
				if took := time.Since(begun); took < tt.within[0] || took > tt.within[1] {
					t.Errorf("it took %v", took)
				}
				if azdo.Status(err) != tt.status || (err == nil) != (tt.status == 0) {
					t.Errorf("error is %v", err)
				}
			})
		})
	}
}

// A server that has never answered may have a wrong address. One that has answered comes back.
func TestMaxUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		away := slices.Repeat([]mishap{refused}, 5)
		s.mishaps = away
		if _, err := pool.Open(t.Context(), pool.Options{Server: s, Pool: azdo.PoolRef{Name: "default"}, MaxUnreachable: 2}); !errors.Is(err, syscall.ECONNREFUSED) || len(s.calls) != 2 {
			t.Errorf("never answered: %v after %d calls, want 2", err, len(s.calls))
		}
		s.mishaps, s.calls = append([]mishap{refused, fine}, away...), nil
		p, err := pool.Open(t.Context(), pool.Options{Server: s, Pool: azdo.PoolRef{Name: "default"}, MaxUnreachable: 2})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Agents(t.Context(), nil); err != nil || len(s.calls) < 2+len(away) {
			t.Errorf("answered before: %v after %d calls", err, len(s.calls))
		}
	})
}

func TestATokenThatIsRefusedIsNotAskedForAgain(t *testing.T) {
	for refused, want := range map[bool]int{true: 1, false: 2} {
		synctest.Test(t, func(t *testing.T) {
			cause := errors.New("no")
			if refused {
				cause = refusedToken{cause}
			}
			calls := 0
			_, err := pool.Open(t.Context(), pool.Options{Pool: azdo.PoolRef{Name: "p"}, Server: poolless{find: func() error {
				if calls++; calls == 1 {
					return &azdo.TokenError{Op: "find", Cause: cause}
				}
				return nil
			}}})
			if calls != want || (err != nil) != refused {
				t.Errorf("refused %v: %d calls, %v", refused, calls, err)
			}
		})
	}
}

// poolless only answers the search for a pool.
type poolless struct {
	pool.Server
	find func() error
}

func (p poolless) FindPool(context.Context, azdo.PoolRef) (azdo.Pool, error) {
	return azdo.Pool{ID: 1}, p.find()
}

func TestASignalEndsTheWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		s.mishaps = slices.Repeat([]mishap{broken}, 1000)
		ctx, stop := context.WithCancel(t.Context())
		go func() { time.Sleep(10 * time.Second); stop() }()
		begun := time.Now()
		_, err := open(t, s).EnsurePlaceholder(ctx, wanted())
		if took := time.Since(begun); err == nil || took != 10*time.Second {
			t.Errorf("%v after %v", err, took)
		}
	})
}

func TestOpen(t *testing.T) {
	s := newServer()
	p, err := pool.Open(t.Context(), pool.Options{Server: s, Pool: azdo.PoolRef{Name: "default"}})
	if err != nil || p.ID != 1 || fmt.Sprint(p) != `pool "Default"` || fmt.Sprint(open(t, s)) != "pool 1" {
		t.Errorf("%v, %v", p, err)
	}
	for _, found := range []azdo.Pool{{ID: 1, Name: "Azure Pipelines", IsHosted: true}, {ID: 2, Name: "vmss", Options: "elasticPool"}} {
		s.found = found
		_, err := pool.Open(t.Context(), pool.Options{Server: s, Pool: azdo.PoolRef{Name: found.Name}})
		var closed *pool.ClosedError
		if !errors.As(err, &closed) || !strings.Contains(err.Error(), found.Name) || closed.Hint() == "" {
			t.Errorf("%+v: %v", found, err)
		}
	}
}

func TestPlaceholders(t *testing.T) {
	agentOfOurs := azdo.Agent{Name: "a", Version: "5.282.3", UserCapabilities: map[string]string{"azptend.kind": "agent"}}
	theirs := azdo.Agent{Name: "t", Version: "99.999.9"}
	s := newServer(agentOfOurs, ours(), azdo.Agent{Name: "x", Version: "4.0.0"}, theirs)
	found, err := open(t, s).Placeholders(t.Context())
	if err != nil || len(found) != 2 || found[0].Name != "P" || found[1].Name != "t" {
		t.Errorf("%+v, %v", found, err)
	}
	if maker, _ := pool.PlaceholderMaker(found[0]); maker != pool.MadeByAzptend {
		t.Errorf("ours is made by %s", maker)
	}
	if maker, _ := pool.PlaceholderMaker(found[1]); maker != pool.MadeByOther {
		t.Errorf("theirs is made by %s", maker)
	}
}

func TestDelete(t *testing.T) {
	for _, tt := range []struct {
		name    string
		there   []azdo.Agent
		mishaps []mishap
		held    bool
		removed int
		left    int
	}{
		{"ours", []azdo.Agent{ours()}, nil, false, 1, 0},
		{"ours, the answer is lost", []azdo.Agent{ours()}, []mishap{fine, lostAfter}, false, 1, 0},
		{"ours, lost before", []azdo.Agent{ours()}, []mishap{fine, lostBefore, broken}, false, 1, 0},
		{"another maker's", []azdo.Agent{{Name: "p", Version: "99.999.9"}}, nil, false, 1, 0},
		{"none", nil, nil, false, 0, 0},
		{"an agent", []azdo.Agent{{Name: "p", Version: "4.0.0"}}, nil, true, 0, 1},
		{"ours of another name", []azdo.Agent{{Name: "q", Version: "99.999.9"}}, nil, false, 0, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(tt.there...)
				s.mishaps = tt.mishaps
				removed, err := open(t, s).DeletePlaceholder(t.Context(), "p")
				if errors.As(err, new(*pool.NameTakenError)) != tt.held || (err != nil) != tt.held || removed.ID != tt.removed || len(s.agents) != tt.left {
					t.Errorf("removed %+v, %v; left are %+v", removed, err, s.agents)
				}
			})
		})
	}
}

// Somebody else was faster.
func TestDeletedMeanwhile(t *testing.T) {
	s := newServer(ours())
	s.meddle = func(call string) {
		if call == "remove" {
			s.agents = nil
		}
	}
	if removed, err := open(t, s).DeletePlaceholder(t.Context(), "p"); err != nil || removed.ID != 1 {
		t.Errorf("%+v, %v", removed, err)
	}
}
