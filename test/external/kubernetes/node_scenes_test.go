package kubernetes

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/azptend/azptend/test/external/conformance/go/emulated"
	"github.com/azptend/azptend/test/external/kubernetes/cluster"
)

// One job, then three at once. The keeper is the image from scratch, with its probes over HTTP.
func (w *world) scaleReal(t *testing.T) *release {
	w.keeperToken(t, "scaled")
	r := w.install(t, "scaled", values{"keep": values{"token": values{"existingSecret": "keep"}}})
	r.served(t, r.queue(t, 1, "true"))
	r.served(t, r.queue(t, 3, "true"))
	r.until(t, "the keeper is Ready", func() bool {
		return slices.ContainsFunc(r.podsThere(), func(p *v1.Pod) bool { return p.Labels["app.kubernetes.io/component"] == "keep" && isReady(p) })
	})
	r.endsWith(t, 4)
	return r
}

// keeperToken creates a Secret with the keeper's token, and the one that KEDA sends. With a token, the keeper listens on its
// pod's address.
func (w *world) keeperToken(t *testing.T, namespace string) {
	t.Helper()
	_, err := w.client.CoreV1().Namespaces().Create(w.ctx, &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	must(t, err)
	_, err = w.client.CoreV1().Secrets(namespace).Create(w.ctx, &v1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "keep"},
		StringData: map[string]string{"token": "a-token-of-the-keeper-s-page", "scaleToken": "a-token-that-keda-sends"}}, metav1.CreateOptions{})
	must(t, err)
}

// KEDA asks the keeper, which two pods run. One of them is deleted.
func (w *world) asksReal(t *testing.T) *release {
	r := w.installTrigger(t, "asked", keeper)
	r.served(t, r.queue(t, 1, "true"))
	r.kubectl(t, "delete", "pod", r.keepers()[0].Name, "--wait=false")
	r.served(t, r.queue(t, 3, "true"))
	r.endsWith(t, 4)
	return r
}

// kubectl drain waits for the jobs of the node. Their Kubernetes Jobs end Complete. Then the node
// takes the keeper and new jobs again.
func (w *world) drainReal(t *testing.T) *release {
	r := w.install(t, "nodedrain", values{"scaledJob": values{"ttlSecondsAfterFinished": nil}})
	jobs := r.busy(t, 2, "drained")
	var agents []string
	for _, p := range r.agentPods() {
		agents = append(agents, p.Name)
	}
	drain := r.command("drain", cluster.Node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout", patience.String())
	must(t, drain.Start())
	for _, agent := range agents {
		r.event(t, r.pool, agent+" accepts no more jobs", func(ev emulated.Event) bool { return ev.Type == "agent.disabled" && ev.Agent == agent })
	}
	later := r.queue(t, 1, "true") // it waits for a node
	r.open(t, r.pool+"-drained")
	r.served(t, jobs)
	must(t, drain.Wait())
	r.kubectl(t, "uncordon", cluster.Node)
	r.served(t, later)
	r.until(t, "all Kubernetes Jobs are Complete", func() bool {
		return len(r.jobsThere()) == 3 && !slices.ContainsFunc(r.jobsThere(), func(j *batchv1.Job) bool {
			return !slices.ContainsFunc(j.Status.Conditions, func(c batchv1.JobCondition) bool { return c.Type == batchv1.JobComplete })
		})
	})
	r.uninstallAll(t)
	r.madeExactly(t, 3)
	return r
}

// uninstallAll uninstalls the chart and checks that only the placeholder is left.
func (r *release) uninstallAll(t *testing.T) {
	t.Helper()
	r.uninstall(t)
	r.onlyPlaceholder(t)
}

// kubectl rollout restart replaces all pods of a Deployment while each has a job.
func (w *world) restart(t *testing.T) *release {
	r := w.install(t, "restarted", values{"kind": "deployment", "replicas": 2, "idleTimeout": nil})
	first := r.online(t, 2, "")
	jobs, before := r.busy(t, 2, "restarted"), r.e.LastEvent(t)
	r.kubectl(t, "rollout", "restart", "deployment/azptend")
	r.event(t, r.pool, "the first agent to go accepts no more jobs", func(ev emulated.Event) bool { return ev.Type == "agent.disabled" && ev.Seq > before })
	jobs = append(jobs, r.queue(t, 2, "true")...)
	r.open(t, r.pool+"-restarted")
	r.ran(t, jobs)
	r.until(t, "none of the first pods is left", func() bool {
		return !slices.ContainsFunc(r.agentPods(), func(p *v1.Pod) bool { return first[p.Name] != 0 })
	})
	r.allNew(t, first, r.online(t, 2, ""), false)
	r.uninstallAll(t)
	return r
}

// grace is the time that a stuck azptend gets. The pod's is 300 s.
const grace = 3

// An azptend that is stopped (SIGSTOP) is not Ready, and is again when it continues. If it stays
// stopped, the liveness probe kills it long before the pod's grace period, and its successor in the
// same pod replaces its agent. So does the startup probe.
func (w *world) probes(t *testing.T) *release {
	r := w.install(t, "probed", values{"kind": "deployment", "replicas": 1, "idleTimeout": nil,
		"readinessProbe": values{"periodSeconds": 1, "timeoutSeconds": 3},
		"livenessProbe":  values{"periodSeconds": 5, "timeoutSeconds": 3, "failureThreshold": 3, "terminationGracePeriodSeconds": grace},
		"startupProbe":   values{"periodSeconds": 1, "timeoutSeconds": 3, "failureThreshold": 5, "terminationGracePeriodSeconds": grace, "initialDelaySeconds": 15}})
	r.online(t, 1, "")
	pod := r.agentPods()[0]
	r.signal(t, pod, syscall.SIGSTOP)
	r.until(t, "the pod is not Ready", func() bool { return !isReady(r.agentPods()[0]) })
	r.signal(t, pod, syscall.SIGCONT)
	r.until(t, "the pod is Ready again", func() bool { return isReady(r.agentPods()[0]) })
	r.ran(t, r.queue(t, 1, "true"))

	r.stuck(t, pod, 1, "failed liveness probe")
	// The new azptend is stopped before its startup probe begins.
	r.until(t, "the container runs again", func() bool { return r.agentPods()[0].Status.ContainerStatuses[0].State.Running != nil })
	r.stuck(t, r.agentPods()[0], 2, "failed startup probe")
	r.online(t, 1, "")
	r.ran(t, r.queue(t, 1, "true"))
	r.uninstallAll(t)
	return r
}

// stuck stops a pod's azptend, waits until the container was restarted that many times, and checks
// why, and that it did not take the pod's grace period.
func (r *release) stuck(t *testing.T, pod *v1.Pod, restarts int32, why string) {
	t.Helper()
	r.signal(t, pod, syscall.SIGSTOP)
	r.until(t, "the stuck container was restarted", func() bool { return r.agentPods()[0].Status.ContainerStatuses[0].RestartCount == restarts })
	events, err := r.client.CoreV1().Events(r.pool).List(r.ctx, metav1.ListOptions{FieldSelector: "reason=Killing,involvedObject.name=" + pod.Name})
	must(t, err)
	if !slices.ContainsFunc(events.Items, func(e v1.Event) bool { return strings.Contains(e.Message, why) }) {
		t.Errorf("no event says that the container %s: %v", why, events.Items)
	}
	if ended := r.agentPods()[0].Status.ContainerStatuses[0].LastTerminationState.Terminated; ended == nil || ended.ExitCode != 137 {
		t.Errorf("the stuck container ended with %+v, not by SIGKILL", ended)
	}
}

// A shell is PID 1, which ignores SIGTERM. The hook of docs/probes.md drains azptend.
func (w *world) hook(t *testing.T) *release {
	r := w.install(t, "hooked", values{"kind": "deployment", "replicas": 0, "idleTimeout": nil})
	d, err := r.client.AppsV1().Deployments(r.pool).Get(r.ctx, "azptend", metav1.GetOptions{})
	must(t, err)
	template := d.Spec.Template
	container := &template.Spec.Containers[0]
	container.Command = []string{"sh", "-c", "azptend run; exit $?"}
	container.Lifecycle = &v1.Lifecycle{PreStop: &v1.LifecycleHandler{Exec: &v1.ExecAction{Command: []string{"azptend", "drain", "--terminating", "--wait"}}}}
	_, err = r.client.CoreV1().Pods(r.pool).Create(r.ctx, &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "hooked", Labels: template.Labels, Annotations: template.Annotations}, Spec: template.Spec}, metav1.CreateOptions{})
	must(t, err)
	r.online(t, 1, "")
	jobs := r.busy(t, 1, "ended")
	must(t, r.client.CoreV1().Pods(r.pool).Delete(r.ctx, "hooked", metav1.DeleteOptions{}))
	r.event(t, r.pool, "the agent accepts no more jobs", func(ev emulated.Event) bool { return ev.Type == "agent.disabled" })
	r.open(t, r.pool+"-ended")
	r.ran(t, jobs)
	r.removed(t, "hooked")
	r.until(t, "the pod is gone", func() bool { return len(r.agentPods()) == 0 })
	r.uninstallAll(t)
	return r
}

// The agent's root is on a volume of the node, which outlives its pod. An evicted pod finishes its
// job. A pod that is killed leaves an agent, which the next pod replaces.
func (w *world) volume(t *testing.T) *release {
	claims := w.localVolume(t)
	r := w.install(t, "volume", values{"kind": "statefulSet", "replicas": 1, "idleTimeout": nil, "statefulSet": values{"volumeClaimTemplates": claims}})
	first := r.online(t, 1, "")
	r.ran(t, r.queue(t, 1, `echo kept > "$AGENT_WORKFOLDER/kept"`))
	jobs := r.busy(t, 1, "evicted")
	must(t, r.client.PolicyV1().Evictions(r.pool).Evict(r.ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: "azptend-0", Namespace: r.pool}}))
	r.event(t, r.pool, "the agent accepts no more jobs", func(ev emulated.Event) bool { return ev.Type == "agent.disabled" })
	r.open(t, r.pool+"-evicted")
	r.ran(t, jobs)
	r.removed(t, "azptend-0")
	r.until(t, "the pod was replaced", func() bool { return len(r.agentPods()) == 1 && r.agentPods()[0].DeletionTimestamp == nil })
	r.allNew(t, first, r.online(t, 1, ""), true)
	r.ran(t, r.queue(t, 1, `grep kept "$AGENT_WORKFOLDER/kept"`))

	before, now := r.e.LastEvent(t), int64(0)
	must(t, r.client.CoreV1().Pods(r.pool).Delete(r.ctx, "azptend-0", metav1.DeleteOptions{GracePeriodSeconds: &now}))
	r.succeeded(t, "azptend-0", before)
	r.ran(t, r.queue(t, 1, `grep kept "$AGENT_WORKFOLDER/kept"`))
	r.uninstallAll(t)
	return r
}

// localVolume creates a volume on the node, and returns the claim of the agent's root.
func (w *world) localVolume(t *testing.T) []v1.PersistentVolumeClaim {
	t.Helper()
	class, mode := "local", storagev1.VolumeBindingWaitForFirstConsumer
	_, err := w.client.StorageV1().StorageClasses().Create(w.ctx, &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: class},
		Provisioner: "kubernetes.io/no-provisioner", VolumeBindingMode: &mode}, metav1.CreateOptions{})
	must(t, err)
	size := v1.ResourceList{v1.ResourceStorage: resource.MustParse("1Gi")}
	_, err = w.client.CoreV1().PersistentVolumes().Create(w.ctx, &v1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "disk"}, Spec: v1.PersistentVolumeSpec{
		Capacity: size, AccessModes: []v1.PersistentVolumeAccessMode{v1.ReadWriteOnce}, StorageClassName: class,
		PersistentVolumeSource: v1.PersistentVolumeSource{Local: &v1.LocalVolumeSource{Path: t.TempDir()}},
		NodeAffinity: &v1.VolumeNodeAffinity{Required: &v1.NodeSelector{NodeSelectorTerms: []v1.NodeSelectorTerm{{MatchExpressions: []v1.NodeSelectorRequirement{
			{Key: v1.LabelHostname, Operator: v1.NodeSelectorOpIn, Values: []string{cluster.Node}}}}}}}}}, metav1.CreateOptions{})
	must(t, err)
	return []v1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "agent-root"}, Spec: v1.PersistentVolumeClaimSpec{
		AccessModes: []v1.PersistentVolumeAccessMode{v1.ReadWriteOnce}, StorageClassName: &class, Resources: v1.VolumeResourceRequirements{Requests: size}}}}
}

// A job builds and runs a container with its pod's own daemon, and mounts its work directory.
// Docker's network needs a firewall, which is left out.
func (w *world) docker(t *testing.T) *release {
	r := w.install(t, "docker", values{"image": values{"repository": "localhost/agent-docker", "tag": "node"},
		"dind": values{"enabled": true, "image": values{"repository": "localhost/dind", "tag": "node"}, "extraArgs": []string{"--iptables=false", "--bridge=none"}}})
	r.served(t, r.queue(t, 1, `set -e
mkdir -p root/bin && cp /bin/sh root/bin && for f in $(ldd /bin/sh | grep -o '/[^ ]*'); do mkdir -p "root$(dirname $f)" && cp -L $f "root$f"; done
tar -C root -c . | docker import - shell
echo from the agent > file
docker run --rm --network none -v "$PWD:/here" shell /bin/sh -c 'read line < /here/file && echo "$line, and back" > /here/answer'
grep 'from the agent, and back' answer`))
	r.endsWith(t, 1)
	return r
}

// The kubelet evicts a pod with a volume that is too large. It gives azptend a second, so the job is
// lost and the agent is a ghost, which the keeper removes.
func (w *world) evicted(t *testing.T) *release {
	r := w.install(t, "evicted", values{"tmp": values{"volume": values{"emptyDir": values{"sizeLimit": "16Mi"}}}})
	lost := r.queue(t, 1, "head -c 64M /dev/zero > /tmp/large; "+waits("never"))[0]
	agent := r.event(t, r.pool, "it is started", isOf("job.started", lost)).Agent
	r.until(t, "the pod is evicted", func() bool {
		return slices.ContainsFunc(r.agentPods(), func(p *v1.Pod) bool { return p.Name == agent && p.Status.Reason == "Evicted" })
	})
	idle := r.event(t, r.pool, "the agent that KEDA makes for the lost job listens", func(ev emulated.Event) bool {
		return ev.Type == "session.created" && ev.Agent != agent
	}).Agent
	r.e.Advance(t, 11*time.Minute) // a lock is valid for ten at most
	if ended := r.event(t, r.pool, "it ends", isOf("job.finished", lost)); ended.Result != "abandoned" {
		t.Errorf("the job whose pod was evicted %s", ended.Result)
	}
	r.removed(t, idle)
	r.e.Advance(t, 16*time.Minute)
	r.removed(t, agent)
	r.uninstallAll(t)
	return r
}
