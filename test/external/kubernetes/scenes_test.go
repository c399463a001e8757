package kubernetes

import (
	"net/http"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/azptend/azptend/test/external/conformance/go/emulated"
)

// One job, a burst of 50, and bursts while others run: there are as many Jobs as jobs, and each job
// runs once.
func (w *world) scales(strategy string, inFlight bool) func(t *testing.T) *release {
	return func(t *testing.T) *release {
		r := w.install(t, strategy, values{"keda": values{"strategy": strategy, "scaleOnInFlight": inFlight}})
		all := r.queue(t, 1, "true")
		r.served(t, all)

		running := r.queue(t, 3, waits(strategy))
		r.reach(t, running, "job.started")
		all = append(all, running...)
		more := r.queue(t, 5, waits(strategy)) // while three run
		r.reach(t, more, "job.assigned")
		all = append(all, more...)
		all = append(all, r.queue(t, 4, "true")...) // while some of the five start
		r.served(t, all[len(all)-4:])
		r.open(t, strategy)
		r.served(t, all)
		r.madeExactly(t, 13)

		burst := r.queue(t, 50, "true")
		r.served(t, burst)
		r.endsWith(t, 63)
		return r
	}
}

// kubectl drain of a node while jobs run: the jobs finish within the grace period, and new jobs run
// on another node.
func (w *world) drain(t *testing.T) *release {
	r := w.install(t, "drained", nil)
	jobs := r.queue(t, 6, waits("drained"))
	r.reach(t, jobs, "job.started")
	r.cordon(t, "node-a", true)
	moved := r.evict(t, "node-a")
	if len(moved) == 0 {
		t.Fatal("no pod was on the node")
	}
	for _, agent := range moved {
		r.event(t, r.pool, agent+" accepts no more jobs", func(ev emulated.Event) bool { return ev.Type == "agent.disabled" && ev.Agent == agent })
	}
	later := r.queue(t, 2, "true")
	r.served(t, later) // meanwhile KEDA polls, and sees Jobs whose pods are terminating
	r.open(t, "drained")
	r.served(t, append(jobs, later...))
	r.cordon(t, "node-a", false)
	r.endsWith(t, 8)
	return r
}

func (r *release) cordon(t *testing.T, node string, yes bool) {
	t.Helper()
	patch := map[bool]string{true: `{"spec":{"unschedulable":true}}`, false: `{"spec":{"unschedulable":null}}`}[yes]
	_, err := r.client.CoreV1().Nodes().Patch(r.ctx, node, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	must(t, err)
}

// evict evicts all agents from a node, and returns their names.
func (r *release) evict(t *testing.T, node string) []string {
	t.Helper()
	var out []string
	for _, p := range r.agentPods() {
		if p.Spec.NodeName == node && p.Status.Phase == v1.PodRunning {
			must(t, r.client.PolicyV1().Evictions(r.pool).Evict(r.ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: p.Name, Namespace: r.pool}}))
			out = append(out, p.Name)
		}
	}
	return out
}

// sessionless queues a job whose agent is registered but refused a session until RemoveFaults. It
// returns the job and the agent. The call is refused, not held: the server would answer a held call
// after its sender has died, and assign the job to that session.
func (r *release) sessionless(t *testing.T) ([]int64, string) {
	t.Helper()
	r.e.Break(t, emulated.Fault{Method: http.MethodPost, Path: "/sessions", Times: 1000, Status: http.StatusServiceUnavailable})
	jobs := r.queue(t, 1, "true")
	added := r.event(t, r.pool, "an agent is registered", func(ev emulated.Event) bool {
		return ev.Type == "agent.added" && ev.Agent != placeholder
	})
	return jobs, added.Agent
}

// A pod that is deleted while its agent starts leaves no ghost, and another agent runs its job.
func (w *world) deleteStarting(t *testing.T) *release {
	r := w.install(t, "deleted", nil)
	jobs, agent := r.sessionless(t)
	if _, there := r.e.Agent(t, agent); !there {
		t.Fatal("the agent was removed before its pod was deleted")
	}
	must(t, r.client.CoreV1().Pods(r.pool).Delete(r.ctx, agent, metav1.DeleteOptions{}))
	r.removed(t, agent)
	r.e.RemoveFaults(t)
	r.served(t, jobs)
	r.endsWith(t, 2)
	return r
}

// If only an init container has the identity, the keeper removes the agents that have ended.
func (w *world) initRegisters(t *testing.T) *release {
	r := w.install(t, "registered", values{"initRegister": values{"enabled": true}})
	// Two seconds, because no real agent has a shorter session: an agent that was online for less than
	// a second looks like one that never was.
	jobs := r.queue(t, 3, `sleep 2; if [ -e /var/run/secrets/azure/tokens ]; then echo "the identity is here"; exit 1; fi`)
	r.served(t, jobs)
	for _, ev := range r.e.Events(t) {
		if ev.Pool == r.pool && ev.Type == "job.started" {
			r.removed(t, ev.Agent) // the keeper removes it
		}
	}
	r.endsWith(t, 3)
	return r
}

// Single jobs and a burst, to measure their times.
func (w *world) measured(t *testing.T) *release {
	r := w.install(t, "measured", nil)
	var alone []int64
	// Two seconds, so that azptend logs its session before its agent is gone.
	const short = "sleep 2"
	for i := range 10 {
		// Otherwise each job would start right after the previous one, always at the same moment between
		// two polls.
		time.Sleep(time.Duration(i) * pollingInterval * time.Second / 10)
		ids := r.queue(t, 1, short)
		r.served(t, ids)
		alone = append(alone, ids...)
	}
	burst := r.queue(t, 50, short)
	r.served(t, burst)
	w.waits = []waiting{r.waited(t, "one job at a time", alone), r.waited(t, "50 at once", burst)}
	r.endsWith(t, 60)
	return r
}

// A pod that is killed before its agent listens leaves a ghost, and another agent runs its job. A
// container that is killed during its job also loses that job, by the rules of Azure DevOps: the
// job is abandoned when its lock expires. Until then KEDA counts it as a job without a Kubernetes
// Job, and creates one for it, whose agent gets no job and exits. The keeper removes the ghosts.
func (w *world) killed(t *testing.T) *release {
	r := w.install(t, "killed", nil)
	jobs, unheard := r.sessionless(t)
	r.killPod(t, unheard)
	r.e.RemoveFaults(t)
	r.served(t, jobs)

	lost := r.queue(t, 1, waits("killed"))[0]
	busy := r.event(t, r.pool, "it is started", isOf("job.started", lost)).Agent
	before := r.e.LastEvent(t)
	must(t, r.kubelet.Kill(r.pool, busy, "agent"))
	idle := r.event(t, r.pool, "the agent that KEDA makes for it listens", func(ev emulated.Event) bool {
		return ev.Type == "session.created" && ev.Seq > before
	}).Agent
	for _, agent := range []string{unheard, busy} {
		if _, there := r.e.Agent(t, agent); !there {
			t.Errorf("%s, which was killed, has left no ghost", agent)
		}
	}
	r.e.Advance(t, 11*time.Minute) // a lock is valid for ten at most, and a session that is not polled for five
	if ended := r.event(t, r.pool, "it ends", isOf("job.finished", lost)); ended.Result != "abandoned" {
		t.Errorf("the job whose container was killed %s", ended.Result)
	}
	r.removed(t, idle)
	r.e.Advance(t, 16*time.Minute)
	r.removed(t, unheard)
	r.removed(t, busy)
	r.nothingLeft(t)
	r.uninstall(t)
	r.madeExactly(t, 4)
	return r
}

// killPod deletes a pod without a grace period, and waits until nothing of it runs.
func (r *release) killPod(t *testing.T, name string) {
	t.Helper()
	over := r.kubelet.Over(r.pool, name)
	now := int64(0)
	must(t, r.client.CoreV1().Pods(r.pool).Delete(r.ctx, name, metav1.DeleteOptions{GracePeriodSeconds: &now}))
	select {
	case <-over:
	case <-time.After(*patience):
		t.Fatal("the pod that was deleted without grace still runs")
	}
}

// removed waits until an agent is removed.
func (r *release) removed(t *testing.T, agent string) {
	t.Helper()
	r.event(t, r.pool, agent+" is removed", func(ev emulated.Event) bool { return ev.Type == "agent.removed" && ev.Agent == agent })
}
