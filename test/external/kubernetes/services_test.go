package kubernetes

import (
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strconv"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// serveServices starts a proxy in place of the cluster's DNS and kube-proxy: it sends a request for
// SERVICE.NAMESPACE.svc to one of the Service's pods that are Ready. It returns its URL.
func (w *world) serveServices(t *testing.T) string {
	t.Helper()
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", w.endpoint(r.In.URL.Hostname(), r.In.URL.Port()) // without a host it is an error
		},
		Transport: &http.Transport{DisableKeepAlives: true}, // each request may go to another pod
	})
	t.Cleanup(proxy.Close)
	return proxy.URL
}

// endpoint returns the address of a pod that is behind a port of a Service, "" if there is none.
func (w *world) endpoint(host, port string) string {
	name, namespace, _ := strings.Cut(strings.TrimSuffix(host, ".svc"), ".")
	service, err := w.client.CoreV1().Services(namespace).Get(w.ctx, name, metav1.GetOptions{})
	if err != nil {
		return ""
	}
	var found []string
	for _, o := range w.pods.List() {
		p := o.(*v1.Pod)
		if p.Namespace != namespace || !isReady(p) || p.DeletionTimestamp != nil ||
			!labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(p.Labels)) {
			continue
		}
		for _, has := range p.Spec.Containers[0].Ports {
			for _, sp := range service.Spec.Ports {
				if strconv.Itoa(int(sp.Port)) == port && sp.TargetPort.StrVal == has.Name {
					found = append(found, p.Status.PodIP+":"+strconv.Itoa(int(has.ContainerPort)))
				}
			}
		}
	}
	if len(found) == 0 {
		return ""
	}
	return found[rand.IntN(len(found))]
}
