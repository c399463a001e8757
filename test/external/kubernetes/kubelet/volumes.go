package kubelet

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	authv1 "k8s.io/api/authentication/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func (p *pod) makeVolumes(ctx context.Context) error {
	for _, v := range p.v1.Spec.Volumes {
		dir := filepath.Join(p.dir, "volumes", v.Name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := p.fill(ctx, v, dir); err != nil {
			return fmt.Errorf("volume %s: %w", v.Name, err)
		}
		p.volumes[v.Name] = dir
	}
	return nil
}

func (p *pod) fill(ctx context.Context, v v1.Volume, dir string) error {
	switch {
	case v.EmptyDir != nil:
		return p.own(dir, 0o777|os.ModeSetgid)
	case v.Secret != nil:
		data, err := p.secret(ctx, v.Secret.SecretName)
		return p.writeAll(dir, data, v.Secret.Items, err)
	case v.ConfigMap != nil:
		data, err := p.configMap(ctx, v.ConfigMap.Name)
		return p.writeAll(dir, data, v.ConfigMap.Items, err)
	case v.Projected != nil:
		for _, s := range v.Projected.Sources {
			if err := p.project(ctx, s, dir); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("this kubelet has no such kind of volume")
}

func (p *pod) project(ctx context.Context, s v1.VolumeProjection, dir string) error {
	switch {
	case s.ServiceAccountToken != nil:
		token, err := p.token(ctx, s.ServiceAccountToken)
		return p.writeAll(dir, map[string]string{s.ServiceAccountToken.Path: token}, nil, err)
	case s.ConfigMap != nil:
		data, err := p.configMap(ctx, s.ConfigMap.Name)
		return p.writeAll(dir, data, s.ConfigMap.Items, err)
	case s.Secret != nil:
		data, err := p.secret(ctx, s.Secret.Name)
		return p.writeAll(dir, data, s.Secret.Items, err)
	case s.DownwardAPI != nil:
		for _, item := range s.DownwardAPI.Items {
			value, err := p.field(item.FieldRef.FieldPath)
			if err := p.writeAll(dir, map[string]string{item.Path: value}, nil, err); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("this kubelet has no such projection")
}

// token requests a token from the API server, bound to the pod.
func (p *pod) token(ctx context.Context, s *v1.ServiceAccountTokenProjection) (string, error) {
	request := &authv1.TokenRequest{Spec: authv1.TokenRequestSpec{ExpirationSeconds: s.ExpirationSeconds,
		BoundObjectRef: &authv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: p.v1.Name, UID: types.UID(p.v1.UID)}}}
	if s.Audience != "" {
		request.Spec.Audiences = []string{s.Audience}
	}
	got, err := p.k.Client.CoreV1().ServiceAccounts(p.v1.Namespace).CreateToken(ctx, p.v1.Spec.ServiceAccountName, request, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return got.Status.Token, nil
}

// writeAll writes files that the pod's group can read. err is the error of the caller's request for
// the data.
func (p *pod) writeAll(dir string, data map[string]string, items []v1.KeyToPath, err error) error {
	if err != nil {
		return err
	}
	if len(items) > 0 {
		chosen := map[string]string{}
		for _, item := range items {
			chosen[item.Path] = data[item.Key]
		}
		data = chosen
	}
	for name, value := range data {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(value), 0o640); err != nil {
			return err
		}
		if err := p.own(file, 0o640); err != nil {
			return err
		}
	}
	return nil
}

// own changes the owner of a file or directory to root and the pod's group, as a kubelet does for
// fsGroup.
func (p *pod) own(path string, mode os.FileMode) error {
	group := p.k.GID
	if sc := p.v1.Spec.SecurityContext; sc != nil {
		group = orElse(sc.FSGroup, group)
	}
	if err := os.Chown(path, 0, group); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}
