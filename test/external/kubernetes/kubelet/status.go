package kubelet

import (
	"context"
	"encoding/json"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// hostIP is the address of every node.
const hostIP = "127.0.0.1"

// report writes the pod's status. The patch keeps conditions that others set, such as
// DisruptionTarget.
func (p *pod) report(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.status()
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": p.v1.UID}, "status": s})
	if err != nil {
		panic(err) // cannot happen: these are our own types
	}
	_, _ = p.k.Client.CoreV1().Pods(p.v1.Namespace).Patch(ctx, p.v1.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
}

func (p *pod) status() v1.PodStatus {
	s := v1.PodStatus{Phase: p.phase(), HostIP: hostIP, PodIP: p.ip, PodIPs: []v1.PodIP{{IP: p.ip}}, Message: p.problem, StartTime: &p.v1.CreationTimestamp}
	ready := p.initDone
	for _, c := range p.inits {
		s.InitContainerStatuses = append(s.InitContainerStatuses, c.status())
	}
	for _, c := range p.containers {
		s.ContainerStatuses = append(s.ContainerStatuses, c.status())
		ready = ready && c.ready
	}
	s.Conditions = []v1.PodCondition{condition(v1.PodInitialized, p.initDone), condition(v1.ContainersReady, ready), condition(v1.PodReady, ready)}
	return s
}

// phase derives the phase from the containers, like a kubelet: a pod that failed before they ran
// has failed.
func (p *pod) phase() v1.PodPhase {
	ended, failed, started := 0, p.problem != "", false
	for _, c := range p.containers {
		if c.state.Terminated != nil {
			ended++
			failed = failed || c.state.Terminated.ExitCode != 0
		}
		started = started || c.state.Running != nil || c.state.Terminated != nil
	}
	over := ended == len(p.containers) && (p.v1.Spec.RestartPolicy != v1.RestartPolicyAlways || p.isEnding())
	switch {
	case over && !failed:
		return v1.PodSucceeded
	case over || p.problem != "" || p.isEnding() && !started:
		return v1.PodFailed
	case started:
		return v1.PodRunning
	}
	return v1.PodPending
}

func condition(kind v1.PodConditionType, is bool) v1.PodCondition {
	status := v1.ConditionFalse
	if is {
		status = v1.ConditionTrue
	}
	return v1.PodCondition{Type: kind, Status: status}
}

func (c *container) status() v1.ContainerStatus {
	started := c.startup
	s := v1.ContainerStatus{Name: c.Name, Image: c.Image, ImageID: "test", State: c.state, LastTerminationState: c.last, Ready: c.ready, Started: &started, RestartCount: c.restarts}
	if c.state == (v1.ContainerState{}) {
		s.State.Waiting = &v1.ContainerStateWaiting{Reason: "PodInitializing"}
	}
	return s
}
