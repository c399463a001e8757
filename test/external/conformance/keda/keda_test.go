// Package keda tests KEDA's own azure-pipelines scaler against azptend's emulator. The count of the
// scaler decides how many agents a cluster starts.
package keda

import (
	"context"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	"github.com/kedacore/keda/v2/pkg/scalers"
	"github.com/kedacore/keda/v2/pkg/scalers/scalersconfig"
	v2 "k8s.io/api/autoscaling/v2"

	"github.com/azptend/azptend/test/external/conformance/go/emulated"
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if entra, err = emulated.PlayEntra(); err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		return 1
	}
	defer entra.Close()
	os.Setenv("SSL_CERT_FILE", entra.CA) // a process reads these only once
	os.Setenv("HTTPS_PROXY", entra.Proxy)
	for _, name := range []string{"NO_PROXY", "no_proxy", "SSL_CERT_DIR"} { // variables of the machine, which would override the ones above
		os.Unsetenv(name)
	}
	return emulated.Main(m)
}

// entra is Entra ID in front of the emulator of the current test.
var entra *emulated.Entra

// trigger is the metadata of a ScaledJob: spec.triggers[].metadata.
type trigger map[string]string

func (tr trigger) with(more trigger) trigger {
	out := maps.Clone(tr)
	maps.Copy(out, more)
	return out
}

// auth holds the values that a TriggerAuthentication resolves to.
type auth struct {
	params map[string]string
	pod    kedav1alpha1.AuthPodIdentity
}

func pat(token string) auth { return auth{params: map[string]string{"personalAccessToken": token}} }

// build creates the scaler, as KEDA's operator does when it first sees a ScaledJob.
func build(e *emulated.Emulator, tr trigger, a auth) (scalers.Scaler, error) {
	return scalers.NewAzurePipelinesScaler(context.Background(), &scalersconfig.ScalerConfig{
		ScalableObjectName: "agents", ScalableObjectNamespace: "ci", ScalableObjectType: "ScaledJob",
		GlobalHTTPTimeout: time.Minute, MetricType: v2.AverageValueMetricType,
		TriggerMetadata: trigger{"organizationURL": e.Org}.with(tr), AuthParams: a.params, PodIdentity: a.pod,
	})
}

func mustBuild(t *testing.T, e *emulated.Emulator, tr trigger, a auth) scalers.Scaler {
	t.Helper()
	s, err := build(e, tr, a)
	if err != nil {
		t.Fatalf("KEDA cannot use %v: %v", tr, err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

// poll does what the operator does every pollingInterval: it returns the length of the queue, and
// whether the scaler is active.
func poll(s scalers.Scaler) (int64, bool, error) {
	ctx := context.Background()
	name := s.GetMetricSpecForScaling(ctx)[0].External.Metric.Name
	values, active, err := s.GetMetricsAndActivity(ctx, name)
	if err != nil {
		return 0, active, err
	}
	return values[0].Value.Value(), active, nil
}

// counts checks the length of the queue that a new scaler with this trigger returns.
func counts(t *testing.T, e *emulated.Emulator, want int64, tr trigger) {
	t.Helper()
	got, active, err := poll(mustBuild(t, e, tr, pat(e.PAT)))
	if err != nil || got != want || active != (want > 0) {
		t.Errorf("KEDA counts %d (active %v, %v) with %v, want %d", got, active, err, tr, want)
	}
}

// fails checks that an error contains this text.
func fails(t *testing.T, err error, says string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("KEDA says %v, want %q in it", err, says)
	}
}
