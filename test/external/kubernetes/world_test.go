package kubernetes

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	authv1 "k8s.io/api/authentication/v1"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/azptend/azptend/test/external/conformance/go/emulated"
	"github.com/azptend/azptend/test/external/kubernetes/cluster"
	"github.com/azptend/azptend/test/external/kubernetes/kubelet"
	"github.com/azptend/azptend/test/external/kubernetes/spec"
	"github.com/azptend/azptend/test/external/kubernetes/webhook"
)

// exchange is the audience of a workload's token.
const exchange = "api://AzureADTokenExchange"

type world struct {
	ctx     context.Context
	stop    context.CancelCauseFunc
	e       *emulated.Emulator
	entra   *emulated.Entra
	cluster *cluster.Cluster
	client  kubernetes.Interface
	kubelet *kubelet.Kubelet // nil with a real one
	dir     string           // directory of this run
	gate    string           // a directory that every container has at /gate
	tenant  string
	values  values    // of all releases, besides those of install
	waits   []waiting // the measurements
	asked   []*situation

	mu      sync.Mutex
	changed chan struct{}        // closed at the next change of a Job or pod
	made    map[string]time.Time // when each Job was first seen, by namespace/name
	jobs    cache.Store
	pods    cache.Store
}

// start starts everything that both tests use, but no node.
func start(t *testing.T, pools []string, heartbeats bool) *world {
	t.Helper()
	ctx, cancel := context.WithCancelCause(context.Background())
	t.Cleanup(func() { cancel(errors.New("the test is over")) })
	go func() {
		<-interrupted
		cancel(errors.New("interrupted"))
	}()
	w := &world{ctx: ctx, changed: make(chan struct{}), made: map[string]time.Time{}, dir: *keep}
	if w.dir == "" {
		w.dir = t.TempDir()
	}
	w.gate = filepath.Join(w.dir, "gate")
	for _, dir := range []string{w.gate, w.path("logs"), w.path("cluster")} {
		must(t, os.MkdirAll(dir, 0o755))
	}
	w.e = emulated.Start(t, pools...)
	w.startCluster(t, heartbeats)
	w.watch(t)
	w.startKEDA(t)
	w.stop = cancel
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) startCluster(t *testing.T, heartbeats bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, *patience)
	defer cancel()
	var err error
	w.cluster, err = cluster.Start(ctx, *bin, w.path("cluster"), heartbeats)
	must(t, err)
	t.Cleanup(w.cluster.Stop)
	w.client, err = kubernetes.NewForConfig(w.cluster.Config)
	must(t, err)
}

// startKEDA starts the operator as a workload whose identity may read pools.
func (w *world) startKEDA(t *testing.T) {
	t.Helper()
	var err error
	w.entra, err = emulated.PlayEntra()
	must(t, err)
	t.Cleanup(w.entra.Close)
	must(t, w.entra.For(w.e))
	w.entra.Translate = w.translate
	w.helm(t, "keda", "install", "crds", filepath.Join(*bin, "keda-crds"), "--create-namespace")
	_, err = w.client.CoreV1().ServiceAccounts("keda").Create(w.ctx, &v1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "keda-operator"}}, metav1.CreateOptions{})
	must(t, err)
	id := w.identity(t, "keda", "keda-operator", "*", "Reader")
	w.tenant = id.Tenant
	day := int64(24 * 3600)
	token, err := w.client.CoreV1().ServiceAccounts("keda").CreateToken(w.ctx, "keda-operator", &authv1.TokenRequest{
		Spec: authv1.TokenRequestSpec{Audiences: []string{exchange}, ExpirationSeconds: &day}}, metav1.CreateOptions{})
	must(t, err)
	file := w.path("cluster/keda-token")
	must(t, os.WriteFile(file, []byte(token.Status.Token), 0o600))
	ctx, cancel := context.WithTimeout(w.ctx, *patience)
	defer cancel()
	must(t, w.cluster.StartKEDA(ctx, []string{"AZURE_CLIENT_ID=" + id.ClientID, "AZURE_TENANT_ID=" + id.Tenant, "AZURE_AUTHORITY_HOST=" + w.entra.URL,
		"AZURE_FEDERATED_TOKEN_FILE=" + file, "SSL_CERT_FILE=" + w.entra.CA, "HTTPS_PROXY=" + w.entra.Proxy,
		"HTTP_PROXY=" + w.serveServices(t), "NO_PROXY=" + emulated.Address}))
}

// translate plays Entra ID's trust in the cluster: the API server itself reviews a token, and the
// emulator, which only knows its own cluster, issues its own token for that subject. A token that
// the API server does not know stays as it is, and is refused.
func (w *world) translate(assertion string) (string, error) {
	review, err := w.client.AuthenticationV1().TokenReviews().Create(w.ctx, &authv1.TokenReview{
		Spec: authv1.TokenReviewSpec{Token: assertion, Audiences: []string{exchange}}}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	if !review.Status.Authenticated {
		return assertion, nil
	}
	return w.e.TryProjectedToken(review.Status.User.Username)
}

// identity creates an identity for a service account, with a role on a pool.
func (w *world) identity(t *testing.T, namespace, account, pool, role string) emulated.Identity {
	t.Helper()
	id := emulated.Identity{ObjectID: uuid.NewString(), Name: namespace + "-" + account, Member: true,
		License: "express", Subject: "system:serviceaccount:" + namespace + ":" + account, Roles: map[string]string{pool: role}}
	w.e.Put(t, id)
	return w.e.Identity(t, id.ObjectID)
}

func (w *world) startKubelet(t *testing.T) {
	t.Helper()
	o := kubelet.Options{Client: w.client, Nodes: []string{"node-a", "node-b"}, Container: filepath.Join(*bin, "container"), Dir: w.path("pods"), Logs: w.path("logs"),
		Image: []spec.Mount{{Source: w.e.AgentDir(), Target: "/azp"}}, UID: 10001, GID: 10001, APIServer: w.cluster.APIServer,
		Files: []spec.Mount{{Source: emulated.Binary(), Target: "/usr/local/bin/azptend", ReadOnly: true}, {Source: w.gate, Target: "/gate", ReadOnly: true},
			{Source: w.entra.CA, Target: "/etc/ssl/certs/ca-certificates.crt", ReadOnly: true}},
		Env:      []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"},
		Identity: &webhook.Webhook{Client: w.client, Authority: w.entra.URL, Tenant: w.tenant}}
	var err error
	w.kubelet, err = kubelet.Start(w.ctx, o)
	must(t, err)
	t.Cleanup(func() { // before the cluster and the emulator are stopped
		w.stop(errors.New("the test is over"))
		w.kubelet.Wait()
	})
}

// watch stores the Jobs and pods that exist, and signals changes.
func (w *world) watch(t *testing.T) {
	t.Helper()
	factory := informers.NewSharedInformerFactory(w.client, 0)
	jobs, pods := factory.Batch().V1().Jobs().Informer(), factory.Core().V1().Pods().Informer()
	w.jobs, w.pods = jobs.GetStore(), pods.GetStore()
	change := func(o any) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if j, is := o.(*batchv1.Job); is && w.made[j.Namespace+"/"+j.Name].IsZero() {
			w.made[j.Namespace+"/"+j.Name] = time.Now()
		}
		close(w.changed)
		w.changed = make(chan struct{})
	}
	for _, informer := range []cache.SharedIndexInformer{jobs, pods} {
		_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: change, UpdateFunc: func(_, o any) { change(o) }, DeleteFunc: change})
		must(t, err)
	}
	factory.Start(w.ctx.Done())
	cache.WaitForCacheSync(w.ctx.Done(), jobs.HasSynced, pods.HasSynced)
}

// until waits for a condition, and checks it at each change of a Job or pod.
func (w *world) until(t *testing.T, what string, so func() bool) {
	t.Helper()
	late := time.After(*patience)
	for {
		w.mu.Lock()
		changed := w.changed
		w.mu.Unlock()
		if so() {
			return
		}
		select {
		case <-changed:
		case <-w.ctx.Done():
			t.Fatal(context.Cause(w.ctx))
		case <-late:
			t.Fatalf("after %v it is still not so that %s", *patience, what)
		}
	}
}

// event waits for an event of a pool, or fails after a timeout.
func (w *world) event(t *testing.T, pool, what string, match func(emulated.Event) bool) emulated.Event {
	t.Helper()
	return w.e.WaitEventFor(t, w.ctx, *patience, pool+": "+what, func(ev emulated.Event) bool { return ev.Pool == pool && match(ev) })
}

// helm runs helm in a namespace.
func (w *world) helm(t *testing.T, namespace string, args ...string) {
	t.Helper()
	c := exec.CommandContext(w.ctx, filepath.Join(*bin, "helm"), append(args, "--kubeconfig", w.cluster.Kubeconfig, "--namespace", namespace)...)
	c.Env = append(os.Environ(), "HELM_CACHE_HOME="+w.path("helm"), "HELM_CONFIG_HOME="+w.path("helm"), "HELM_DATA_HOME="+w.path("helm"))
	if said, err := c.CombinedOutput(); err != nil {
		t.Fatalf("helm %v: %v\n%s", args, err, said)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
