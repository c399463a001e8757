// Package webhook is Azure's workload identity webhook, as far as a pod can see it.
package webhook

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	admission "k8s.io/api/admission/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Webhook has what is the same for all pods.
type Webhook struct {
	Client    kubernetes.Interface
	Authority string // https://login.microsoftonline.com/
	Tenant    string // if the service account names none
	CA        string // a file of the node with the CA certificates of containers with an identity; "" leaves the image's
}

const (
	tokenDir  = "/var/run/secrets/azure/tokens"
	tokenFile = "azure-identity-token"
)

// Inject gives a pod its identity, if it wants one.
func (w *Webhook) Inject(ctx context.Context, p *v1.Pod) error {
	if p.Labels["azure.workload.identity/use"] != "true" {
		return nil
	}
	account, err := w.Client.CoreV1().ServiceAccounts(p.Namespace).Get(ctx, p.Spec.ServiceAccountName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	tenant := account.Annotations["azure.workload.identity/tenant-id"]
	if tenant == "" {
		tenant = w.Tenant
	}
	env := []v1.EnvVar{{Name: "AZURE_CLIENT_ID", Value: account.Annotations["azure.workload.identity/client-id"]}, {Name: "AZURE_TENANT_ID", Value: tenant},
		{Name: "AZURE_FEDERATED_TOKEN_FILE", Value: tokenDir + "/" + tokenFile}, {Name: "AZURE_AUTHORITY_HOST", Value: w.Authority}}
	mounts := []v1.VolumeMount{{Name: tokenFile, MountPath: tokenDir, ReadOnly: true}}
	hour := int64(3600)
	p.Spec.Volumes = append(p.Spec.Volumes, v1.Volume{Name: tokenFile, VolumeSource: v1.VolumeSource{Projected: &v1.ProjectedVolumeSource{
		Sources: []v1.VolumeProjection{{ServiceAccountToken: &v1.ServiceAccountTokenProjection{Audience: "api://AzureADTokenExchange", ExpirationSeconds: &hour, Path: tokenFile}}}}}})
	if w.CA != "" {
		mounts = append(mounts, v1.VolumeMount{Name: "ca", MountPath: "/etc/ssl/certs/ca-certificates.crt", ReadOnly: true})
		p.Spec.Volumes = append(p.Spec.Volumes, v1.Volume{Name: "ca", VolumeSource: v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: w.CA}}})
	}
	skip := strings.Split(p.Annotations["azure.workload.identity/skip-containers"], ";")
	for _, containers := range [][]v1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for i, c := range containers {
			if !slices.Contains(skip, c.Name) {
				containers[i].Env = append(slices.Clone(c.Env), env...)
				containers[i].VolumeMounts = append(slices.Clone(c.VolumeMounts), mounts...)
			}
		}
	}
	return nil
}

// ServeHTTP answers the API server: it changes a pod before it is stored.
func (w *Webhook) ServeHTTP(out http.ResponseWriter, in *http.Request) {
	var review admission.AdmissionReview
	if err := json.NewDecoder(in.Body).Decode(&review); err != nil || review.Request == nil {
		http.Error(out, "not an admission review", http.StatusBadRequest)
		return
	}
	review.Response = &admission.AdmissionResponse{UID: review.Request.UID, Allowed: true}
	patch, err := w.patch(in.Context(), review.Request)
	if err != nil {
		review.Response.Allowed, review.Response.Result = false, &metav1.Status{Message: err.Error()}
	} else {
		kind := admission.PatchTypeJSONPatch
		review.Response.Patch, review.Response.PatchType = patch, &kind
	}
	review.Request = nil
	out.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(out).Encode(review)
}

func (w *Webhook) patch(ctx context.Context, r *admission.AdmissionRequest) ([]byte, error) {
	var p v1.Pod
	if err := json.Unmarshal(r.Object.Raw, &p); err != nil {
		return nil, err
	}
	p.Namespace = r.Namespace
	if err := w.Inject(ctx, &p); err != nil {
		return nil, err
	}
	return json.Marshal([]map[string]any{{"op": "replace", "path": "/spec", "value": p.Spec}})
}
