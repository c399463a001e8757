package health_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.uber.org/goleak"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/control"
	"github.com/azptend/azptend/internal/health"
	"github.com/azptend/azptend/internal/lifecycle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// loop is a StatusSource: an agent in a phase, or a loop that is stuck.
type loop struct {
	status control.Status
	stuck  bool
}

func (l loop) Status(ctx context.Context) (control.Status, error) {
	if l.stuck {
		<-ctx.Done()
		return control.Status{}, ctx.Err()
	}
	return l.status, nil
}

func get(p *health.Server, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	p.Handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w
}

// TestProbes: live in every phase and before an agent starts, unless the loop does not answer.
// Ready is what the agent reports.
func TestProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			name          string
			agent         health.StatusSource
			health, ready int
			says          string
		}{
			{"before", nil, 200, 503, "no agent has started yet"},
			{"booting", loop{status: control.Status{Phase: "booting"}}, 200, 503, "is booting"},
			{"idle", loop{status: control.Status{Phase: "idle", Ready: true}}, 200, 200, "is idle"},
			{"draining", loop{status: control.Status{Phase: "draining"}}, 200, 503, "is draining"},
			{"ended", loop{status: control.Status{Phase: "gone", End: &control.End{}}}, 200, 503, "is gone"},
			{"stuck", loop{stuck: true}, 503, 503, "has not answered within 5s"},
		} {
			p := health.New("test")
			if tt.agent != nil {
				p.SetAgent(tt.agent)
			}
			for path, want := range map[string]int{"/healthz": tt.health, "/readyz": tt.ready, "/status": 200, "/metrics": 200, "/": 404} {
				got := get(p, path)
				if got.Code != want {
					t.Errorf("%s: %s answers %d, want %d", tt.name, path, got.Code, want)
				}
				if strings.HasSuffix(path, "z") && !strings.Contains(got.Body.String(), tt.says) {
					t.Errorf("%s: %s says %q", tt.name, path, got.Body)
				}
			}
			var s control.Health
			if err := json.Unmarshal(get(p, "/status").Body.Bytes(), &s); err != nil || s.Live != (tt.health == 200) || s.Ready != (tt.ready == 200) {
				t.Errorf("%s: /status is %+v, %v", tt.name, s, err)
			}
		}
	})
}

// at is a state in a phase, with a registered agent.
func at(p lifecycle.Phase, j lifecycle.JobState, jobs int) lifecycle.State {
	return lifecycle.State{Phase: p, Registration: lifecycle.Registered, AgentID: 7, Job: j, Jobs: jobs, Listener: lifecycle.Running}
}

// has fails unless the metrics have these lines.
func has(t *testing.T, p *health.Server, lines ...string) {
	t.Helper()
	text := get(p, "/metrics").Body.String()
	for _, line := range lines {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("there is no line %s in\n%s", line, text)
		}
	}
}

// TestRunIsCounted counts a run: the agent is registered, a job finishes, one is cut by the
// listener's exit, one is unseen, the agent updates and is removed.
func TestRunIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := health.New("test")
		l := p.ForAgent("a")
		now := lifecycle.New(lifecycle.Policy{})
		step := func(e lifecycle.Event, to lifecycle.State) {
			l.Stepped(now, to, e)
			now = to
		}
		ok := lifecycle.Result{Outcome: lifecycle.OK}
		idle := at(lifecycle.Idle, lifecycle.NoJob, 0)
		has(t, p, `azptend_phase{agent="a",phase="booting"} 1`, `azptend_removals_total{agent="a",outcome="named"} 0`)

		step(lifecycle.RegisterResult{Result: ok, AgentID: 7}, at(lifecycle.Starting, lifecycle.NoJob, 0))
		step(lifecycle.LaunchResult{Result: ok}, now)
		l.Ready(map[string]time.Duration{"total": 1500 * time.Millisecond})
		step(lifecycle.SessionReady{}, idle)
		time.Sleep(10 * time.Second)
		step(lifecycle.JobStarted{}, at(lifecycle.Busy, lifecycle.RunningJob, 1))
		time.Sleep(40 * time.Second)
		has(t, p, `azptend_phase_seconds_total{agent="a",phase="busy"} 40`) // while it lasts
		step(lifecycle.JobFinished{}, at(lifecycle.Idle, lifecycle.NoJob, 1))
		step(lifecycle.JobStarted{}, at(lifecycle.Busy, lifecycle.RunningJob, 2))
		time.Sleep(time.Second)
		step(lifecycle.ListenerExited{Exit: lifecycle.Exit{Signal: 9}}, at(lifecycle.Starting, lifecycle.NoJob, 2))
		step(lifecycle.LaunchResult{Result: lifecycle.Result{Outcome: lifecycle.InternalError}}, now)
		step(lifecycle.LaunchResult{Result: ok}, at(lifecycle.Idle, lifecycle.NoJob, 2))
		step(lifecycle.JobStarted{}, at(lifecycle.Busy, lifecycle.RunningJob, 3))
		step(lifecycle.SocketLost{}, at(lifecycle.Busy, lifecycle.UnknownJob, 3))
		updating := at(lifecycle.Starting, lifecycle.NoJob, 4) // the state counts a job that the listener may have had
		updating.Listener = lifecycle.Updating
		step(lifecycle.ListenerExited{Exit: lifecycle.Exit{Code: 3}}, updating)
		gone := at(lifecycle.Gone, lifecycle.NoJob, 4)
		gone.Registration = lifecycle.Removed
		step(lifecycle.RemoveResult{Result: ok}, gone)

		has(t, p,
			`azptend_phase{agent="a",phase="gone"} 1`, `azptend_phase{agent="a",phase="booting"} 0`,
			`azptend_phase_seconds_total{agent="a",phase="idle"} 10`,
			`azptend_phase_seconds_total{agent="a",phase="busy"} 41`,
			`azptend_last_start_seconds{agent="a",part="total"} 1.5`,
			`azptend_jobs_started_total{agent="a"} 3`,
			`azptend_jobs_ended_total{agent="a",result="finished"} 1`,
			`azptend_jobs_ended_total{agent="a",result="cut"} 1`,
			`azptend_jobs_ended_total{agent="a",result="unseen"} 1`,
			`azptend_job_duration_seconds_sum{agent="a"} 40`, `azptend_job_duration_seconds_count{agent="a"} 1`,
			`azptend_listener_restarts_total{agent="a"} 1`,
			`azptend_listener_exits_total{agent="a",exit="signal"} 1`, `azptend_listener_exits_total{agent="a",exit="3"} 1`,
			`azptend_agent_updates_total{agent="a"} 1`,
			`azptend_registrations_total{agent="a"} 1`,
			`azptend_removals_total{agent="a",outcome="removed"} 1`, `azptend_removals_total{agent="a",outcome="named"} 0`)
	})
}

// TestLeftAgentIsCounted: one of two agents in a process could not be removed.
func TestLeftAgentIsCounted(t *testing.T) {
	p := health.New("test")
	p.ForAgent("a")
	named := at(lifecycle.Gone, lifecycle.NoJob, 0)
	named.Registration = lifecycle.Abandoned
	p.ForAgent("b").Stepped(at(lifecycle.Removing, lifecycle.NoJob, 0), named, lifecycle.RemoveResult{})
	has(t, p, `azptend_removals_total{agent="a",outcome="named"} 0`, `azptend_removals_total{agent="b",outcome="named"} 1`,
		`azptend_phase{agent="a",phase="booting"} 1`, `azptend_phase{agent="b",phase="gone"} 1`)
}

func TestTokensAreCounted(t *testing.T) {
	p := health.New("test")
	if text := get(p, "/metrics").Body.String(); strings.Contains(text, "expiry") {
		t.Error("a token that was never got expires")
	}
	p.TokenFetched("managed identity", time.Unix(1234, 0), nil)
	p.TokenFetched("managed identity", time.Time{}, errors.New("no"))
	has(t, p, `azptend_token_fetches_total{source="managed identity",outcome="ok"} 1`, `azptend_token_fetches_total{source="managed identity",outcome="failed"} 1`,
		`azptend_token_expiry_timestamp_seconds{source="managed identity"} 1234`)
}

// TestMetricsLint: Prometheus' lint finds no problem, and no server or listener can create an
// unlimited number of series.
func TestMetricsLint(t *testing.T) {
	p := health.New("test")
	l := p.ForAgent("a \"b\"\n")
	l.Ready(map[string]time.Duration{"total": time.Second})
	p.TokenFetched("managed identity", time.Unix(1234, 0), nil)
	for i := range 1000 {
		p.Observe(azdo.Observation{Method: "GET", Status: 1000 + i})
		l.Stepped(at(lifecycle.Idle, lifecycle.NoJob, 0), at(lifecycle.Starting, lifecycle.NoJob, 0),
			lifecycle.ListenerExited{Exit: lifecycle.Exit{Code: i - 10, Signal: i % 2 * i}})
	}
	text := get(p, "/metrics").Body.String()
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("the lint says %v %v", problems, err)
	}
	for _, f := range p.Families() {
		if !strings.Contains(text, "\n# TYPE "+f.Name+" ") && !strings.HasPrefix(text, "# TYPE "+f.Name+" ") {
			t.Errorf("%s has no series: this test lints it not", f.Name)
		}
	}
	if n := strings.Count(text, "\n"); n > 140 {
		t.Errorf("one agent has %d lines:\n%s", n, text)
	}
}

// TestServed uses a real connection, and checks that it is closed at the end.
func TestServed(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	where := fmt.Sprintf("http://%s/healthz", listener.Addr())
	done := health.New("test").Serve(listener, slog.New(slog.DiscardHandler))
	for range 2 * 64 { // more than connlimit allows: each is closed
		resp, err := http.Get(where)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || !strings.HasPrefix(string(text), "alive") {
			t.Fatalf("%d %s %v", resp.StatusCode, text, err)
		}
	}
	resp, err := http.Post(where, "text/plain", nil)
	if err != nil || resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("a POST is answered with %v %v", resp, err)
	}
	resp.Body.Close()
	done()
	var refused *net.OpError
	if _, err := http.Get(where); !errors.As(err, &refused) {
		t.Errorf("it still answers: %v", err)
	}
}
