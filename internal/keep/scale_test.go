package keep_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/internal/keep"
	"github.com/azptend/azptend/internal/pool"
	"github.com/azptend/azptend/internal/secret"
)

// scaled creates a keeper with two groups: linux, and gpu with its capability.
func (w *world) scaled(change ...func(*keep.Options)) *keep.Keeper {
	k, _ := w.keeper(append([]func(*keep.Options){func(o *keep.Options) {
		o.Interval = time.Hour // only the endpoint looks
		o.Groups = []pool.Group{{Name: "linux", Max: 10}, {Name: "gpu", Max: 3, Capabilities: map[string]string{"gpu": "a100"}}}
	}}, change...)...)
	return k
}

// ask requests the number of a group.
func (w *world) ask(k *keep.Keeper, group string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	out := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/scale/"+group, nil)
	r.Host = "127.0.0.1:8141"
	for _, c := range change {
		c(r)
	}
	k.Handler(secret.Text{}).ServeHTTP(out, r)
	return out
}

// desired is the number of a group; -1 and the reason if the keeper does not know.
func (w *world) desired(k *keep.Keeper, group string) (int, string) {
	w.Helper()
	out := w.ask(k, group)
	var body struct{ Desired, Waiting, Busy, Warm int }
	if out.Code != http.StatusOK {
		return -1, out.Body.String()
	}
	if err := json.Unmarshal(out.Body.Bytes(), &body); err != nil {
		w.Fatalf("%v in %s", err, out.Body)
	}
	return body.Desired, out.Body.String()
}

// member is an agent of a group.
func member(group, name string, more ...func(*emulator.AgentSpec)) emulator.AgentSpec {
	s := ours(name, more...)
	s.UserCapabilities["azptend.group"] = group
	return s
}

func (w *world) queueFor(n int, demands ...string) {
	w.Helper()
	for range n {
		if _, err := w.emulator.QueueJob(emulator.JobSpec{Name: "job", Script: "true", Demands: demands, Force: true}); err != nil {
			w.Fatal(err)
		}
	}
}

// TestScale: what the endpoint says of a pool, in each detail.
func TestScale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		monday := pool.Window{Count: 2, Days: [7]bool{true, true, true, true, true, true, true}, To: 24 * 60, Zone: time.UTC}
		k := w.scaled(func(o *keep.Options) { o.Groups[1].Warm = []pool.Window{monday} })
		if _, why := w.desired(k, "linux"); why != "cannot say how many agents: the keeper does not run\n" {
			t.Errorf("before it runs: %q", why)
		}
		w.put(member("linux", "busy", online, withJob), member("linux", "cut-off", withJob), ours("vm", online, withJob))
		w.queueFor(2, "Agent.OS -equals Linux", "missing")
		w.queueFor(3, "Agent.OS")
		w.queueFor(4, "gpu -equals A100")
		stop := w.start(k)
		later(2 * time.Second)
		for group, want := range map[string]string{
			"linux": `{"desired":4,"waiting":3,"busy":1,"warm":0,"age":0}`,
			"GPU":   `{"desired":3,"waiting":4,"busy":0,"warm":2,"age":0}`, // at most 3
		} {
			out := w.ask(k, group)
			if out.Code != http.StatusOK || out.Header().Get("Content-Type") != "application/json" || strings.TrimSpace(out.Body.String()) != want {
				t.Errorf("%s: %d %v %s, want %s", group, out.Code, out.Header(), out.Body, want)
			}
		}
		later(800 * time.Millisecond)
		if _, got := w.desired(k, "linux"); !strings.Contains(got, `"age":0.8}`) {
			t.Errorf("0.8 seconds later: %s", got)
		}
		for series, want := range map[string]string{
			`azptend_scale_jobs{group="linux",state="waiting"}`:    "3",
			`azptend_scale_jobs{group="linux",state="busy"}`:       "1",
			`azptend_scale_jobs{group="gpu",state="waiting"}`:      "4",
			`azptend_scale_desired{group="linux"}`:                 "4",
			`azptend_scale_desired{group="gpu"}`:                   "3",
			`azptend_scale_unmatched_jobs{pool="Default"}`:         "2",
			`azptend_scale_age_seconds{pool="Default"}`:            "0.8",
			`azptend_scale_requests_total{group="gpu",code="200"}`: "1",
		} {
			if got := w.metric(k, series); got != want {
				t.Errorf("%s is %q, want %s", series, got, want)
			}
		}
		page := w.get(k, "/").Body.String()
		for _, want := range []string{`<th scope="row">gpu</th><td class="n">3</td><td class="n">4</td>`, "no group has missing", "group gpu runs it, at most 3 agents at once"} {
			if !strings.Contains(page, want) {
				t.Errorf("the page lacks %q", want)
			}
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if n, why := w.desired(k, "linux"); n != -1 {
			t.Errorf("after its end: %s", why)
		}
	})
}

// TestWhoMayAsk: methods, names and tokens.
func TestWhoMayAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		page, scale := secret.New("the-token-of-the-page"), secret.New("the-token-of-the-scaler")
		k := w.scaled(func(o *keep.Options) { o.ScaleToken = scale })
		stop := w.start(k)
		defer func() { _ = stop() }()
		later(time.Second)
		ask := func(path, method, token string) int {
			out := httptest.NewRecorder()
			r := httptest.NewRequest(method, path, nil)
			if token != "" {
				r.Header.Set("Authorization", "Bearer "+token)
			}
			k.Handler(page).ServeHTTP(out, r)
			if out.Body.Len() >= 1024 && strings.HasPrefix(path, "/scale") {
				t.Errorf("%s: an answer of %d bytes", path, out.Body.Len())
			}
			return out.Code
		}
		for _, tt := range []struct {
			path, method, token string
			want                int
		}{
			{"/scale/linux", "GET", scale.Reveal(), 200},
			{"/scale/linux", "HEAD", scale.Reveal(), 200},
			{"/scale/linux", "GET", page.Reveal(), 200},
			{"/scale/linux", "GET", "another-token-of-anybody", 401},
			{"/scale/linux", "GET", "", 401},
			{"/scale/linux", "POST", "", 401},
			{"/scale/linux?token=" + page.Reveal(), "GET", "", 401},
			{"/scale/linux", "POST", scale.Reveal(), 405},
			{"/scale/linux", "DELETE", page.Reveal(), 405},
			{"/scale/windows", "GET", scale.Reveal(), 404},
			{"/scale/windows", "GET", "", 401}, // who has no token learns no names
			{"/scale/linux/", "GET", scale.Reveal(), 401},
			{"/", "GET", scale.Reveal(), 401}, // the scaler's token opens nothing else
			{"/metrics", "GET", scale.Reveal(), 401},
			{"/events", "GET", scale.Reveal(), 401},
		} {
			if got := ask(tt.path, tt.method, tt.token); got != tt.want {
				t.Errorf("%s %s with %q: %d, want %d", tt.method, tt.path, tt.token, got, tt.want)
			}
		}
		if got := w.metric(k, `azptend_scale_requests_total{group="-",code="404"}`); got != "1" {
			t.Errorf("requests for an unknown group: %q", got)
		}

		open := w.scaled()
		elsewhere := func(r *http.Request) { r.Host = "keep.corp" }
		if out := w.ask(open, "linux", elsewhere); out.Code != http.StatusForbidden {
			t.Errorf("without tokens, by another name: %d", out.Code)
		}
		if out := w.ask(k, "linux"); out.Code != http.StatusUnauthorized {
			t.Errorf("with only the scaler's token set, by a loopback address: %d", out.Code)
		}
	})
}

// TestSharedLooks: any number of groups and askers make one look, and none within a second of the
// last. An idle pool costs one list, a busy one two.
func TestSharedLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		k := w.scaled()
		stop := w.start(k)
		defer func() { _ = stop() }()
		later(2 * time.Second)
		minute := func() (lists, answers int) {
			before := w.calls.Load()
			for range 30 {
				var askers sync.WaitGroup
				var mu sync.Mutex
				for _, group := range []string{"linux", "gpu", "linux"} {
					for range 10 {
						askers.Go(func() {
							if n, _ := w.desired(k, group); n >= 0 {
								mu.Lock()
								answers++
								mu.Unlock()
							}
						})
					}
				}
				askers.Wait()
				later(2 * time.Second)
			}
			return int(w.calls.Load() - before), answers
		}
		if lists, answers := minute(); lists != 30+1 || answers != 900 { // and the pool's name once
			t.Errorf("an idle pool: %d lists, %d answers", lists, answers)
		}
		w.queueFor(1, "gpu")
		if lists, answers := minute(); lists != 60 || answers != 900 {
			t.Errorf("a pool with a job: %d lists, %d answers", lists, answers)
		}
		before := w.calls.Load()
		for range 100 { // in ten seconds
			w.desired(k, "gpu")
			later(100 * time.Millisecond)
		}
		if lists := int(w.calls.Load() - before); lists > 20 {
			t.Errorf("%d lists in ten seconds", lists)
		}
	})
}

// TestSlowServer: whatever a look takes, an answer comes within two seconds; if looks take up to
// seven seconds, each answer after the first is a number, of at most 30 seconds. The server works at
// most a third of the time, or as much as valid answers need.
func TestSlowServer(t *testing.T) {
	for _, slow := range []time.Duration{100 * time.Millisecond, time.Second, 3 * time.Second, 5 * time.Second, 7 * time.Second, 25 * time.Second, time.Minute} {
		t.Run(slow.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.queueFor(2, "gpu")
				k := w.scaled()
				stop := w.start(k)
				later(time.Second)
				w.slow = slow
				later(2 * scaleValidTime)
				before, refused, late := w.calls.Load(), 0, 0
				const polls = 300
				for i := range polls {
					begun := time.Now()
					n, why := w.desired(k, "gpu")
					if took := time.Since(begun); took > 2*time.Second {
						t.Fatalf("poll %d took %v", i, took)
					}
					var body struct{ Age float64 }
					if n >= 0 && json.Unmarshal([]byte(why), &body) == nil && body.Age > 30 {
						late++
					}
					if n < 0 && i > 10 {
						refused++
					}
					if n >= 0 && n != 2 {
						t.Fatalf("poll %d: %s", i, why)
					}
					later(2*time.Second - time.Since(begun))
				}
				looks := time.Duration(w.calls.Load()-before) / 2
				share := float64(looks*slow) / float64(polls*2*time.Second)
				if most := max(0.35, slow.Seconds()/15); late > 0 || slow <= 7*time.Second && (refused > 0 || share > most) {
					t.Errorf("%d of %d polls refused, %d late, the server works %.0f %% of the time", refused, polls, late, 100*share)
				}
				if slow > time.Minute/2 && refused != polls-11 {
					t.Errorf("a look that takes a minute: %d of %d refused", refused, polls)
				}
				t.Logf("%v: %d looks in %v, %.0f %% of the time, %d of %d polls refused", slow, looks, polls*2*time.Second, 100*share, refused, polls)
				_ = stop()
			})
		})
	}
}

const scaleValidTime = 30 * time.Second

// TestScaleOutage: while Azure DevOps is away the last number is good for 30 seconds; then it is an
// error, until the first request after the outage. A refusal is an error at once.
func TestScaleOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.away.Store(true)
		w.queueFor(1, "gpu")
		k := w.scaled()
		stop := w.start(k)
		defer func() { _ = stop() }()
		synctest.Wait()
		if n, why := w.desired(k, "gpu"); n != -1 || !strings.Contains(why, "connection refused") {
			t.Errorf("at the start: %d, %s", n, why)
		}
		later(10 * time.Second)
		if n, why := w.desired(k, "gpu"); n != -1 || !strings.Contains(why, "connection refused") {
			t.Errorf("after a look failed: %d, %s", n, why)
		}
		w.away.Store(false)
		later(10 * time.Second)
		w.desired(k, "gpu")
		later(2 * time.Second)
		if n, why := w.desired(k, "gpu"); n != 1 || !strings.Contains(why, `"age":0}`) {
			t.Errorf("after the outage: %d, %s", n, why)
		}

		w.away.Store(true)
		begun := time.Now()
		for time.Since(begun) < 2*time.Minute {
			n, why := w.desired(k, "gpu")
			switch age := time.Since(begun); {
			case age < 28*time.Second && n != 1, age > 30*time.Second && n != -1:
				t.Errorf("%v after the start of an outage: %d, %s", age, n, why)
			case n == -1 && !(strings.Contains(why, " ago: ") && strings.Contains(why, "connection refused")):
				t.Errorf("the reason is %q", why)
			}
			later(2 * time.Second)
		}
		w.away.Store(false)
		later(5 * time.Second)
		if n, why := w.desired(k, "gpu"); n != 1 {
			t.Errorf("after the outage: %d, %s", n, why)
		}

		for _, f := range []emulator.Fault{
			{Path: "/jobrequests", Status: 401}, {Path: "/jobrequests", Status: 403, Body: `{"message": "TF400813: no"}`},
		} {
			later(2 * time.Second)
			id, err := w.emulator.AddFault(f)
			if err != nil {
				t.Fatal(err)
			}
			if n, why := w.desired(k, "gpu"); n != -1 {
				t.Errorf("a refusal with %d: %s", f.Status, why)
			}
			w.emulator.RemoveFault(id)
			later(2 * time.Second)
			if n, why := w.desired(k, "gpu"); n != 1 {
				t.Errorf("after a refusal: %d, %s", n, why)
			}
		}
	})
}

// TestScaleThrottled: the endpoint does not look before the server's Retry-After is over.
func TestScaleThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.queueFor(1, "gpu")
		k := w.scaled()
		stop := w.start(k)
		defer func() { _ = stop() }()
		later(2 * time.Second)
		w.desired(k, "gpu") // finds the pool
		later(2 * time.Second)
		if _, err := w.emulator.AddFault(emulator.Fault{Path: "/jobrequests", Times: 1, Status: 429, Body: "{}", Headers: map[string]string{"Retry-After": "20"}}); err != nil {
			t.Fatal(err)
		}
		begun, before := time.Now(), w.calls.Load()
		for time.Since(begun) < 19*time.Second {
			if n, why := w.desired(k, "gpu"); n != 1 {
				t.Errorf("%v after it: %s", time.Since(begun), why)
			}
			later(2*time.Second - time.Since(begun)%(2*time.Second))
		}
		if calls := w.calls.Load() - before; calls != 1 {
			t.Errorf("%d calls in 20 seconds", calls)
		}
		later(10 * time.Second) // the client adds some
		if n, why := w.desired(k, "gpu"); n != 1 || !strings.Contains(why, `"age":0}`) {
			t.Errorf("after it: %s", why)
		}
	})
}

// TestTwoScalingKeepers: both make the groups' placeholders and remove ghosts at the same moment, and
// say the same number. Each has its own look.
func TestTwoScalingKeepers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put(member("linux", "ghost"), member("linux", "busy", online, withJob))
		w.queueFor(5, "gpu")
		both := []*keep.Keeper{}
		for range 2 {
			k := w.scaled(func(o *keep.Options) {
				o.Placeholder = &pool.PlaceholderSpec{Name: "p"}
				o.Interval = 30 * time.Second
			})
			stop := w.start(k)
			defer func() { _ = stop() }()
			both = append(both, k)
		}
		later(5 * time.Second)
		if got := fmt.Sprint(w.names()); got != "[busy p-gpu p-linux]" {
			t.Errorf("the pool holds %s", got)
		}
		removed := 0
		for _, k := range both {
			for group, want := range map[string]int{"linux": 1, "gpu": 3} {
				if n, why := w.desired(k, group); n != want {
					t.Errorf("%s: %s", group, why)
				}
			}
			if w.metric(k, `azptend_pool_agents_removed_total{pool="Default",reason="dead"}`) == "1" {
				removed++
			}
			if got := w.metric(k, `azptend_pool_removals_failed_total{pool="Default"}`); got != "0" {
				t.Errorf("%s removals failed", got)
			}
		}
		if removed != 1 {
			t.Errorf("%d keepers count the removed ghost", removed)
		}
		posts := w.count(http.MethodPost)
		later(10 * time.Minute)
		if more := w.count(http.MethodPost) - posts; more != 0 || w.count(http.MethodPut) != 0 {
			t.Errorf("%d more POSTs, %d PUTs", more, w.count(http.MethodPut))
		}
	})
}

// BenchmarkScale is an answer from memory.
func BenchmarkScale(b *testing.B) {
	e, err := emulator.New(emulator.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	w := &world{emulator: e}
	k := w.scaled()
	stop := w.start(k)
	defer func() { _ = stop() }()
	for b.Loop() {
		w.ask(k, "linux")
	}
}
