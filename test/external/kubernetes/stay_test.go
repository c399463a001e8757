package kubernetes

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/azptend/azptend/test/external/conformance/go/emulated"
)

// replicas is the number of long-lived agents.
const replicas = 3

// Long-lived agents: each pod has an agent with its name. They are replaced, scaled down and
// uninstalled while they have jobs, which finish. An agent that is killed leaves no ghost: the next
// one takes its name. It has no job, because the lock of a job would have to expire: that needs an
// advance of the emulator's clock, after which no agent could log on.
func (w *world) stay(kind string) func(t *testing.T) *release {
	return func(t *testing.T) *release {
		r := w.install(t, strings.ToLower(kind), values{"kind": kind, "replicas": replicas, "idleTimeout": nil})
		first := r.online(t, replicas, "")
		if kind == "statefulSet" && !slices.Equal(slices.Sorted(maps.Keys(first)), []string{"azptend-0", "azptend-1", "azptend-2"}) {
			t.Errorf("a StatefulSet's agents are named %v", slices.Collect(maps.Keys(first)))
		}
		r.ran(t, r.queue(t, 2*replicas, "true"))

		r.replace(t)
		second := r.online(t, replicas, "second")
		r.allNew(t, first, second, kind == "statefulSet")
		r.ran(t, r.queue(t, replicas, "true"))

		r.scaleDown(t)
		r.online(t, 1, "second")

		r.killContainer(t)
		if kind == "statefulSet" {
			r.killStateful(t)
		}
		r.online(t, 1, "second")
		r.ran(t, r.queue(t, 1, "true"))

		r.uninstallBusy(t)
		return r
	}
}

// online waits until there are n pods of agents, all of this revision and Ready. It checks that
// each has an online agent with its name, and that the pool has no other agent except the
// placeholder. It returns the ids of the agents.
func (r *release) online(t *testing.T, n int, round string) map[string]int {
	t.Helper()
	r.until(t, fmt.Sprintf("there are %d agents' pods, and all are Ready", n), func() bool {
		pods := r.agentPods()
		return len(pods) == n && !slices.ContainsFunc(pods, func(p *v1.Pod) bool {
			return !isReady(p) || p.DeletionTimestamp != nil || p.Annotations["round"] != round
		})
	})
	ids := map[string]int{}
	for _, a := range r.agents(t) {
		if a.Name == placeholder {
			continue
		}
		ids[a.Name] = a.ID
		if a.Status != "online" || !a.Enabled {
			t.Errorf("the agent of a pod that is Ready is %+v", a)
		}
	}
	var pods []string
	for _, p := range r.agentPods() {
		pods = append(pods, p.Name)
	}
	if agents := slices.Sorted(maps.Keys(ids)); !slices.Equal(agents, slices.Sorted(slices.Values(pods))) {
		t.Errorf("the agents are %v, and the pods %v", agents, pods)
	}
	return ids
}

func isReady(p *v1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c v1.PodCondition) bool { return c.Type == v1.PodReady && c.Status == v1.ConditionTrue })
}

// allNew checks that all agents were registered again, under the same names or under others.
func (r *release) allNew(t *testing.T, before, after map[string]int, sameNames bool) {
	t.Helper()
	for name, id := range after {
		old, known := before[name]
		if known != sameNames || old == id {
			t.Errorf("the agents were %v, and after their pods were replaced are %v", before, after)
		}
	}
}

// busy queues n jobs, and waits until they run. They end when the gate with this name opens.
func (r *release) busy(t *testing.T, n int, gate string) []int64 {
	t.Helper()
	jobs := r.queue(t, n, waits(r.pool+"-"+gate))
	r.reach(t, jobs, "job.started")
	return jobs
}

// upgrade changes a value of the installed chart.
func (r *release) upgrade(t *testing.T, value string) {
	t.Helper()
	r.helm(t, r.pool, "upgrade", "azptend", chart, "--reset-then-reuse-values", "--set", value)
}

// replace replaces all pods while each has a job. Jobs that are queued meanwhile run too.
func (r *release) replace(t *testing.T) {
	t.Helper()
	jobs, before := r.busy(t, replicas, "replaced"), r.e.LastEvent(t)
	r.upgrade(t, "podAnnotations.round=second")
	r.event(t, r.pool, "the first agent to go accepts no more jobs", func(ev emulated.Event) bool { return ev.Type == "agent.disabled" && ev.Seq > before })
	jobs = append(jobs, r.queue(t, 2, "true")...)
	r.open(t, r.pool+"-replaced")
	r.ran(t, jobs)
}

// scaleDown scales down to one agent while each has a job. The jobs of the other agents finish, and
// the next job runs on the agent that stays.
func (r *release) scaleDown(t *testing.T) {
	t.Helper()
	jobs, before := r.busy(t, replicas, "fewer"), r.e.LastEvent(t)
	r.upgrade(t, "replicas=1")
	going := map[string]bool{}
	r.until(t, "all but one of the pods are being deleted", func() bool {
		for _, p := range r.agentPods() {
			if p.DeletionTimestamp != nil {
				going[p.Name] = true
			}
		}
		return len(going) == replicas-1
	})
	for agent := range going {
		r.event(t, r.pool, agent+" accepts no more jobs", func(ev emulated.Event) bool {
			return ev.Type == "agent.disabled" && ev.Agent == agent && ev.Seq > before
		})
	}
	next := r.queue(t, 1, "true")
	r.open(t, r.pool+"-fewer")
	r.ran(t, jobs)
	if agent := r.ran(t, next)[next[0]]; going[agent] {
		t.Errorf("a job that came later was run by %s, whose pod was being deleted", agent)
	}
}

// killContainer kills an agent's container, which is restarted in its pod, with its volumes.
func (r *release) killContainer(t *testing.T) {
	t.Helper()
	name, before := r.agentPods()[0].Name, r.e.LastEvent(t)
	must(t, r.kubelet.Kill(r.pool, name, "agent"))
	r.until(t, "the container was started again", func() bool {
		statuses := r.agentPods()[0].Status.ContainerStatuses
		return len(statuses) == 1 && statuses[0].RestartCount == 1
	})
	r.succeeded(t, name, before)
}

// killStateful kills an agent's pod. The new pod has the same name and other volumes.
func (r *release) killStateful(t *testing.T) {
	t.Helper()
	name, before := r.agentPods()[0].Name, r.e.LastEvent(t)
	r.killPod(t, name)
	r.succeeded(t, name, before)
}

// succeeded waits until, after the event with this number, an agent was removed and another one
// with its name listens.
func (r *release) succeeded(t *testing.T, name string, before uint64) {
	t.Helper()
	removed := r.event(t, r.pool, "the dead agent is removed", func(ev emulated.Event) bool {
		return ev.Type == "agent.removed" && ev.Agent == name && ev.Seq > before
	})
	r.event(t, r.pool, "its successor listens", func(ev emulated.Event) bool {
		return ev.Type == "session.created" && ev.Agent == name && ev.Seq > removed.Seq
	})
}

// uninstallBusy uninstalls the chart while a job runs. The job finishes, and only the placeholder
// is left.
func (r *release) uninstallBusy(t *testing.T) {
	t.Helper()
	jobs, before := r.busy(t, 1, "uninstalled"), r.e.LastEvent(t)
	r.helm(t, r.pool, "uninstall", "azptend")
	r.event(t, r.pool, "the agent accepts no more jobs", func(ev emulated.Event) bool { return ev.Type == "agent.disabled" && ev.Seq > before })
	r.open(t, r.pool+"-uninstalled")
	r.ran(t, jobs)
	r.until(t, "no pod is left", func() bool { return len(r.podsThere()) == 0 })
	r.onlyPlaceholder(t)
	if left := containersBelowUs(t); len(left) != 0 {
		t.Errorf("of the containers there are left %v", left)
	}
	sets, err := r.client.AppsV1().StatefulSets(r.pool).List(r.ctx, metav1.ListOptions{})
	must(t, err)
	deployments, err := r.client.AppsV1().Deployments(r.pool).List(r.ctx, metav1.ListOptions{})
	must(t, err)
	if len(sets.Items)+len(deployments.Items) != 0 {
		t.Errorf("there are left %v %v", sets.Items, deployments.Items)
	}
}
