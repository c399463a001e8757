package kubelet

import (
	"context"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Webhook is Azure's workload identity webhook, as far as a pod can see it: it changes the
// process's environment, not the object.
type Webhook struct {
	Authority string // https://login.microsoftonline.com/
	Tenant    string // if the service account names none
}

const (
	tokenDir  = "/var/run/secrets/azure/tokens"
	tokenFile = "azure-identity-token"
)

func (w *Webhook) inject(ctx context.Context, client kubernetes.Interface, p *v1.Pod) error {
	if p.Labels["azure.workload.identity/use"] != "true" {
		return nil
	}
	account, err := client.CoreV1().ServiceAccounts(p.Namespace).Get(ctx, p.Spec.ServiceAccountName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	tenant := account.Annotations["azure.workload.identity/tenant-id"]
	if tenant == "" {
		tenant = w.Tenant
	}
	env := []v1.EnvVar{{Name: "AZURE_CLIENT_ID", Value: account.Annotations["azure.workload.identity/client-id"]}, {Name: "AZURE_TENANT_ID", Value: tenant},
		{Name: "AZURE_FEDERATED_TOKEN_FILE", Value: tokenDir + "/" + tokenFile}, {Name: "AZURE_AUTHORITY_HOST", Value: w.Authority}}
	skip := strings.Split(p.Annotations["azure.workload.identity/skip-containers"], ";")
	for _, containers := range [][]v1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for i, c := range containers {
			if !slices.Contains(skip, c.Name) {
				containers[i].Env = append(slices.Clone(c.Env), env...)
				containers[i].VolumeMounts = append(slices.Clone(c.VolumeMounts), v1.VolumeMount{Name: tokenFile, MountPath: tokenDir, ReadOnly: true})
			}
		}
	}
	hour := int64(3600)
	p.Spec.Volumes = append(p.Spec.Volumes, v1.Volume{Name: tokenFile, VolumeSource: v1.VolumeSource{Projected: &v1.ProjectedVolumeSource{
		Sources: []v1.VolumeProjection{{ServiceAccountToken: &v1.ServiceAccountTokenProjection{Audience: "api://AzureADTokenExchange", ExpirationSeconds: &hour, Path: tokenFile}}}}}})
	return nil
}
