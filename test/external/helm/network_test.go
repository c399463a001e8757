package helm

import (
	"path"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestNetworkOfEveryContainer: one description of the proxy, the certificate authorities and the
// additional hosts reaches every container of the chart.
func TestNetworkOfEveryContainer(t *testing.T) {
	seen := map[string]bool{}
	for what, pod := range pods(t, cases(t)["network"]) {
		if len(pod.Spec.HostAliases) != 1 || pod.Spec.HostAliases[0].IP != "10.0.0.1" {
			t.Errorf("%s has the host aliases %v", what, pod.Spec.HostAliases)
		}
		volumes := map[string]corev1.Volume{}
		for _, volume := range pod.Spec.Volumes {
			volumes[volume.Name] = volume
		}
		for _, c := range append(pod.Spec.InitContainers, pod.Spec.Containers...) {
			seen[c.Name] = true
			checkProxy(t, what, c)
			file := env(c, "AZP_CA_FILE")
			if c.Name == "dind" {
				file = env(c, "SSL_CERT_FILE")
			}
			mounted := false
			for _, m := range c.VolumeMounts {
				if source := volumes[m.Name].ConfigMap; source != nil && source.Name == "company-ca" {
					mounted = path.Join(m.MountPath, source.Items[0].Path) == file
				}
			}
			if !mounted {
				t.Errorf("%s: %s looks for certificates in %q, which is not mounted: %v", what, c.Name, file, c.VolumeMounts)
			}
		}
	}
	for _, name := range []string{"agent", "register", "dind", "keep", "doctor"} {
		if !seen[name] {
			t.Errorf("there is no container %s", name)
		}
	}
}

// checkProxy: the URL comes from the Secret, and the other variables follow it.
func checkProxy(t *testing.T, what string, c corev1.Container) {
	t.Helper()
	at := map[string]int{}
	for i, v := range c.Env {
		at[v.Name] = i + 1
		if v.Name == "HTTP_PROXY" && (v.ValueFrom == nil || v.ValueFrom.SecretKeyRef.Name != "proxy") {
			t.Errorf("%s: %s has HTTP_PROXY from %v", what, c.Name, v.ValueFrom)
		}
	}
	for _, name := range []string{"HTTPS_PROXY", "http_proxy", "https_proxy"} {
		// Kubernetes expands only variables that come earlier in the list.
		if env(c, name) != "$(HTTP_PROXY)" || at["HTTP_PROXY"] == 0 || at["HTTP_PROXY"] > at[name] {
			t.Errorf("%s: %s has %s=%q", what, c.Name, name, env(c, name))
		}
	}
	for _, name := range []string{"NO_PROXY", "no_proxy"} {
		if env(c, name) != ".svc,10.0.0.0/8" {
			t.Errorf("%s: %s has %s=%q", what, c.Name, name, env(c, name))
		}
	}
}
