package kubelet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/azptend/azptend/test/external/kubernetes/spec"
)

// container is one container of a pod, with its process if it has one.
type container struct {
	v1.Container
	pod *pod

	cmd       *exec.Cmd
	began     time.Time // when cmd was about to be started
	spec      spec.Container
	startedUp chan struct{} // closed when its startup probe has succeeded, immediately without one
	done      chan struct{} // closed when its process has ended

	// The fields below are guarded by the pod's mu.
	ready, startup bool
	state          v1.ContainerState
	last           v1.ContainerState
	restarts       int32
}

func (c *container) isSidecar() bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == v1.ContainerRestartPolicyAlways
}

// start starts its process. An error is an internal one, and then done is closed too.
func (c *container) start(ctx context.Context) error {
	c.done, c.startedUp = make(chan struct{}), make(chan struct{})
	err := c.launch(ctx)
	if err != nil {
		c.pod.mu.Lock()
		c.state = terminated(128, err.Error(), metav1.Now())
		c.pod.mu.Unlock()
		close(c.done)
		return fmt.Errorf("cannot start the container %s: %w", c.Name, err)
	}
	now := metav1.Now()
	c.pod.k.mu.Lock()
	if key := c.pod.v1.Namespace + "/" + c.pod.v1.Name + "/" + c.Name; c.pod.k.started[key].IsZero() {
		c.pod.k.started[key] = c.began
	}
	c.pod.k.mu.Unlock()
	c.pod.mu.Lock()
	if c.state.Terminated != nil {
		c.last, c.restarts = c.state, c.restarts+1
	}
	c.state = v1.ContainerState{Running: &v1.ContainerStateRunning{StartedAt: now}}
	c.ready, c.startup = c.ReadinessProbe == nil, c.StartupProbe == nil
	c.pod.mu.Unlock()
	ended := make(chan struct{})
	go c.reap(now, ended)
	go c.probe(ctx, ended)
	go c.handleSignals(ended)
	return nil
}

func (c *container) launch(ctx context.Context) error {
	var err error
	if c.spec, err = c.describe(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(c.spec.Scratch, 0o755); err != nil {
		return err
	}
	file := c.spec.Scratch + ".json"
	b, err := json.Marshal(c.spec)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		return err
	}
	log, err := os.OpenFile(c.pod.logFile(c.Name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	c.cmd = exec.Command(c.pod.k.Container, file)
	c.cmd.Stdout, c.cmd.Stderr = log, log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL,
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS}
	c.began = time.Now() // before Start, because events of the process may come before Start returns
	return c.cmd.Start()
}

func (c *container) describe(ctx context.Context) (spec.Container, error) {
	p := c.pod
	env, err := p.environment(ctx, c.Container)
	if err != nil {
		return spec.Container{}, err
	}
	s := spec.Container{Host: p.v1.Name, UID: p.k.UID, GID: p.k.GID, WorkDir: "/", Image: p.k.Image,
		Mounts: append([]spec.Mount(nil), p.k.Files...), Scratch: filepath.Join(p.dir, "containers", c.Name)}
	if c.WorkingDir != "" {
		s.WorkDir = c.WorkingDir
	}
	for _, e := range env {
		s.Env = append(s.Env, e.Name+"="+e.Value)
	}
	for _, arg := range append(append([]string(nil), c.Command...), c.Args...) {
		s.Args = append(s.Args, expand(arg, env))
	}
	if len(c.Command) == 0 {
		s.Args = append([]string{"azptend", "run"}, s.Args...) // the image's ENTRYPOINT
	}
	if sc := p.v1.Spec.SecurityContext; sc != nil {
		s.UID, s.GID = orElse(sc.RunAsUser, s.UID), orElse(sc.RunAsGroup, s.GID)
		if sc.FSGroup != nil {
			s.Groups = append(s.Groups, int(*sc.FSGroup))
		}
	}
	if sc := c.SecurityContext; sc != nil {
		s.UID, s.GID = orElse(sc.RunAsUser, s.UID), orElse(sc.RunAsGroup, s.GID)
		s.ReadOnlyRoot = sc.ReadOnlyRootFilesystem != nil && *sc.ReadOnlyRootFilesystem
	}
	for _, m := range c.VolumeMounts {
		from, ok := p.volumes[m.Name]
		if !ok {
			return s, fmt.Errorf("the volume %s is of no kind that this kubelet has", m.Name)
		}
		s.Mounts = append(s.Mounts, spec.Mount{Source: filepath.Join(from, m.SubPath), Target: m.MountPath, ReadOnly: m.ReadOnly})
	}
	return s, nil
}

func orElse(n *int64, other int) int {
	if n == nil {
		return other
	}
	return int(*n)
}

// reap waits until the process exits.
func (c *container) reap(started metav1.Time, ended chan struct{}) {
	err := c.cmd.Wait()
	code, reason := 0, "Completed"
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code, reason = exit.ExitCode(), "Error"
		if status := exit.Sys().(syscall.WaitStatus); status.Signaled() {
			code = 128 + int(status.Signal())
		}
	}
	c.pod.mu.Lock()
	c.state, c.ready = terminated(code, reason, started), false
	c.pod.mu.Unlock()
	_ = os.Remove(c.spec.Scratch + ".json")
	close(ended)
	close(c.done)
}

func terminated(code int, reason string, started metav1.Time) v1.ContainerState {
	return v1.ContainerState{Terminated: &v1.ContainerStateTerminated{ExitCode: int32(code), Reason: reason, StartedAt: started, FinishedAt: metav1.Now()}}
}

// wait waits until the process exits, and returns its exit code.
func (c *container) wait() int {
	<-c.done
	c.pod.mu.Lock()
	defer c.pod.mu.Unlock()
	return int(c.state.Terminated.ExitCode)
}

// handleSignals sends the pod's signals. A sidecar gets SIGTERM after the other containers have
// ended.
func (c *container) handleSignals(ended chan struct{}) {
	if !c.isSidecar() {
		select {
		case <-c.pod.ending:
			c.terminate()
		case <-ended:
			return
		}
	}
	select {
	case <-c.pod.killed:
		_ = c.cmd.Process.Kill()
	case <-ended:
	}
}

func (c *container) terminate() { _ = c.cmd.Process.Signal(syscall.SIGTERM) }

// failed stops a container whose probe fails.
func (c *container) failed(ended chan struct{}) {
	c.terminate()
	grace := 30 * time.Second
	if s := c.pod.v1.Spec.TerminationGracePeriodSeconds; s != nil {
		grace = time.Duration(*s) * time.Second
	}
	select {
	case <-time.After(grace):
		_ = c.cmd.Process.Kill()
	case <-ended:
	}
}
