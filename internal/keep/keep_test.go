package keep_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/internal/keep"
	"github.com/azptend/azptend/internal/pool"
)

// later advances the fake clock of the synctest bubble, and lets everything that is due happen.
func later(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// scene is a pool with all kinds of agents. The names of those that must stay begin with "stay".
func scene() []emulator.AgentSpec {
	placeholder := func(s *emulator.AgentSpec) { s.UserCapabilities["azptend.kind"] = "placeholder" }
	theirs := func(s *emulator.AgentSpec) { s.UserCapabilities = nil }
	asked := func(s *emulator.AgentSpec) { s.UserCapabilities["azptend.removal"] = "keeper" }
	return []emulator.AgentSpec{
		ours("ghost-1"), ours("ghost-2"),
		ours("asked", asked, since(2*time.Minute)),
		ours("stay-asked-not-run", asked, func(s *emulator.AgentSpec) { s.CreatedAgo, s.ChangedAgo = time.Minute, time.Minute }),
		ours("stay-idle", online), ours("stay-busy", online, withJob), ours("stay-lost-with-job", withJob),
		ours("stay-young", since(20*time.Minute)), ours("stay-undated", since(-1)),
		ours("stay-ours-holds", placeholder), ours("stay-theirs", theirs),
		ours("stay-their-placeholder", theirs, func(s *emulator.AgentSpec) { s.Version = "99.0.0" }),
	}
}

var staying = []string{
	"stay-asked-not-run", "stay-busy", "stay-idle", "stay-lost-with-job", "stay-ours-holds",
	"stay-their-placeholder", "stay-theirs", "stay-undated", "stay-young",
}

func TestRemovesOnlyGhosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put(scene()...)
		k, _ := w.keeper()
		stop := w.start(k)
		later(time.Second)
		if d := cmp.Diff(staying, w.names()); d != "" {
			t.Errorf("the pool holds (-want +got):\n%s", d)
		}
		for series, want := range map[string]string{
			`azptend_pool_agents_removed_total{pool="Default",reason="dead"}`:  "2",
			`azptend_pool_agents_removed_total{pool="Default",reason="asked"}`: "1",
			`azptend_pool_agents{pool="Default",state="ghost"}`:                "0",
			`azptend_pool_agents{pool="Default",state="busy"}`:                 "2",
			`azptend_pool_agents{pool="Default",state="placeholder"}`:          "2",
		} {
			if got := w.metric(k, series); got != want {
				t.Errorf("%s is %q, want %s", series, got, want)
			}
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestOnlyShows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put(scene()...)
		k, _ := w.keeper(func(o *keep.Options) { o.Prune = false })
		stop := w.start(k)
		later(time.Hour)
		if n := w.count(http.MethodDelete); n != 0 || w.metric(k, `azptend_pool_agents{pool="Default",state="ghost"}`) == "0" {
			t.Errorf("there were %d removals", n)
		}
		_ = stop()
	})
}

// TestTwoKeepers: each ghost is removed once, one placeholder is created, and neither keeper
// reports an error.
func TestTwoKeepers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put(scene()...)
		wants := func(o *keep.Options) {
			o.Placeholder = &pool.PlaceholderSpec{Name: "place", Capabilities: map[string]string{"docker": "true"}}
		}
		a, _ := w.keeper(wants)
		b, _ := w.keeper(wants)
		stopA, stopB := w.start(a), w.start(b)
		later(10 * time.Minute)
		if d := cmp.Diff(append([]string{"place"}, staying...), w.names()); d != "" {
			t.Errorf("the pool holds (-want +got):\n%s", d)
		}
		removed := 0
		for _, e := range events(w) {
			if e.Type == emulator.EventAgentRemoved {
				removed++
			}
		}
		if want := len(scene()) - len(staying); removed != want {
			t.Errorf("%d agents were removed, want %d", removed, want)
		}
		for _, k := range []*keep.Keeper{a, b} {
			if got := w.metric(k, `azptend_pool_removals_failed_total{pool="Default"}`); got != "0" {
				t.Errorf("%s removals failed", got)
			}
			if got := w.metric(k, `azptend_keep_rounds_total{pool="Default",outcome="failed"}`); got != "0" {
				t.Errorf("%s rounds failed", got)
			}
		}
		_, _ = stopA(), stopB()
	})
}

func events(w *world) []emulator.Event {
	w.Helper()
	found, err := w.emulator.Events(w.Context(), 0)
	if err != nil {
		w.Fatal(err)
	}
	return found
}

// TestOutageOfAnHour: Azure DevOps does not answer for an hour. The keeper keeps running, retries
// rarely, passes its probes, shows the last known state, and recovers within two minutes after the
// outage.
func TestOutageOfAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put(ours("stay", online))
		k, _ := w.keeper()
		stop := w.start(k)
		later(time.Minute)
		w.away.Store(true)
		before := w.calls.Load()
		later(time.Hour)
		if n := w.calls.Load() - before; n > 300 {
			t.Errorf("an outage of an hour is asked about %d times", n)
		}
		if got := w.get(k, "/healthz").Code; got != http.StatusOK {
			t.Errorf("it counts as dead: %d", got)
		}
		if got := w.get(k, "/readyz").Code; got != http.StatusOK {
			t.Errorf("it counts as not ready: %d", got)
		}
		w.put(ours("ghost"))
		w.away.Store(false)
		later(3 * time.Minute)
		if d := cmp.Diff([]string{"stay"}, w.names()); d != "" {
			t.Errorf("the pool holds (-want +got):\n%s", d)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestOutageAtTheStart: a keeper that starts during an outage waits until it is over.
func TestOutageAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put(ours("ghost"))
		w.away.Store(true)
		k, _ := w.keeper()
		stop := w.start(k)
		later(time.Hour)
		if w.get(k, "/readyz").Code != http.StatusServiceUnavailable || w.get(k, "/healthz").Code != http.StatusOK {
			t.Error("it counts as ready, or as dead")
		}
		w.away.Store(false)
		later(3 * time.Minute)
		if n := w.names(); len(n) != 0 || w.get(k, "/readyz").Code != http.StatusOK {
			t.Errorf("the pool holds %v", n)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestCallsOfAnHour: two requests per refresh, and a refresh every 30 s, for 3 agents and for 300;
// fewer if the list is slow. The maximum allows for jitter that makes every pause 10 % shorter, and
// for three requests at the start.
func TestCallsOfAnHour(t *testing.T) {
	for _, tt := range []struct {
		agents int
		slow   time.Duration
		most   int64
	}{{3, 0, 271}, {300, 0, 271}, {3, 6 * time.Second, 125}, {3, 30 * time.Second, 29}} {
		t.Run(fmt.Sprintf("%d agents, %v", tt.agents, tt.slow), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.slow = tt.slow
				for i := range tt.agents {
					w.put(ours(fmt.Sprint("agent-", i), online))
				}
				k, _ := w.keeper(func(o *keep.Options) { o.Placeholder = &pool.PlaceholderSpec{Name: "place"} })
				stop := w.start(k)
				later(time.Hour)
				n := w.calls.Load()
				t.Logf("%d calls an hour", n)
				if n > tt.most || n < tt.most/3 {
					t.Errorf("%d calls an hour, at most %d wanted", n, tt.most)
				}
				_ = stop()
			})
		})
	}
}

// TestStopsImmediately: the keeper stops immediately, in a pause and during a request without an answer.
func TestStopsImmediately(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for _, silent := range []bool{false, true} {
			w.silent.Store(silent)
			k, _ := w.keeper()
			stop := w.start(k)
			later(10 * time.Second)
			begun := time.Now()
			if err := stop(); err != nil || time.Since(begun) != 0 {
				t.Errorf("it ends after %v with %v", time.Since(begun), err)
			}
		}
	})
}

// hostedPool is a server whose pools are hosted by Microsoft.
type hostedPool struct{ pool.Server }

func (hostedPool) FindPool(context.Context, azdo.PoolRef) (azdo.Pool, error) {
	return azdo.Pool{ID: 1, Name: "Default", IsHosted: true}, nil
}

func TestErrorsThatEndTheKeeper(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*world, *keep.Options)
		is     func(error) bool
	}{
		"no such pool": {func(_ *world, o *keep.Options) {
			o.Pools[0].Name = "no such pool"
		}, func(err error) bool { return errors.Is(err, azdo.ErrNoPool) }},
		"a pool that is closed": {func(_ *world, o *keep.Options) {
			o.Server = hostedPool{o.Server}
		}, func(err error) bool { return errors.As(err, new(*pool.ClosedError)) }},
		"a placeholder's version": {func(_ *world, o *keep.Options) {
			o.Placeholder = &pool.PlaceholderSpec{Name: "place", Capabilities: map[string]string{"Agent.Version": "new"}}
		}, func(err error) bool { return errors.As(err, new(*pool.InvalidVersionError)) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				k, _ := w.keeper(func(o *keep.Options) { tt.change(w, o) })
				if err := k.Run(t.Context()); !tt.is(err) {
					t.Errorf("it ends with %v", err)
				}
			})
		})
	}
}

// TestMaintainsThePlaceholder: the placeholder is created, created again after it was deleted, and completed
// after someone removed a capability. If another agent has the name, the keeper checks only once.
func TestMaintainsThePlaceholder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		wants := func(o *keep.Options) {
			o.Placeholder = &pool.PlaceholderSpec{Name: "place", Capabilities: map[string]string{"docker": "true"}}
		}
		k, _ := w.keeper(wants)
		stop := w.start(k)
		later(time.Second)
		if d := cmp.Diff([]string{"place"}, w.names()); d != "" {
			t.Errorf("the pool holds (-want +got):\n%s", d)
		}
		client := azdo.New("http://emulator/emulated", &http.Client{Transport: w}, w, nil)
		found, _, err := client.AgentByName(t.Context(), 1, "place")
		if err != nil || client.RemoveAgent(t.Context(), 1, found.ID) != nil {
			t.Fatal(err)
		}
		later(time.Minute)
		again, there, err := client.AgentByName(t.Context(), 1, "place")
		if err != nil || !there || again.ID == found.ID {
			t.Errorf("deleted, it is not made again: %v", err)
		}
		delete(again.UserCapabilities, "docker")
		if err := client.SetUserCapabilities(t.Context(), 1, again.ID, again.UserCapabilities); err != nil {
			t.Fatal(err)
		}
		later(time.Minute)
		whole, _, err := client.AgentByName(t.Context(), 1, "place")
		if err != nil || whole.UserCapabilities["docker"] != "true" || whole.ID != again.ID {
			t.Errorf("what was taken off it is not put back: %v %v", whole.UserCapabilities, err)
		}
		// An agent of someone else takes the name.
		w.put(ours("place", online))
		later(time.Minute)
		asked := w.calls.Load()
		later(time.Hour)
		if n := w.calls.Load() - asked; n > 271 {
			t.Errorf("a name that is held costs %d calls an hour", n)
		}
		_ = stop()
	})
}

// TestCountsJobs follows one job through the metrics, from its queueing on.
func TestCountsJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		k, _ := w.keeper()
		stop := w.start(k)
		later(time.Second)
		job := w.queue("build")
		later(time.Minute)
		if got := w.metric(k, `azptend_pool_jobs{pool="Default",state="queued"}`); got != "1" {
			t.Errorf("%q jobs wait", got)
		}
		// The age is that of the last look, since when up to 33 s have passed (pace.go).
		if got := w.metric(k, `azptend_pool_oldest_waiting_job_age_seconds{pool="Default"}`); got < "27" || got > "60" {
			t.Errorf("the oldest waits for %q s", got)
		}
		if err := w.emulator.CancelJob(job.RequestID); err != nil {
			t.Fatal(err)
		}
		later(time.Minute)
		if got := w.metric(k, `azptend_pool_jobs_finished_total{pool="Default",result="canceled"}`); got != "1" {
			t.Errorf("%q jobs were canceled", got)
		}
		if got := w.metric(k, `azptend_pool_job_wait_seconds_count{pool="Default"}`); got != "0" {
			t.Errorf("%q jobs started", got)
		}
		_ = stop()
	})
}

// TestRefusals: if the server refuses to remove an agent, the keeper retries from time to time, not
// at each refresh. It removes the others, and this one once the server allows it.
func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for i := range 20 {
			w.put(ours(fmt.Sprint("ghost-", i)))
		}
		fault, err := w.emulator.AddFault(emulator.Fault{Method: http.MethodDelete, Path: "/agents/", Status: http.StatusBadRequest})
		if err != nil {
			t.Fatal(err)
		}
		k, _ := w.keeper()
		stop := w.start(k)
		later(time.Hour)
		if n := w.count(http.MethodDelete); n < 20*3 || n > 20*7 {
			t.Errorf("in an hour 20 removals that are refused are tried %d times", n)
		}
		w.put(ours("another"))
		w.emulator.RemoveFault(fault)
		later(time.Minute)
		if slices.Contains(w.names(), "another") {
			t.Error("one that was not refused waits with the others")
		}
		later(11 * time.Minute)
		if left := w.names(); len(left) > 0 {
			t.Errorf("%v are left", left)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}
