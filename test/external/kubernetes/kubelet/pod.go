package kubelet

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// pod is a running pod.
type pod struct {
	k       *Kubelet
	v1      *v1.Pod // with the changes of the webhook
	dir     string
	ip      string
	volumes map[string]string // name to directory

	ending   chan struct{} // closed when it is being deleted
	killed   chan struct{} // closed when its grace period is over, or its object is deleted
	over     chan struct{} // closed when nothing of it runs
	deleted  sync.Once
	ended    sync.Once
	killOnce sync.Once

	mu         sync.Mutex // guards all fields below, and is held while the status is written
	inits      []*container
	containers []*container
	initDone   bool
	problem    string
}

// newPod gives a pod its address. The kubelet's mu is held.
func newPod(k *Kubelet, p *v1.Pod) *pod {
	k.addresses++
	q := &pod{k: k, v1: p.DeepCopy(), ip: fmt.Sprintf("127.1.%d.%d", k.addresses/250, 1+k.addresses%250), dir: filepath.Join(k.Dir, string(p.UID)),
		volumes: map[string]string{}, ending: make(chan struct{}), killed: make(chan struct{}), over: make(chan struct{})}
	for _, c := range p.Spec.InitContainers {
		q.inits = append(q.inits, &container{pod: q, Container: c})
	}
	for _, c := range p.Spec.Containers {
		q.containers = append(q.containers, &container{pod: q, Container: c})
	}
	return q
}

// delete stops a pod whose object is being deleted, and then deletes the object. A grace period of
// 0 kills it immediately.
func (p *pod) delete(ctx context.Context, grace time.Duration) {
	if grace == 0 {
		p.kill()
	}
	p.deleted.Do(func() {
		go func() {
			<-p.over
			p.confirm(ctx)
		}()
	})
	p.ended.Do(func() {
		close(p.ending)
		time.AfterFunc(grace, p.kill)
	})
}

func (p *pod) kill() {
	p.killOnce.Do(func() { close(p.killed) })
	p.ended.Do(func() { close(p.ending) })
}

// live runs the pod from start to end.
func (p *pod) live(ctx context.Context) {
	stop := context.AfterFunc(ctx, p.kill)
	defer stop()
	defer close(p.over)
	defer os.RemoveAll(p.dir)
	api := context.WithoutCancel(ctx)
	if ctx.Err() != nil {
		return
	}
	if err := p.prepare(api); err != nil {
		p.problem = err.Error()
		p.report(api)
	} else if p.initialise(api) {
		p.run(api)
	}
	p.endSidecars()
	p.report(api)
}

// confirm deletes the object once nothing of the pod runs.
func (p *pod) confirm(ctx context.Context) {
	now := int64(0)
	_ = p.k.Client.CoreV1().Pods(p.v1.Namespace).Delete(ctx, p.v1.Name, metav1.DeleteOptions{
		GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &p.v1.UID}})
}

func (p *pod) prepare(ctx context.Context) error {
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return err
	}
	if p.k.Identity != nil {
		if err := p.k.Identity.Inject(ctx, p.v1); err != nil {
			return err
		}
		for i, c := range p.v1.Spec.InitContainers {
			p.inits[i].Container = c
		}
		for i, c := range p.v1.Spec.Containers {
			p.containers[i].Container = c
		}
	}
	return p.makeVolumes(ctx)
}

// initialise runs the init containers in order. A native sidecar keeps running when the next one
// starts.
func (p *pod) initialise(ctx context.Context) bool {
	for _, c := range p.inits {
		if p.isEnding() {
			return false
		}
		if err := c.start(ctx); err != nil {
			p.problem = err.Error()
			return false
		}
		if c.isSidecar() {
			select {
			case <-c.startedUp:
			case <-c.done:
				p.problem = "the sidecar " + c.Name + " ended before it had started"
				return false
			case <-p.ending:
				return false
			}
			continue
		}
		p.report(ctx)
		if c.wait() != 0 {
			p.problem = "the init container " + c.Name + " failed"
			return false
		}
	}
	p.mu.Lock()
	p.initDone = true
	p.mu.Unlock()
	return !p.isEnding()
}

// run runs the containers until all have ended, and restarts containers that the restart policy
// requires.
func (p *pod) run(ctx context.Context) {
	var all sync.WaitGroup
	for _, c := range p.containers {
		all.Go(func() {
			for pause := time.Second; ; pause = min(2*pause, time.Minute) {
				if err := c.start(ctx); err != nil {
					p.mu.Lock()
					p.problem = err.Error()
					p.mu.Unlock()
				}
				p.report(ctx)
				code := c.wait()
				p.report(ctx)
				if p.v1.Spec.RestartPolicy == v1.RestartPolicyNever || p.v1.Spec.RestartPolicy == v1.RestartPolicyOnFailure && code == 0 {
					return
				}
				select {
				case <-p.ending:
					return
				case <-time.After(pause):
				}
			}
		})
	}
	all.Wait()
}

// endSidecars stops the sidecars after all other containers, in reverse order.
func (p *pod) endSidecars() {
	for i := len(p.inits) - 1; i >= 0; i-- {
		if c := p.inits[i]; c.isSidecar() && c.done != nil {
			c.terminate()
			<-c.done
		}
	}
}

func (p *pod) isEnding() bool {
	select {
	case <-p.ending:
		return true
	default:
		return false
	}
}

func (p *pod) logFile(container string) string {
	return filepath.Join(p.k.Logs, fmt.Sprintf("%s_%s_%s.log", p.v1.Namespace, p.v1.Name, container))
}
