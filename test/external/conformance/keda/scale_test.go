package keda

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/kedacore/keda/v2/pkg/scalers"

	"github.com/azptend/azptend/test/external/conformance/go/emulated"
)

// A pool that scales from zero: with the placeholder the server accepts jobs, KEDA counts them, and
// each started agent runs one. The counts are those of the two valid combinations: "default"
// subtracts the running Jobs from all unfinished requests. "accurate" subtracts the pending Jobs
// from the waiting requests. No Job is pending here, because an agent has its session when RunAgent
// returns.
func TestScaleFromZero(t *testing.T) {
	e := emulated.Start(t, "linux")
	goOn := filepath.Join(t.TempDir(), "go-on")
	docker := emulated.Job{Script: "while [ ! -e " + goOn + " ]; do sleep 0.05; done", Demands: []string{"docker"}}
	if err := e.TryQueue(docker); err == nil {
		t.Fatal("a pool without an agent takes a job")
	} else {
		fails(t, err, "No agent found in pool linux which satisfies the specified demands: docker")
	}
	e.Placeholder(t, "linux", "placeholder", "docker=true")
	inFlight := mustBuild(t, e, trigger{"poolName": "linux", "parent": "placeholder"}, pat(e.PAT))
	waiting := mustBuild(t, e, trigger{"poolName": "linux", "parent": "placeholder", "scaleOnInFlight": "false"}, pat(e.PAT))
	both := func(when string, wantInFlight, wantWaiting int64) {
		t.Helper()
		says := func(s scalers.Scaler) int64 {
			n, _, err := poll(s)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		if n, m := says(inFlight), says(waiting); n != wantInFlight || m != wantWaiting {
			t.Errorf("%s: %d in flight and %d waiting, want %d and %d", when, n, m, wantInFlight, wantWaiting)
		}
	}
	start := func(name string, serves int64) {
		t.Helper()
		e.RunAgent(t, name, "AZP_POOL=linux", "AZP_ONCE=true", "AZP_CAPABILITIES=docker=true")
		e.WaitJob(t, serves, "job.started")
	}

	both("nothing is queued", 0, 0)
	one, two := e.Queue(t, docker), e.Queue(t, docker)
	both("two jobs wait", 2, 2)
	start("agent-1", one)
	both("one of them runs", 2, 1) // 2 - 1 and 1 - 0: one more agent either way
	start("agent-2", two)
	both("both run", 2, 0) // 2 - 2 and 0 - 0: none
	three := e.Queue(t, docker)
	both("and a third waits", 3, 1) // 3 - 2 and 1 - 0: one

	if err := os.WriteFile(goOn, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	e.WaitJob(t, one, "job.finished")
	e.WaitJob(t, two, "job.finished")
	both("the two have ended", 1, 1) // --once: neither of them accepted the third job
	start("agent-3", three)
	e.WaitJob(t, three, "job.finished")
	both("all is done", 0, 0)
	for _, name := range []string{"agent-1", "agent-2", "agent-3"} {
		e.WaitEvent(t, 0, func(ev emulated.Event) bool { return ev.Type == "agent.removed" && ev.Agent == name })
	}
	if agents := e.State(t).Pools[0].Agents; len(agents) != 1 || agents[0].Name != "placeholder" {
		t.Errorf("of the agents there are left %+v", agents)
	}
}
