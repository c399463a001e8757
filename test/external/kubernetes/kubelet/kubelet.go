// Package kubelet is a small kubelet and scheduler for tests. It binds each pod to one of its nodes
// and runs the pod's containers as processes of this machine, each in a mount, process id and host
// name namespace. All of them share this machine's network, where each pod has a loopback address of its own. Probes, signals, grace periods,
// restarts, statuses and volumes work like those of a kubelet, as far as azptend's chart needs
// them. All images are the same one, Options.Image, whatever name a pod uses.
package kubelet

import (
	"context"
	"fmt"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/azptend/azptend/test/external/kubernetes/spec"
	"github.com/azptend/azptend/test/external/kubernetes/webhook"
)

// Options configure a kubelet.
type Options struct {
	Client    kubernetes.Interface
	Nodes     []string         // the simulated nodes; pods are bound in turn
	Container string           // the program that starts a container (test/external/kubernetes/container)
	Dir       string           // directory for the pods' volumes
	Logs      string           // directory for the containers' output
	Image     []spec.Mount     // the image's folders
	Files     []spec.Mount     // the image's single files, read-only
	Env       []string         // the image's environment
	UID, GID  int              // the image's user
	APIServer string           // host:port, which the pods get
	Identity  *webhook.Webhook // injects the settings of a workload identity; nil: no webhook
}

// Kubelet runs pods until its context ends.
type Kubelet struct {
	Options
	mu        sync.Mutex
	pods      map[types.UID]*pod
	started   map[string]time.Time // by namespace/pod/container
	running   sync.WaitGroup
	bound     int
	addresses int // of pods so far
}

// Start creates the nodes and starts the kubelet. All containers are killed when ctx ends. Wait
// waits for that.
func Start(ctx context.Context, o Options) (*Kubelet, error) {
	k := &Kubelet{Options: o, pods: map[types.UID]*pod{}, started: map[string]time.Time{}}
	for _, name := range o.Nodes {
		if err := k.makeNode(ctx, name); err != nil {
			return nil, err
		}
	}
	factory := informers.NewSharedInformerFactory(o.Client, 0)
	informer := factory.Core().V1().Pods().Informer()
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { k.podChanged(ctx, o.(*v1.Pod)) },
		UpdateFunc: func(_, o any) { k.podChanged(ctx, o.(*v1.Pod)) },
		DeleteFunc: func(o any) { k.podDeleted(o) },
	})
	if err != nil {
		return nil, err
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return nil, fmt.Errorf("cannot watch pods: %w", context.Cause(ctx))
	}
	return k, nil
}

// Wait waits until no container runs.
func (k *Kubelet) Wait() { k.running.Wait() }

// Over is closed when nothing of a pod runs any more. It is nil if the kubelet has no such pod.
func (k *Kubelet) Over(namespace, name string) <-chan struct{} {
	if p := k.named(namespace, name); p != nil {
		return p.over
	}
	return nil
}

// Kill kills a container's process, and so all processes of the container, like a node that runs
// out of memory.
func (k *Kubelet) Kill(namespace, name, container string) error {
	p := k.named(namespace, name)
	if p == nil {
		return fmt.Errorf("the kubelet has no pod %s/%s", namespace, name)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.containers {
		if c.Name == container && c.state.Running != nil {
			return c.cmd.Process.Kill()
		}
	}
	return fmt.Errorf("no container %s runs in the pod %s/%s", container, namespace, name)
}

func (k *Kubelet) named(namespace, name string) *pod {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.pods {
		if p.v1.Namespace == namespace && p.v1.Name == name {
			return p
		}
	}
	return nil
}

// StartedAt is the start time of a container's process, zero if it was not started.
func (k *Kubelet) StartedAt(namespace, pod, container string) time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.started[namespace+"/"+pod+"/"+container]
}

func (k *Kubelet) makeNode(ctx context.Context, name string) error {
	nodes := k.Client.CoreV1().Nodes()
	if _, err := nodes.Create(ctx, &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		return err
	}
	// This is a patch, because the controller manager writes to a new node too.
	ready := `{"status":{"conditions":[{"type":"Ready","status":"True","reason":"Test"}]}}`
	_, err := nodes.Patch(ctx, name, types.StrategicMergePatchType, []byte(ready), metav1.PatchOptions{}, "status")
	return err
}

// podChanged handles a new state of a pod.
func (k *Kubelet) podChanged(ctx context.Context, p *v1.Pod) {
	switch {
	case p.Spec.NodeName == "":
		if p.DeletionTimestamp == nil && len(p.Spec.SchedulingGates) == 0 {
			go k.bind(ctx, p)
		}
		return
	case p.Status.Phase == v1.PodSucceeded || p.Status.Phase == v1.PodFailed:
		if p.DeletionTimestamp == nil {
			return
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	running, known := k.pods[p.UID]
	if !known {
		running = newPod(k, p)
		k.pods[p.UID] = running
	}
	if p.DeletionTimestamp != nil { // deleted before it started: do not start it
		running.delete(ctx, time.Duration(*p.DeletionGracePeriodSeconds)*time.Second)
	}
	if !known {
		k.running.Go(func() { running.live(ctx) })
	}
}

// podDeleted handles a deleted pod: it kills what still runs of it.
func (k *Kubelet) podDeleted(o any) {
	if unknown, is := o.(cache.DeletedFinalStateUnknown); is {
		o = unknown.Obj
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if p, known := k.pods[o.(*v1.Pod).UID]; known {
		p.kill()
		delete(k.pods, o.(*v1.Pod).UID)
	}
}

// bind is the scheduler: it binds a pod to the next node that is not cordoned. A second bind of a
// pod is refused.
func (k *Kubelet) bind(ctx context.Context, p *v1.Pod) {
	for range k.Nodes {
		k.mu.Lock()
		name := k.Nodes[k.bound%len(k.Nodes)]
		k.bound++
		k.mu.Unlock()
		n, err := k.Client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err != nil || n.Spec.Unschedulable {
			continue
		}
		_ = k.Client.CoreV1().Pods(p.Namespace).Bind(ctx, &v1.Binding{
			ObjectMeta: metav1.ObjectMeta{Name: p.Name, UID: p.UID}, Target: v1.ObjectReference{Kind: "Node", Name: name}}, metav1.CreateOptions{})
		return
	}
}
