// Package kubelet is a small kubelet for tests, and the scheduler too: it binds each pod to a node of its own and runs
// the pod's containers as processes of this machine, each in a mount, process id and host name namespace, and all in this
// machine's network. Probes, signals, grace periods, restarts, statuses and volumes are as a kubelet has them, as far as
// azptend's chart needs them. All images are one image, Options.Image, whatever a pod calls it.
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
)

// Options is what a kubelet needs.
type Options struct {
	Client    kubernetes.Interface
	Nodes     []string     // the nodes it plays; pods are bound in turn
	Container string       // the program that becomes a container (test/external/kubernetes/container)
	Dir       string       // where pods' volumes are
	Logs      string       // where containers' output goes
	Image     []spec.Mount // the image's folders
	Files     []spec.Mount // the image's single files, read-only
	Env       []string     // the image's environment
	UID, GID  int          // the image's user
	APIServer string       // host:port, which pods are told
	Identity  *Webhook     // injects what a workload identity needs; nil is no webhook
}

// Kubelet runs pods until its context ends.
type Kubelet struct {
	Options
	mu      sync.Mutex
	pods    map[types.UID]*pod
	started map[string]time.Time // by namespace/pod/container
	running sync.WaitGroup
	bound   int
}

// Start makes the nodes and begins. When ctx ends all containers are killed; Wait waits for that.
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
		AddFunc:    func(o any) { k.see(ctx, o.(*v1.Pod)) },
		UpdateFunc: func(_, o any) { k.see(ctx, o.(*v1.Pod)) },
		DeleteFunc: func(o any) { k.gone(o) },
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

// Over is closed when nothing of a pod runs any more; nil if the kubelet has no such pod.
func (k *Kubelet) Over(namespace, name string) <-chan struct{} {
	if p := k.named(namespace, name); p != nil {
		return p.over
	}
	return nil
}

// Kill kills a container's process, and so all processes of the container, as a node does that runs out of memory.
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

// StartedAt is when a container's process was started, zero if it was not.
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
	// A patch, for the controller manager writes to a new node too.
	ready := `{"status":{"conditions":[{"type":"Ready","status":"True","reason":"Test"}]}}`
	_, err := nodes.Patch(ctx, name, types.StrategicMergePatchType, []byte(ready), metav1.PatchOptions{}, "status")
	return err
}

// see is told of each state of each pod.
func (k *Kubelet) see(ctx context.Context, p *v1.Pod) {
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
	if p.DeletionTimestamp != nil { // before it lives: what is deleted already does not start
		running.delete(ctx, time.Duration(*p.DeletionGracePeriodSeconds)*time.Second)
	}
	if !known {
		k.running.Go(func() { running.live(ctx) })
	}
}

// gone is told of pods that are no more: whatever of them still runs is killed.
func (k *Kubelet) gone(o any) {
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

// bind is the scheduler: the next node that is not cordoned. Who binds a pod a second time is refused.
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
