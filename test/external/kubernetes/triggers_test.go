package kubernetes

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/azptend/azptend/test/external/conformance/go/emulated"
)

// KEDA's triggers. Each has a pool of this name.
const (
	pipelines = "azure-pipelines"
	keeper    = "metrics-api"
)

// askInterval is KEDA's polling interval for both triggers, in seconds: the chart's default for
// metrics-api.
const askInterval = 2

// situation is a row of the tables: the same jobs, with each trigger.
type situation struct {
	what   string
	queued int
	made   map[string]int             // Kubernetes Jobs, by trigger
	waits  map[string][]time.Duration // from a job's queueing to its start; none if the situation ends before
}

// group is a value of keep.groups.
type group struct {
	Name         string            `json:"name"`
	Max          int               `json:"max"`
	Capabilities map[string]string `json:"capabilities,omitempty"`
	Warm         []map[string]int  `json:"warm,omitempty"`
}

// asks plays the same jobs and the same faults for one of KEDA's triggers.
func (w *world) asks(trigger string) func(t *testing.T) *release {
	return func(t *testing.T) *release {
		r := w.installTrigger(t, trigger, trigger)
		r.oneByOne(t, "20 jobs, one at a time", 20, func(map[string]bool) { r.allEnded(t) })
		r.atOnce(t, "50 jobs at once", 50, 50)
		r.keeperKilled(t)
		r.noKeeper(t)
		r.slow(t)
		r.away(t)
		r.overlap(t)
		if trigger == keeper {
			r.warm(t)
		}
		made := len(r.madeJobs())
		r.uninstall(t)
		r.onlyPlaceholder(t)
		r.served(t, r.queued)
		r.madeExactly(t, made)
		return r
	}
}

// installTrigger installs the chart with a trigger.
func (w *world) installTrigger(t *testing.T, pool, trigger string) *release {
	t.Helper()
	w.keeperToken(t, pool)
	keda, keep := values{"trigger": trigger, "pollingInterval": askInterval}, values{"token": values{"existingSecret": "keep"}}
	if trigger == keeper {
		keda["group"], keep["groups"] = "linux", []group{{Name: "linux", Max: 100}}
	}
	return w.install(t, pool, values{"keda": keda, "keep": keep})
}

// note adds what happened in a situation to the table. want is the number of Kubernetes Jobs, -1 if
// it is only measured.
func (r *release) note(t *testing.T, what string, ids []int64, made, want int, started bool) {
	t.Helper()
	if want >= 0 && made != want {
		t.Errorf("%s: KEDA made %d Kubernetes Jobs, want %d", what, made, want)
	}
	i := slices.IndexFunc(r.asked, func(s *situation) bool { return s.what == what })
	if i < 0 {
		i = len(r.asked)
		r.asked = append(r.asked, &situation{what, len(ids), map[string]int{}, map[string][]time.Duration{}})
	}
	r.asked[i].made[r.pool] = made
	if started {
		r.asked[i].waits[r.pool] = r.toStart(t, ids)
	}
	t.Logf("%s: %d Kubernetes Jobs for %d jobs", what, made, len(ids))
}

// toStart returns how long each job waited from its queueing to its start.
func (r *release) toStart(t *testing.T, ids []int64) (out []time.Duration) {
	t.Helper()
	queued := map[int64]time.Time{}
	for _, ev := range r.e.Events(t) {
		switch {
		case !slices.Contains(ids, ev.RequestID):
		case ev.Type == "job.queued":
			queued[ev.RequestID] = ev.Time
		case ev.Type == "job.started":
			out = append(out, ev.Time.Sub(queued[ev.RequestID]))
		}
	}
	if len(out) != len(ids) {
		t.Errorf("of %d jobs %d were started", len(ids), len(out))
	}
	return out
}

// unfinished returns the names of the Kubernetes Jobs that have not ended.
func (r *release) unfinished() (out []string) {
	for _, j := range r.jobsThere() {
		if !slices.ContainsFunc(j.Status.Conditions, func(c batchv1.JobCondition) bool {
			return c.Status == v1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed)
		}) {
			out = append(out, j.Name)
		}
	}
	return out
}

// allEnded waits until all Kubernetes Jobs have ended.
func (r *release) allEnded(t *testing.T) {
	t.Helper()
	r.until(t, "all Kubernetes Jobs have ended", func() bool { return len(r.unfinished()) == 0 })
}

// oneByOne queues n jobs, each when ready returns, which gets the agents that have run one. The jobs
// differ in length, so that they are queued at all times between two polls.
func (r *release) oneByOne(t *testing.T, what string, n int, ready func(used map[string]bool)) {
	t.Helper()
	var ids []int64
	used := map[string]bool{}
	ready(used)
	before := len(r.madeJobs())
	for i := range n {
		job := r.queue(t, 1, fmt.Sprintf("sleep %.1f", float64(i*askInterval)/float64(n)))
		for _, agent := range r.ran(t, job) {
			used[agent] = true
		}
		ids = append(ids, job...)
		ready(used)
	}
	r.note(t, what, ids, len(r.madeJobs())-before, n, true)
}

// atOnce queues n jobs. want is the number of Kubernetes Jobs, -1 if it is only measured.
func (r *release) atOnce(t *testing.T, what string, n, want int) {
	t.Helper()
	before := len(r.madeJobs())
	ids := r.queue(t, n, "true")
	r.served(t, ids)
	r.allEnded(t)
	r.note(t, what, ids, len(r.madeJobs())-before, want, true)
}

// keepers returns the pods of the keepers.
func (r *release) keepers() []*v1.Pod {
	return slices.DeleteFunc(r.podsThere(), func(p *v1.Pod) bool { return !strings.HasPrefix(p.Labels["app.kubernetes.io/component"], "keep") })
}

// keeperKilled kills a keeper when jobs are queued. With metrics-api there is a second one.
func (r *release) keeperKilled(t *testing.T) {
	t.Helper()
	must(t, r.kubelet.Kill(r.pool, r.keepers()[0].Name, "keep"))
	r.atOnce(t, "5 jobs at once, and one keeper is killed", 5, 5)
}

// noKeeper queues jobs while there is no keeper, and while another job runs. With metrics-api KEDA
// then makes no Kubernetes Job and deletes none, until a keeper is back.
func (r *release) noKeeper(t *testing.T) {
	t.Helper()
	scale := func(replicas string) {
		r.kubectl(t, "scale", "deployment", "--selector", "app.kubernetes.io/component in (keep, keep-scale)", "--replicas", replicas)
	}
	want := map[string]int{pipelines: 3, keeper: 0}[r.pool]
	r.outage(t, "3 jobs while there is no keeper", want, func() {
		scale("0")
		r.until(t, "no keeper is left", func() bool { return len(r.keepers()) == 0 })
	}, func() { scale("1") })
}

// away queues jobs while Azure DevOps lists no jobs.
func (r *release) away(t *testing.T) {
	t.Helper()
	r.outage(t, "3 jobs while Azure DevOps answers 503", 0, func() {
		r.e.Break(t, emulated.Fault{Method: http.MethodGet, Path: `/jobrequests\?`, Status: http.StatusServiceUnavailable})
	}, func() { r.e.RemoveFaults(t) })
}

// slow queues jobs while each list of jobs takes five seconds. KEDA waits for three. The keeper
// answers from its last look. That look may show a job that has ended since, so KEDA can make more
// Kubernetes Jobs than there are jobs: their agents exit at the idle timeout.
func (r *release) slow(t *testing.T) {
	t.Helper()
	const what = "5 jobs at once, and Azure DevOps lists jobs in 5 s"
	r.e.Break(t, emulated.Fault{Method: http.MethodGet, Path: `/jobrequests\?`, Delay: "5s"})
	if r.pool == keeper {
		r.atOnce(t, what, 5, -1)
		r.e.RemoveFaults(t)
		return
	}
	before, failed := len(r.madeJobs()), r.failures(t)
	ids := r.queue(t, 5, "true")
	r.fails(t, failed+3)
	r.note(t, what, ids, len(r.madeJobs())-before, 0, false)
	r.e.RemoveFaults(t)
	r.served(t, ids)
}

// outage queues three jobs between begin and end, while another job runs. If KEDA should make want=0
// Kubernetes Jobs for them, it waits until KEDA has failed to ask several times, and has said so.
func (r *release) outage(t *testing.T, what string, want int, begin, end func()) {
	t.Helper()
	gate := strconv.Itoa(len(r.queued))
	running := r.busy(t, 1, gate)
	r.until(t, "only its Kubernetes Job is left", func() bool { return len(r.unfinished()) == 1 })
	old, before := r.unfinished()[0], len(r.madeJobs())
	begin()
	failed := r.failures(t)
	ids := r.queue(t, 3, "true")
	if want > 0 {
		r.served(t, ids)
	} else {
		r.kubectl(t, "wait", "scaledjob/azptend", "--for=condition=Ready=false", "--timeout", patience.String())
		r.fails(t, failed+3)
	}
	r.note(t, what, ids, len(r.madeJobs())-before, want, false)
	if !slices.Contains(r.unfinished(), old) {
		t.Errorf("%s: the Kubernetes Job of the job that runs was deleted", what)
	}
	end()
	r.served(t, ids)
	r.kubectl(t, "wait", "scaledjob/azptend", "--for=condition=Ready=true", "--timeout", patience.String())
	r.open(t, r.pool+"-"+gate)
	r.served(t, running)
	r.allEnded(t)
	if made := len(r.madeJobs()) - before; made != 3 {
		t.Errorf("%s: in the end KEDA made %d Kubernetes Jobs, want 3", what, made)
	}
}

// failures returns how often KEDA has failed to ask for the number of jobs.
func (r *release) failures(t *testing.T) int {
	t.Helper()
	log, err := os.ReadFile(r.path("cluster/keda-operator.log"))
	must(t, err)
	return bytes.Count(log, []byte("Error getting scaler metrics and activity"))
}

// fails waits until KEDA has failed so often.
func (r *release) fails(t *testing.T, often int) {
	t.Helper()
	for late := time.Now().Add(*patience); r.failures(t) < often; {
		if r.ctx.Err() != nil || time.Now().After(late) {
			t.Fatalf("KEDA has failed to ask %d times, want %d", r.failures(t), often)
		}
		time.Sleep(100 * time.Millisecond) // a log has no event to wait for
	}
}

// overlap queues 50 jobs that the agents of two ScaledJobs could run. They run until all of them
// have started. The second ScaledJob is a release of its own, without a keeper.
func (r *release) overlap(t *testing.T) {
	t.Helper()
	more, want := []string{"--set", "serviceAccount.create=false,keep.enabled=false,capabilities.gpu=a100", "--set", "keep.groups=null"}, -1
	if r.pool == keeper {
		r.regroup(t, group{Name: "linux", Max: 30}, group{Name: "gpu", Max: 30, Capabilities: map[string]string{"gpu": "a100"}})
		service, err := r.client.CoreV1().Services(r.pool).Get(r.ctx, "azptend-keep", metav1.GetOptions{})
		must(t, err)
		url := fmt.Sprintf("http://azptend-keep.%s.svc:%d", r.pool, service.Spec.Ports[0].Port)
		more, want = append(more, "--set", "keda.group=gpu,keda.keeperURL="+url+",keep.scaleToken.existingSecret=keep"), 50
	}
	r.helm(t, r.pool, append([]string{"install", "gpu", chart, "--values", r.path("values-" + r.pool + ".json")}, more...)...)
	r.kubectl(t, "wait", "scaledjob/gpu-azptend", "--for=condition=Ready=true", "--timeout", patience.String())
	before := len(r.madeJobs())
	ids := r.queue(t, 50, waits(r.pool+"-overlap"))
	r.reach(t, ids, "job.started")
	r.open(t, r.pool+"-overlap")
	r.served(t, ids)
	r.allEnded(t) // those without a job at their idle timeout
	r.note(t, "50 jobs at once, and two ScaledJobs could run them", ids, len(r.madeJobs())-before, want, true)
	r.helm(t, r.pool, "uninstall", "gpu")
}

// regroup changes the groups, and waits until both keepers have them. The idle timeout is the
// chart's default, so that warm agents stay.
func (r *release) regroup(t *testing.T, groups ...group) {
	t.Helper()
	b, err := json.Marshal(groups)
	must(t, err)
	r.helm(t, r.pool, "upgrade", "azptend", chart, "--reset-then-reuse-values", "--set-json", "keep.groups="+string(b),
		"--set", "idleTimeout=5m", "--wait", "--timeout", patience.String())
}

// warm queues jobs one at a time while three agents wait for jobs. Each job's agent is replaced.
func (r *release) warm(t *testing.T) {
	t.Helper()
	before := r.e.LastEvent(t)
	r.regroup(t, group{Name: "linux", Max: 100, Warm: []map[string]int{{"count": 3}}})
	r.oneByOne(t, "20 jobs, one at a time, and 3 agents are warm", 20, func(used map[string]bool) {
		idle := map[string]bool{}
		r.event(t, r.pool, "three agents listen", func(ev emulated.Event) bool {
			if ev.Type == "session.created" && ev.Seq > before && !used[ev.Agent] {
				idle[ev.Agent] = true
			}
			return len(idle) == 3
		})
	})
}

// triggerTables are the tables of all situations.
func (w *world) triggerTables() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nBoth of KEDA's triggers in the same run, with the same jobs and a polling interval of %d s:\n\n", askInterval)
	b.WriteString("| what happened | pipeline jobs queued | Kubernetes Jobs made: `azure-pipelines` | `metrics-api` |\n|---|---|---|---|\n")
	for _, s := range w.asked {
		fmt.Fprintf(&b, "| %s | %d |", s.what, s.queued)
		for _, trigger := range []string{pipelines, keeper} {
			if made, is := s.made[trigger]; is {
				fmt.Fprintf(&b, " %d |", made)
			} else {
				b.WriteString(" – |")
			}
		}
		b.WriteString("\n")
	}
	b.WriteString("\nFrom a job's queueing to its start, in seconds:\n\n| | `azure-pipelines`: p50 | p95 | worst | `metrics-api`: p50 | p95 | worst |\n|---|---|---|---|---|---|---|\n")
	for _, s := range w.asked {
		if len(s.waits) == 0 {
			continue
		}
		fmt.Fprintf(&b, "| %s |", s.what)
		for _, trigger := range []string{pipelines, keeper} {
			if all := slices.Sorted(slices.Values(s.waits[trigger])); len(all) > 0 {
				fmt.Fprintf(&b, " %.2f | %.2f | %.2f |", median(all).Seconds(), all[(len(all)*95+99)/100-1].Seconds(), all[len(all)-1].Seconds())
			} else {
				b.WriteString(" – | – | – |")
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}
