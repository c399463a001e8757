package kubelet

import (
	"context"
	"fmt"
	"net"
	"regexp"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// environment returns a container's environment: the image's variables, the service's, and the
// pod's own.
func (p *pod) environment(ctx context.Context, c v1.Container) ([]v1.EnvVar, error) {
	var out []v1.EnvVar
	for _, pair := range p.k.Env {
		name, value, _ := strings.Cut(pair, "=")
		out = append(out, v1.EnvVar{Name: name, Value: value})
	}
	host, port, _ := net.SplitHostPort(p.k.APIServer)
	out = append(out, v1.EnvVar{Name: "HOSTNAME", Value: p.v1.Name}, v1.EnvVar{Name: "KUBERNETES_SERVICE_HOST", Value: host},
		v1.EnvVar{Name: "KUBERNETES_SERVICE_PORT", Value: port})
	for _, from := range c.EnvFrom {
		data, err := p.dataOf(ctx, from)
		if err != nil {
			return nil, err
		}
		for name, value := range data {
			out = append(out, v1.EnvVar{Name: from.Prefix + name, Value: value})
		}
	}
	for _, e := range c.Env {
		value := p.listenAddress(c, expand(e.Value, out))
		if e.ValueFrom != nil {
			var err error
			if value, err = p.valueFrom(ctx, e.ValueFrom); err != nil {
				return nil, fmt.Errorf("%s: %w", e.Name, err)
			}
		}
		out = append(out, v1.EnvVar{Name: e.Name, Value: value})
	}
	return out, nil
}

// listenAddress adds the pod's address to a value that is a port of the container, such as ":8141".
// Pods share this machine's network, so two of them could not listen on all its addresses.
func (p *pod) listenAddress(c v1.Container, value string) string {
	for _, port := range c.Ports {
		if value == fmt.Sprintf(":%d", port.ContainerPort) {
			return p.ip + value
		}
	}
	return value
}

func (p *pod) dataOf(ctx context.Context, from v1.EnvFromSource) (map[string]string, error) {
	if from.SecretRef != nil {
		return p.secret(ctx, from.SecretRef.Name)
	}
	return p.configMap(ctx, from.ConfigMapRef.Name)
}

func (p *pod) secret(ctx context.Context, name string) (map[string]string, error) {
	s, err := p.k.Client.CoreV1().Secrets(p.v1.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for key, value := range s.Data {
		out[key] = string(value)
	}
	return out, nil
}

func (p *pod) configMap(ctx context.Context, name string) (map[string]string, error) {
	m, err := p.k.Client.CoreV1().ConfigMaps(p.v1.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return m.Data, nil
}

func (p *pod) valueFrom(ctx context.Context, from *v1.EnvVarSource) (string, error) {
	switch {
	case from.SecretKeyRef != nil:
		data, err := p.secret(ctx, from.SecretKeyRef.Name)
		return data[from.SecretKeyRef.Key], err
	case from.ConfigMapKeyRef != nil:
		data, err := p.configMap(ctx, from.ConfigMapKeyRef.Name)
		return data[from.ConfigMapKeyRef.Key], err
	case from.FieldRef != nil:
		return p.field(from.FieldRef.FieldPath)
	}
	return "", fmt.Errorf("valueFrom %v is of no kind that this kubelet has", from)
}

var keyed = regexp.MustCompile(`^metadata\.(labels|annotations)\['(.+)'\]$`)

// field returns a value of the downward API.
func (p *pod) field(path string) (string, error) {
	if m := keyed.FindStringSubmatch(path); m != nil {
		return map[string]map[string]string{"labels": p.v1.Labels, "annotations": p.v1.Annotations}[m[1]][m[2]], nil
	}
	switch path {
	case "metadata.name":
		return p.v1.Name, nil
	case "metadata.namespace":
		return p.v1.Namespace, nil
	case "metadata.uid":
		return string(p.v1.UID), nil
	case "spec.nodeName":
		return p.v1.Spec.NodeName, nil
	case "spec.serviceAccountName":
		return p.v1.Spec.ServiceAccountName, nil
	case "status.podIP":
		return p.ip, nil
	case "status.hostIP":
		return hostIP, nil
	}
	return "", fmt.Errorf("this kubelet has no field %s", path)
}

var reference = regexp.MustCompile(`\$\$|\$\([A-Za-z_][A-Za-z0-9_.-]*\)`)

// expand replaces $(NAME) with the variable, and $$ with a dollar. Unknown names stay.
func expand(s string, env []v1.EnvVar) string {
	return reference.ReplaceAllStringFunc(s, func(r string) string {
		if r == "$$" {
			return "$"
		}
		for i := len(env) - 1; i >= 0; i-- {
			if env[i].Name == r[2:len(r)-1] {
				return env[i].Value
			}
		}
		return r
	})
}
