package helm

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestPromises checks the properties that every case must have, whatever the values.
func TestPromises(t *testing.T) {
	for name, values := range cases(t) {
		t.Run(name, func(t *testing.T) {
			for what, pod := range pods(t, values) {
				wanted := dig(values, "serviceAccount", "automount") == true && !isKeeper(what)
				if *pod.Spec.AutomountServiceAccountToken != wanted {
					t.Errorf("%s has a token for the cluster: %t", what, !wanted)
				}
				if !*pod.Spec.SecurityContext.RunAsNonRoot || pod.Spec.SecurityContext.SeccompProfile.Type != "RuntimeDefault" {
					t.Errorf("%s may be root, or has no seccomp profile", what)
				}
				switch {
				case isKeeper(what):
					promiseKeeper(t, what, pod)
				case !strings.HasPrefix(what, "Pod/"): // helm test's
					promiseAgent(t, what, pod)
				}
			}
			for _, c := range containers(t, name, values) {
				s := c.SecurityContext
				if !*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation || fmt.Sprint(s.Capabilities.Drop) != "[ALL]" || len(s.Capabilities.Add) > 0 {
					t.Errorf("container %s has rights that it does not need", c.Name)
				}
				if c.Lifecycle != nil {
					t.Errorf("container %s has a hook", c.Name)
				}
			}
		})
	}
}

// isKeeper says whether the pod of an object, by kind and name, is a keeper's.
func isKeeper(what string) bool {
	return strings.HasSuffix(what, "-keep") || strings.HasSuffix(what, "-keep-scale")
}

// promiseKeeper: the kubelet can reach the probes, and they need no token.
func promiseKeeper(t *testing.T, what string, pod corev1.PodTemplateSpec) {
	t.Helper()
	keep := pod.Spec.Containers[0]
	for path, probe := range map[string]*corev1.Probe{"/healthz": keep.LivenessProbe, "/readyz": keep.ReadinessProbe} {
		if probe == nil || probe.HTTPGet.Path != path || probe.HTTPGet.Port.String() != "health" {
			t.Errorf("%s has no probe of %s on the health port: %v", what, path, probe)
		}
	}
	if address := env(keep, "AZP_KEEP_HEALTH_LISTEN"); !strings.HasPrefix(address, ":") {
		t.Errorf("%s: the kubelet cannot reach %s", what, address)
	}
}

func promiseAgent(t *testing.T, what string, pod corev1.PodTemplateSpec) {
	t.Helper()
	if pod.Annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] != "false" || pod.Annotations["karpenter.sh/do-not-disrupt"] != "true" {
		t.Errorf("%s may be moved for tidiness' sake", what)
	}
	agent := pod.Spec.Containers[0]
	if got, want := env(agent, "AZP_GRACE_PERIOD"), fmt.Sprintf("%ds", *pod.Spec.TerminationGracePeriodSeconds); got != want {
		t.Errorf("%s: azptend is told a grace period of %s, and the pod has %s", what, got, want)
	}
	if env(agent, "AZP_AGENT_ROOT") == env(agent, "AZP_AGENT_DIR") {
		t.Errorf("%s: the agent would write into the image", what)
	}
	scaled := strings.HasPrefix(what, "ScaledJob/")
	if policy := pod.Spec.RestartPolicy; scaled != (policy == corev1.RestartPolicyNever) {
		t.Errorf("%s has restart policy %s", what, policy)
	}
	if leaves := env(agent, "AZP_IDLE_TIMEOUT") != ""; leaves != scaled {
		t.Errorf("%s: AZP_IDLE_TIMEOUT is %q", what, env(agent, "AZP_IDLE_TIMEOUT"))
	}
	if env(agent, "AZP_ONCE") != "" && !scaled {
		t.Errorf("%s would end with each job and start again", what)
	}
	for name, probe := range map[string]*corev1.Probe{"startup": agent.StartupProbe, "liveness": agent.LivenessProbe} {
		if probe != nil && (probe.TerminationGracePeriodSeconds == nil || *probe.TerminationGracePeriodSeconds != 60) {
			t.Errorf("%s: a stuck azptend stays for the pod's grace period after its %s probe failed", what, name)
		}
	}
	if probe := agent.LivenessProbe; probe != nil && probe.FailureThreshold*probe.PeriodSeconds < 300 {
		t.Errorf("%s: an overloaded node would cost the job within %d s", what, probe.FailureThreshold*probe.PeriodSeconds)
	}
	if probe := agent.LivenessProbe; probe != nil && strings.Contains(strings.Join(probe.Exec.Command, " "), "--ready") {
		t.Errorf("%s: the liveness probe would kill an agent that finishes its job", what)
	}
}

// TestNoIdentityWhereJobsRun: if an init container registers the agent, only that container of the
// pod can reach the identity.
func TestNoIdentityWhereJobsRun(t *testing.T) {
	for what, identity := range map[string]string{
		"workloadIdentity": "AZP_AUTH", "servicePrincipal": "AZP_CLIENTSECRET", "pat": "AZP_TOKEN",
	} {
		t.Run(what, func(t *testing.T) {
			values := cases(t)["init-register"]
			merge(values, map[string]any{"identity": map[string]any{"type": what, "tenantId": "a", "existingSecret": "azp"}})
			pod := pods(t, values)["ScaledJob/agents-azptend"]
			var has []string
			for _, c := range append(pod.Spec.InitContainers, pod.Spec.Containers...) {
				for _, v := range c.Env {
					if v.Name == identity || v.ValueFrom != nil && v.ValueFrom.SecretKeyRef != nil {
						has = append(has, c.Name)
						break
					}
				}
			}
			if fmt.Sprint(has) != "[register]" {
				t.Errorf("%s is in the containers %v", identity, has)
			}
			if what != "workloadIdentity" {
				return
			}
			skipped := map[string]bool{}
			for _, name := range strings.Split(pod.Annotations["azure.workload.identity/skip-containers"], ";") {
				skipped[name] = true
			}
			for _, c := range append(pod.Spec.InitContainers, pod.Spec.Containers...) {
				if skipped[c.Name] == (c.Name == "register") {
					t.Errorf("the webhook skips %s: %v", c.Name, skipped[c.Name])
				}
			}
		})
	}
}
