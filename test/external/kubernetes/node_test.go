package kubernetes

import (
	"context"
	"encoding/pem"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	admission "k8s.io/api/admissionregistration/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/azptend/azptend/test/external/conformance/go/emulated"
	"github.com/azptend/azptend/test/external/kubernetes/machine"
	"github.com/azptend/azptend/test/external/kubernetes/webhook"
)

// TestNode starts a cluster with one real node, and plays all scenes on it.
func TestNode(t *testing.T) {
	if *bin == "" || *images == "" {
		t.Skip("make test-node runs it")
	}
	must(t, machine.Enter())
	emulated.Address = machine.Address // pods reach it
	began := time.Now()
	w := start(t, []string{"scaled", "asked", "nodedrain", "registered", "restarted", "probed", "hooked", "volume", "docker", "evicted"}, true)
	w.startNode(t)
	t.Logf("the node is ready after %v; logs are in %s", time.Since(began).Round(time.Millisecond), w.dir)
	rows := play(t, []scene{
		{"KEDA's ScaledJobs, from zero and back", w.scaleReal},
		{"KEDA asks the keeper, and one of two keepers is deleted", w.asksReal},
		{"`kubectl drain` in the middle of KEDA's jobs", w.drainReal},
		{"an init container registers, and the jobs' container has no identity", w.initRegisters},
		{"`kubectl rollout restart` in the middle of jobs", w.restart},
		{"startup, readiness and liveness probes of an azptend that is stopped", w.probes},
		{"a preStop hook drains an azptend that is not PID 1", w.hook},
		{"a StatefulSet with a volume: evicted in the middle of a job, then killed", w.volume},
		{"Docker for jobs, as a native sidecar", w.docker},
		{"the kubelet evicts a pod whose job fills its volume", w.evicted}, // the last one, because it advances the emulator's clock
	})
	if *page != "" && rows != nil {
		writePage(t, *page, "node", w.preamble(t, "test-node", "a real kubelet with "+containerdVersion(t))+table(rows))
	}
}

// startNode starts the node, and Azure's webhook, which gives pods their identity. All releases use
// the images that test/external/engine has built.
func (w *world) startNode(t *testing.T) {
	t.Helper()
	w.startWebhook(t)
	ctx, cancel := context.WithTimeout(w.ctx, *patience)
	defer cancel()
	must(t, w.cluster.StartNode(ctx, w.client, *images))
	w.values = values{
		"image":             values{"repository": "localhost/agent", "tag": "13"},
		"keep":              values{"image": values{"repository": "localhost/azptend-keep", "tag": "latest"}},
		"extraVolumes":      []v1.Volume{{Name: "gate", VolumeSource: v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: w.gate}}}},
		"extraVolumeMounts": []v1.VolumeMount{{Name: "gate", MountPath: "/gate", ReadOnly: true}},
	}
}

func (w *world) startWebhook(t *testing.T) {
	t.Helper()
	server := httptest.NewTLSServer(&webhook.Webhook{Client: w.client, Authority: w.entra.URL, Tenant: w.tenant, CA: w.entra.CA})
	t.Cleanup(server.Close)
	none, fail := admission.SideEffectClassNone, admission.Fail
	_, err := w.client.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(w.ctx, &admission.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "identity"},
		Webhooks: []admission.MutatingWebhook{{
			Name:         "identity.azptend.test",
			ClientConfig: admission.WebhookClientConfig{URL: &server.URL, CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})},
			Rules: []admission.RuleWithOperations{{Operations: []admission.OperationType{admission.Create},
				Rule: admission.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}}}},
			ObjectSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"azure.workload.identity/use": "true"}},
			FailurePolicy:  &fail, SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
		}}}, metav1.CreateOptions{})
	must(t, err)
}

// command is a command of kubectl in the release's namespace.
func (r *release) command(args ...string) *exec.Cmd {
	return exec.CommandContext(r.ctx, filepath.Join(*bin, "kubectl"), append(args, "--kubeconfig", r.cluster.Kubeconfig, "--namespace", r.pool)...)
}

// kubectl runs such a command.
func (r *release) kubectl(t *testing.T, args ...string) {
	t.Helper()
	if said, err := r.command(args...).CombinedOutput(); err != nil {
		t.Fatalf("kubectl %v: %v\n%s", args, err, said)
	}
}

// signal sends a signal to PID 1 of a pod's container.
func (r *release) signal(t *testing.T, p *v1.Pod, signal syscall.Signal) {
	t.Helper()
	_, id, _ := strings.Cut(p.Status.ContainerStatuses[0].ContainerID, "://")
	tasks, err := exec.CommandContext(r.ctx, "ctr", "--namespace", "k8s.io", "tasks", "list").Output()
	must(t, err)
	for line := range strings.Lines(string(tasks)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == id {
			pid, err := strconv.Atoi(fields[1])
			must(t, err)
			must(t, syscall.Kill(pid, signal))
			return
		}
	}
	t.Fatalf("containerd does not run %s of %s:\n%s", id, p.Name, tasks)
}

func containerdVersion(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("containerd", "--version").Output()
	must(t, err)
	return "containerd " + strings.Fields(string(out))[2]
}
