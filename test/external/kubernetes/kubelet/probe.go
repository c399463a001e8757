package kubelet

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"strconv"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// probe runs the container's probes until the container ends: first the startup probe, then the
// others in parallel.
func (c *container) probe(ctx context.Context, ended chan struct{}) {
	if c.StartupProbe != nil && !c.until(c.StartupProbe, ended, func(ok bool) bool { return ok }) {
		return
	}
	c.set(ctx, func() { c.startup = true })
	close(c.startedUp)
	if c.LivenessProbe != nil {
		go c.until(c.LivenessProbe, ended, func(bool) bool { return false })
	}
	if c.ReadinessProbe != nil {
		c.watchReadiness(ctx, ended)
	}
}

// until probes until enough returns true, the container has ended, or the probe has failed too
// often and stopped the container. It returns true in the first case.
func (c *container) until(probe *v1.Probe, ended chan struct{}, enough func(ok bool) bool) bool {
	for failures := int32(0); failures < number(probe.FailureThreshold, 3); {
		ok := c.ask(probe)
		if enough(ok) {
			return true
		}
		if ok {
			failures = 0
		} else {
			failures++
		}
		if !pause(probe, ended) {
			return false
		}
	}
	c.failed(ended)
	return false
}

func (c *container) watchReadiness(ctx context.Context, ended chan struct{}) {
	for failures := int32(0); ; {
		if c.ask(c.ReadinessProbe) {
			failures = 0
			c.set(ctx, func() { c.ready = true })
		} else if failures++; failures >= number(c.ReadinessProbe.FailureThreshold, 3) {
			c.set(ctx, func() { c.ready = false })
		}
		if !pause(c.ReadinessProbe, ended) {
			return
		}
	}
}

// set changes the status, and writes it if it is different. A container that has ended is not
// ready.
func (c *container) set(ctx context.Context, change func()) {
	c.pod.mu.Lock()
	ready, startup := c.ready, c.startup
	if c.state.Running != nil {
		change()
	}
	news := c.ready != ready || c.startup != startup
	c.pod.mu.Unlock()
	if news {
		c.pod.report(ctx)
	}
}

func pause(probe *v1.Probe, ended chan struct{}) bool {
	select {
	case <-time.After(time.Duration(number(probe.PeriodSeconds, 10)) * time.Second):
		return true
	case <-ended:
		return false
	}
}

func number(n, otherwise int32) int32 {
	if n == 0 {
		return otherwise
	}
	return n
}

// ask runs the probe once.
func (c *container) ask(probe *v1.Probe) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(number(probe.TimeoutSeconds, 1))*time.Second)
	defer cancel()
	switch {
	case probe.Exec != nil:
		return c.exec(ctx, probe.Exec.Command)
	case probe.HTTPGet != nil:
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s:%d%s", c.pod.ip, c.port(probe.HTTPGet.Port), probe.HTTPGet.Path), nil)
		if err != nil {
			return false
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode < 400
	}
	return false
}

func (c *container) port(p intstr.IntOrString) int {
	for _, named := range c.Ports {
		if p.Type == intstr.String && named.Name == p.StrVal {
			return int(named.ContainerPort)
		}
	}
	return p.IntValue()
}

// exec runs a command in the container, as its user.
func (c *container) exec(ctx context.Context, command []string) bool {
	args := append([]string{"--target", strconv.Itoa(c.cmd.Process.Pid), "--mount", "--pid", "--uts",
		"--setgid", strconv.Itoa(c.spec.GID), "--setuid", strconv.Itoa(c.spec.UID), "--"}, command...)
	enter := exec.CommandContext(ctx, "/usr/bin/nsenter", args...)
	enter.Env = c.spec.Env
	return enter.Run() == nil
}
