package keda

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/azptend/azptend/test/external/conformance/go/emulated"
)

// queue fills pool "linux" (id 2) with a request in each state:
//
//	finished                        no mode counts it
//	running                         its agent has received it
//	assigned                        its agent has not received it yet
//	plain, maven, maven and docker, MAVEN, maven with the demand for a version that Azure DevOps adds to most, and gpu,
//	which no agent could run: they wait
func queue(t *testing.T) *emulated.Emulator {
	t.Helper()
	e := emulated.Start(t, "Default", "linux", "linux2")
	goOn := filepath.Join(t.TempDir(), "go-on")
	e.Placeholder(t, "linux", "template", "maven=true", "docker=true")
	e.RunAgent(t, "first", "AZP_POOL=linux")
	e.WaitJob(t, e.Queue(t, emulated.Job{Pool: "linux", Name: "finished", Script: "true"}), "job.finished")
	running := e.Queue(t, emulated.Job{Pool: "linux", Name: "running", Script: "while [ ! -e " + goOn + " ]; do sleep 0.05; done"})
	e.WaitJob(t, running, "job.started")
	e.WaitJob(t, running, "message.deleted")
	e.RunAgent(t, "second", "AZP_POOL=linux")
	e.Hold(t, http.MethodDelete, "/pools/2/messages/")   // holds the acknowledgement, and
	e.Hold(t, http.MethodPatch, "/pools/2/jobrequests/") // the renewal of the lock: either of them marks the job as received
	assigned := e.Queue(t, emulated.Job{Pool: "linux", Name: "assigned", Script: "true"})
	e.WaitJob(t, assigned, "message.delivered")
	t.Cleanup(func() {
		e.ReleaseHolds(t)
		if err := os.WriteFile(goOn, nil, 0o600); err != nil {
			t.Error(err)
		}
	})
	for _, demands := range [][]string{nil, {"maven"}, {"maven", "docker"}, {"MAVEN"}, {"maven", "Agent.Version -gtVersion 2.182.1"}} {
		e.Queue(t, emulated.Job{Pool: "linux", Script: "true", Demands: demands})
	}
	e.Queue(t, emulated.Job{Pool: "linux", Script: "true", Demands: []string{"gpu"}, Force: true})
	return e
}

// Each mode of the scaler, with a queue that has a request in each state.
func TestCounts(t *testing.T) {
	e := queue(t)
	inPool := trigger{"poolName": "linux"}
	for _, c := range []struct {
		want int64
		tr   trigger
	}{
		{8, trigger{}}, // all unfinished requests, including the running one
		{7, trigger{"scaleOnInFlight": "false"}},
		{8, trigger{"fetchUnfinishedJobsOnly": "true"}},
		{7, trigger{"fetchUnfinishedJobsOnly": "true", "scaleOnInFlight": "false"}},
		{3, trigger{"jobsToFetch": "3"}}, // the newest ones

		{7, trigger{"parent": "template"}}, // not gpu
		{6, trigger{"parent": "template", "scaleOnInFlight": "false"}},
		{7, trigger{"parent": "template", "fetchUnfinishedJobsOnly": "true"}},
		{0, trigger{"parent": "Template"}}, // this is case-sensitive
		{3, trigger{"parent": "first"}},    // requests without demands
		{2, trigger{"parent": "second"}},   // this agent did not exist yet when "running" was assigned

		{5, trigger{"demands": "maven"}}, // and requests without demands
		{4, trigger{"demands": "maven", "scaleOnInFlight": "false"}},
		{6, trigger{"demands": "maven,docker"}},
		{5, trigger{"demands": "maven, docker"}}, // " docker" is another demand
		{6, trigger{"demands": "maven", "caseInsensitiveDemandsProcessing": "true"}},
		{2, trigger{"demands": "maven", "requireAllDemands": "true"}},
		{1, trigger{"demands": "maven,docker", "requireAllDemands": "true"}},
		{3, trigger{"demands": "maven", "requireAllDemandsAndIgnoreOthers": "true"}},
		{4, trigger{"demands": "maven", "requireAllDemandsAndIgnoreOthers": "true", "caseInsensitiveDemandsProcessing": "true"}},
	} {
		counts(t, e, c.want, inPool.with(c.tr))
	}
}

// The ways to name the pool, and the errors for wrong names.
func TestPool(t *testing.T) {
	e := emulated.Start(t, "linux", "linux2", "Linux arm64")
	for i, pool := range []string{"linux", "linux2", "linux2", "Linux arm64"} {
		e.Queue(t, emulated.Job{Pool: pool, Name: fmt.Sprint(i), Script: "true", Force: true})
	}
	counts(t, e, 1, trigger{"poolName": "linux"})
	counts(t, e, 1, trigger{"poolName": "LINUX"})
	counts(t, e, 1, trigger{"poolName": "Linux arm64"})
	counts(t, e, 2, trigger{"poolID": "2"})
	counts(t, e, 2, trigger{"poolName": "linux2", "poolID": "1"})

	_, err := build(e, trigger{"poolName": "linux3"}, pat(e.PAT))
	fails(t, err, "agent pool with name `linux3` not found")
	_, err = build(e, trigger{"poolName": "linux"}, pat(e.PATOf(t, "tool", "")))
	fails(t, err, "agent pool with name `linux` not found") // no View permission on it
	_, _, err = poll(mustBuild(t, e, trigger{"poolID": "99"}, pat(e.PAT)))
	fails(t, err, "No agent pool found with identifier 99.") // only at the first poll
	_, err = build(e, trigger{"poolName": "linux", "organizationURL": e.Org + "/"}, pat(e.PAT))
	fails(t, err, "failed to extract organization name")

	s := mustBuild(t, e, trigger{"poolName": "linux2", "activationTargetPipelinesQueueLength": "2"}, pat(e.PATOf(t, "tool", "Reader")))
	if n, active, err := poll(s); n != 2 || active || err != nil {
		t.Errorf("2 requests and an activation target of 2: %d, active %v, %v", n, active, err)
	}
}

// One request to find the pool, and then one request per poll, in the form that the mode needs.
func TestRequests(t *testing.T) {
	e := emulated.Start(t, "linux")
	for _, c := range []struct {
		tr    trigger
		query string
	}{
		{trigger{}, "$top=250"},
		{trigger{"jobsToFetch": "10"}, "$top=10"},
		{trigger{"parent": "template"}, ""},
		{trigger{"fetchUnfinishedJobsOnly": "true"}, "completedRequestCount=0"},
	} {
		e.ForgetCalls(t)
		s := mustBuild(t, e, trigger{"poolName": "linux"}.with(c.tr), pat(e.PATOf(t, "keda", "Reader")))
		for range 2 {
			if n, _, err := poll(s); n != 0 || err != nil {
				t.Errorf("an empty queue counts %d, %v", n, err)
			}
		}
		var got []string
		for _, call := range e.Calls(t) {
			got = append(got, strings.TrimPrefix(call.Path, "/"+emulated.Org+"/_apis/distributedtask/")+"?"+call.Query+" "+call.Who)
		}
		want := []string{"pools?poolName=linux pat:keda", "pools/1/jobrequests?" + c.query + " pat:keda", "pools/1/jobrequests?" + c.query + " pat:keda"}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("with %v KEDA asks %q, want %q", c.tr, got, want)
		}
	}
}

// Azure DevOps lists 200 requests whatever $top says. If only unfinished ones are requested, it
// lists all of them.
func TestLongQueue(t *testing.T) {
	e := emulated.Start(t, "linux")
	for range 210 {
		e.Queue(t, emulated.Job{Script: "true", Force: true})
	}
	counts(t, e, 200, trigger{"poolName": "linux"})
	counts(t, e, 210, trigger{"poolName": "linux", "fetchUnfinishedJobsOnly": "true"})
}
