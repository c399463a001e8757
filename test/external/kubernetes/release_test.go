package kubernetes

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"

	"github.com/azptend/azptend/test/external/conformance/go/emulated"
	"github.com/azptend/azptend/test/external/kubernetes/cluster"
)

// chart is the directory of the chart.
const chart = "../../../deploy/helm/azptend"

// pollingInterval is KEDA's interval in these tests, in seconds. Its default is 30.
const pollingInterval = 5

// release is the chart installed for one pool, in a namespace with the pool's name.
type release struct {
	*world
	pool   string
	queued []int64 // the jobs so far
}

type values map[string]any

// install installs the chart, and waits until its keeper has created the placeholder.
func (w *world) install(t *testing.T, pool string, more values) *release {
	t.Helper()
	agents, keeper := w.identity(t, pool, "agents", pool, "Administrator"), w.identity(t, pool, "keeper", pool, "Administrator")
	ports, err := cluster.FreePorts(2) // all pods share this machine's network
	must(t, err)
	v := values{
		"organizationURL": w.e.Org, "pool": values{"name": pool}, "image": values{"repository": "agent", "tag": "test"},
		"identity": values{"clientId": agents.ClientID}, "serviceAccount": values{"name": "agents"},
		"keda":                          values{"version": "2.21", "pollingInterval": pollingInterval, "maxReplicaCount": 100},
		"scaledJob":                     values{"ttlSecondsAfterFinished": 15},
		"terminationGracePeriodSeconds": 300, "idleTimeout": "30s",
		"keep": values{"port": ports[0], "healthPort": ports[1], "interval": "5s", "identity": values{"type": "workloadIdentity", "clientId": keeper.ClientID},
			"serviceAccount": values{"name": "keeper"}},
	}
	for _, over := range []values{w.values, more} {
		for name, value := range over {
			if inner, is := v[name].(values); is {
				maps.Copy(inner, value.(values))
				continue
			}
			v[name] = value
		}
	}
	b, err := json.Marshal(v)
	must(t, err)
	file := w.path("values-" + pool + ".json")
	must(t, os.WriteFile(file, b, 0o600))
	w.helm(t, pool, "install", "azptend", chart, "--create-namespace", "--values", file)
	w.event(t, pool, "the keeper makes the placeholder", func(ev emulated.Event) bool {
		return ev.Type == "agent.added" && strings.HasPrefix(ev.Agent, placeholder)
	})
	return &release{world: w, pool: pool}
}

// uninstall removes the chart, including its keeper.
func (r *release) uninstall(t *testing.T) {
	t.Helper()
	r.helm(t, r.pool, "uninstall", "azptend")
	r.until(t, "no pod is left", func() bool { return len(r.podsThere()) == 0 })
}

// queue queues n jobs with this script.
func (r *release) queue(t *testing.T, n int, script string) []int64 {
	t.Helper()
	var ids []int64
	for range n {
		ids = append(ids, r.e.Queue(t, emulated.Job{Pool: r.pool, Script: script}))
	}
	r.queued = append(r.queued, ids...)
	return ids
}

// waits is a script that runs until open is called.
func waits(name string) string { return "until [ -e /gate/" + name + " ]; do sleep 0.2; done" }

// open ends the jobs that wait for this gate.
func (r *release) open(t *testing.T, name string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(r.gate, name), nil, 0o644))
}

// reach waits until each job has this event.
func (r *release) reach(t *testing.T, ids []int64, event string) {
	t.Helper()
	for _, id := range ids {
		r.event(t, r.pool, "job "+strconv.FormatInt(id, 10)+": "+event, isOf(event, id))
	}
}

// ran checks that each job ran once and succeeded, and returns the agents' names.
func (r *release) ran(t *testing.T, ids []int64) map[int64]string {
	t.Helper()
	r.reach(t, ids, "job.finished")
	started, by := map[int64]int{}, map[int64]string{}
	for _, ev := range r.e.Events(t) {
		switch {
		case ev.Pool != r.pool || !slices.Contains(ids, ev.RequestID):
		case ev.Type == "job.started":
			started[ev.RequestID]++
			by[ev.RequestID] = ev.Agent
		case ev.Type == "job.finished" && ev.Result != "succeeded":
			t.Errorf("job %d %s", ev.RequestID, ev.Result)
		}
	}
	for _, id := range ids {
		if started[id] != 1 {
			t.Errorf("job %d was started %d times", id, started[id])
		}
	}
	return by
}

// served checks that each job ran once, on its own agent, and succeeded.
func (r *release) served(t *testing.T, ids []int64) {
	t.Helper()
	jobs := map[string]int{}
	for _, agent := range r.ran(t, ids) {
		if jobs[agent]++; jobs[agent] == 2 {
			t.Errorf("the agent %s ran more than one job", agent)
		}
	}
}

// madeJobs returns all Kubernetes Jobs so far, with the time at which each was first seen.
func (r *release) madeJobs() map[string]time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]time.Time{}
	for key, at := range r.made {
		if name, is := strings.CutPrefix(key, r.pool+"/"); is {
			out[name] = at
		}
	}
	return out
}

// endsWith waits until nothing is left, checks that each job ran once, uninstalls the chart, and
// checks the number of Kubernetes Jobs so far.
func (r *release) endsWith(t *testing.T, made int) {
	t.Helper()
	r.nothingLeft(t)
	r.served(t, r.queued)
	r.uninstall(t)
	r.madeExactly(t, made)
}

// madeExactly checks the total number of Kubernetes Jobs.
func (r *release) madeExactly(t *testing.T, n int) {
	t.Helper()
	if made := len(r.madeJobs()); made != n {
		t.Errorf("KEDA made %d Kubernetes Jobs, want %d", made, n)
	}
}

// placeholder is the name of the keeper's placeholder by default. With groups each has one, whose
// name continues with the group's.
const placeholder = "azptend-placeholder"

// nothingLeft waits until the Jobs and their pods are deleted after their time to live, by when
// KEDA has polled again. It checks that the pool has always had its placeholder and now has no
// other agent, and that only the keepers' processes are left.
func (r *release) nothingLeft(t *testing.T) {
	t.Helper()
	r.until(t, "no Job and no agent's pod is left", func() bool { return len(r.jobsThere()) == 0 && len(r.agentPods()) == 0 })
	r.onlyPlaceholder(t)
	for _, ev := range r.e.Events(t) {
		if ev.Pool == r.pool && strings.HasPrefix(ev.Agent, placeholder) && ev.Type == "agent.removed" {
			t.Errorf("the placeholder was removed at %v", ev.Time)
		}
	}
	perPod := 1
	if r.kubelet == nil {
		perPod = 2 // a real kubelet's pod has another one, which holds its namespaces
	}
	if left := containersBelowUs(t); len(left) != perPod*len(r.podsThere()) {
		t.Errorf("of the containers there are left %v, want the keepers' alone", left)
	}
}

// onlyPlaceholder checks that the pool has its placeholders and no other agent.
func (r *release) onlyPlaceholder(t *testing.T) {
	t.Helper()
	agents := r.agents(t)
	if len(agents) == 0 || slices.ContainsFunc(agents, func(a emulated.Agent) bool { return !strings.HasPrefix(a.Name, placeholder) }) {
		t.Errorf("in the pool there are left %+v", agents)
	}
}

// agents returns the pool's agents, from the emulator's records.
func (r *release) agents(t *testing.T) []emulated.Agent {
	t.Helper()
	for _, p := range r.e.State(t).Pools {
		if p.Name == r.pool {
			return p.Agents
		}
	}
	t.Fatalf("the emulator has no pool %s", r.pool)
	return nil
}

func (r *release) jobsThere() []*batchv1.Job {
	var out []*batchv1.Job
	for _, o := range r.jobs.List() {
		if j := o.(*batchv1.Job); j.Namespace == r.pool {
			out = append(out, j)
		}
	}
	return out
}

func (r *release) podsThere() []*v1.Pod {
	var out []*v1.Pod
	for _, o := range r.pods.List() {
		if p := o.(*v1.Pod); p.Namespace == r.pool {
			out = append(out, p)
		}
	}
	return out
}

// agentPods returns the agents' pods.
func (r *release) agentPods() []*v1.Pod {
	return slices.DeleteFunc(r.podsThere(), func(p *v1.Pod) bool { return p.Labels["app.kubernetes.io/component"] != "agent" })
}

// isOf matches the events of a job.
func isOf(event string, id int64) func(emulated.Event) bool {
	return func(ev emulated.Event) bool { return ev.Type == event && ev.RequestID == id }
}
