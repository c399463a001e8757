package keep_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/internal/keep"
	"github.com/azptend/azptend/internal/pool"
	"github.com/azptend/azptend/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is the emulator, called by the keeper without a network, so that both run in the bubble of
// a synctest.
type world struct {
	*testing.T
	emulator *emulator.Emulator
	away     atomic.Bool   // no answer
	silent   atomic.Bool   // the call is accepted and never answered
	slow     time.Duration // duration of a list request
	calls    atomic.Int64
}

func newWorld(t *testing.T) *world {
	t.Helper()
	e, err := emulator.New(emulator.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return &world{T: t, emulator: e}
}

func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	w.calls.Add(1)
	if w.away.Load() {
		return nil, errors.New("connection refused")
	}
	if w.silent.Load() {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if w.slow > 0 && r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/agents") {
		select { // in a bubble
		case <-time.After(w.slow):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	out := httptest.NewRecorder()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w.emulator.ServeHTTP(out, r)
	return out.Result(), nil
}

func (w *world) Authorization(context.Context, secret.Text) (secret.Text, error) {
	return secret.New("Basic " + base64.StdEncoding.EncodeToString([]byte(":"+w.emulator.DefaultPAT))), nil
}

// keeper creates a keeper of the pool Default. change changes its options.
func (w *world) keeper(change ...func(*keep.Options)) (*keep.Keeper, keep.Options) {
	o := keep.Options{URL: "http://emulator/emulated", Interval: 30 * time.Second, Prune: true, Metrics: keep.NewMetrics("test"), Rules: pool.Rules{OlderThan: time.Hour}}
	client := azdo.New("http://emulator/emulated", &http.Client{Transport: w}, w, o.Metrics.Observe)
	o.Server, o.Pools = client, []azdo.PoolRef{{Name: "Default"}}
	for _, c := range change {
		c(&o)
	}
	return keep.New(o), o
}

// start runs a keeper. The returned function stops it and returns the result of Run.
func (w *world) start(k *keep.Keeper) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- k.Run(ctx) }()
	return func() error { cancel(); return <-ended }
}

func (w *world) put(specs ...emulator.AgentSpec) {
	w.Helper()
	if _, err := w.emulator.PutAgents(specs...); err != nil {
		w.Fatal(err)
	}
}

func (w *world) queue(name string) emulator.Job {
	w.Helper()
	job, err := w.emulator.QueueJob(emulator.JobSpec{Name: name, Script: "true", Force: true})
	if err != nil {
		w.Fatal(err)
	}
	return job
}

// names returns the names of the pool's agents.
func (w *world) names() []string {
	var names []string
	for _, a := range w.emulator.State().Pool("Default").Agents {
		names = append(names, a.Name)
	}
	slices.Sort(names)
	return names
}

// count returns the number of calls with a method that the emulator received.
func (w *world) count(method string) int {
	n := 0
	for _, c := range w.emulator.Calls() {
		if c.Method == method {
			n++
		}
	}
	return n
}

// get requests the keeper's own page.
func (w *world) get(k *keep.Keeper, path string) *httptest.ResponseRecorder {
	out := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Host = "127.0.0.1:8141"
	k.Handler(secret.Text{}).ServeHTTP(out, r)
	return out
}

// metric is the value of a metric; "" if there is no such line.
func (w *world) metric(k *keep.Keeper, series string) string {
	for line := range strings.Lines(w.get(k, "/metrics").Body.String()) {
		if value, found := strings.CutPrefix(line, series+" "); found {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func ours(name string, more ...func(*emulator.AgentSpec)) emulator.AgentSpec {
	s := emulator.AgentSpec{
		Name: name, CreatedAgo: 48 * time.Hour, ChangedAgo: 3 * time.Hour,
		UserCapabilities: map[string]string{"azptend.kind": "agent", "azptend.instance": "i-" + name},
	}
	for _, m := range more {
		m(&s)
	}
	return s
}

func online(s *emulator.AgentSpec) { s.Online = true }

func withJob(s *emulator.AgentSpec) { s.Job = &emulator.JobSpec{Name: "long", Script: "true"} }

func since(d time.Duration) func(*emulator.AgentSpec) {
	return func(s *emulator.AgentSpec) { s.ChangedAgo = d }
}
