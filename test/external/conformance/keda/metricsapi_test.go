package keda

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	"github.com/kedacore/keda/v2/pkg/scalers"
	"github.com/kedacore/keda/v2/pkg/scalers/scalersconfig"
	"github.com/kedacore/keda/v2/pkg/scaling/executor"
	v2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/azptend/azptend/test/external/conformance/go/emulated"
)

const (
	pageToken  = "a-token-for-the-page"
	scaleToken = "a-token-for-keda"
)

// keeper starts a keeper with the groups of a file.
func keeper(t *testing.T, e *emulated.Emulator, groups string) (address string, stop func()) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "groups.yaml")
	if err := os.WriteFile(file, []byte(groups), 0o600); err != nil {
		t.Fatal(err)
	}
	return e.RunKeeper(t, "AZP_POOL=linux", "AZP_KEEP_GROUPS_FILE="+file, "AZP_KEEP_TOKEN="+pageToken, "AZP_KEEP_SCALE_TOKEN="+scaleToken)
}

// metricsAPI creates the scaler, as KEDA's operator does.
func metricsAPI(tr trigger, token string) (scalers.Scaler, error) {
	return scalers.NewMetricsAPIScaler(&scalersconfig.ScalerConfig{
		ScalableObjectName: "agents", ScalableObjectNamespace: "ci", ScalableObjectType: "ScaledJob",
		GlobalHTTPTimeout: 3 * time.Second, MetricType: v2.AverageValueMetricType,
		TriggerMetadata: trigger{"valueLocation": "desired", "targetValue": "1", "authMode": "bearer"}.with(tr),
		AuthParams:      map[string]string{"token": token},
	}, nil)
}

func pollGroup(t *testing.T, tr trigger, token string) (int64, bool, error) {
	t.Helper()
	s, err := metricsAPI(tr, token)
	if err != nil {
		return 0, false, err
	}
	defer s.Close(context.Background())
	return poll(s)
}

// TestMetricsAPI: KEDA's metrics-api scaler reads the number of each group, and takes nothing else for
// one.
func TestMetricsAPI(t *testing.T) {
	e := emulated.Start(t, "linux")
	address, stop := keeper(t, e, "groups: [{name: plain, max: 9}, {name: docker, max: 3, capabilities: {docker: true}, warm: [{count: 1}]}]")
	of := func(group string) trigger { return trigger{"url": address + "/scale/" + group} }
	eventually := func(what string, want int64, tr trigger, token string) {
		t.Helper()
		until := time.Now().Add(20 * time.Second)
		for {
			n, active, err := pollGroup(t, tr, token)
			if err == nil && n == want && active == (want > 0) {
				return
			}
			if time.Now().After(until) {
				t.Fatalf("%s: KEDA counts %d, active %v, %v; want %d", what, n, active, err, want)
			}
			time.Sleep(100 * time.Millisecond) // between two polls
		}
	}
	eventually("no job", 0, of("plain"), scaleToken)
	eventually("a warm agent", 1, of("docker"), scaleToken)
	for range 4 {
		e.Queue(t, emulated.Job{Pool: "linux", Script: "true", Demands: []string{"docker"}, Force: true})
	}
	e.Queue(t, emulated.Job{Pool: "linux", Script: "true", Force: true})
	eventually("a job", 1, of("plain"), scaleToken)
	eventually("more jobs than max", 3, of("docker"), scaleToken)
	eventually("the token of a Secret made from a file", 3, of("docker"), scaleToken+"\n")
	eventually("the keeper's token", 3, of("docker"), pageToken)
	eventually("waiting alone", 4, of("docker").with(trigger{"valueLocation": "waiting"}), scaleToken)
	eventually("as Prometheus' metric", 3, trigger{"url": address + "/metrics", "format": "prometheus", "valueLocation": `azptend_scale_desired{group="docker"}`}, pageToken)
	eventually("with a timeout", 3, of("docker").with(trigger{"timeout": "2500ms"}), scaleToken)

	for _, tt := range []struct {
		what, says string
		tr         trigger
		token      string
	}{
		{"a wrong token", "401", of("docker"), "another-token-of-anybody"},
		{"an unknown group", "404", of("windows"), scaleToken},
		{"a wrong path", "got Null", of("docker").with(trigger{"valueLocation": "jobs"}), scaleToken},
		{"without authMode KEDA sends no token", "401", of("docker").with(trigger{"authMode": ""}), scaleToken},
		{"method GET, as in many examples", "method", of("docker").with(trigger{"method": "GET"}), scaleToken},
	} {
		if n, _, err := pollGroup(t, tt.tr, tt.token); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: KEDA counts %d, %v; want an error with %q", tt.what, n, err, tt.says)
		}
	}

	// A refused token is an error within a poll, and heals within one.
	e.Break(t, emulated.Fault{Path: "/jobrequests", Status: 401})
	time.Sleep(1100 * time.Millisecond) // the last number is fresh for a second
	if n, _, err := pollGroup(t, of("docker"), scaleToken); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("with a refused token KEDA counts %d, %v", n, err)
	}
	e.RemoveFaults(t)
	eventually("after that", 3, of("docker"), scaleToken)
	stop()
	if n, _, err := pollGroup(t, of("docker"), scaleToken); err == nil {
		t.Errorf("without a keeper KEDA counts %d", n)
	}
}

// scaledJobs are two ScaledJobs in a cluster of the fake client.
type cluster struct {
	client   client.Client
	executor executor.ScaleExecutor
}

func newCluster(t *testing.T) cluster {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, kedav1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c := fake.NewClientBuilder().WithScheme(scheme).Build()
	return cluster{c, executor.NewScaleExecutor(c, nil, scheme, time.Minute, events.NewFakeRecorder(1000))}
}

// poll lets KEDA's executor act on a number, as its loop does with targetValue 1, and returns the
// reason of its Ready condition.
func (c cluster) poll(t *testing.T, name string, most int32, n int64, failed bool) string {
	t.Helper()
	job := &kedav1alpha1.ScaledJob{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ci"},
		Spec: kedav1alpha1.ScaledJobSpec{
			MaxReplicaCount: &most, ScalingStrategy: kedav1alpha1.ScalingStrategy{Strategy: "default"},
			JobTargetRef: &batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever}}},
		},
	}
	result := c.executor.RequestJobScale(context.Background(), job, n > 0 && !failed, failed, n, min(n, int64(most)), executor.ScaleExecutorOptions{})
	if result.Error != nil {
		t.Fatal(result.Error)
	}
	ready := result.Conditions.GetReadyCondition()
	return ready.Reason
}

// jobs counts a ScaledJob's Jobs.
func (c cluster) jobs(t *testing.T, name string) int {
	t.Helper()
	var all batchv1.JobList
	if err := c.client.List(context.Background(), &all, client.InNamespace("ci"), client.MatchingLabels{"scaledjob.keda.sh/name": name}); err != nil {
		t.Fatal(err)
	}
	return len(all.Items)
}

// TestTwoScaledJobs: 50 jobs that two ScaledJobs could run make exactly 50 Kubernetes Jobs, however
// often KEDA polls. While the keeper is away, none is made and none deleted.
func TestTwoScaledJobs(t *testing.T) {
	e := emulated.Start(t, "linux")
	address, stop := keeper(t, e, "groups: [{name: one, max: 30}, {name: two, max: 30, capabilities: {docker: true}}]")
	for range 50 {
		e.Queue(t, emulated.Job{Pool: "linux", Script: "true", Force: true})
	}
	c := newCluster(t)
	names := []string{"one", "two"}
	round := func() (said string) {
		for _, name := range names {
			n, _, err := pollGroup(t, trigger{"url": address + "/scale/" + name}, scaleToken)
			said += c.poll(t, name, 100, n, err != nil) + " "
		}
		return said
	}
	until := time.Now().Add(20 * time.Second)
	for c.jobs(t, "one")+c.jobs(t, "two") < 50 && time.Now().Before(until) {
		round()
		time.Sleep(100 * time.Millisecond) // between two polls
	}
	for range 5 {
		round()
	}
	if one, two := c.jobs(t, "one"), c.jobs(t, "two"); one != 30 || two != 20 {
		t.Errorf("%d and %d Kubernetes Jobs for 50 jobs", one, two)
	}
	stop()
	if said := round(); said != "TriggerError TriggerError " {
		t.Errorf("without a keeper the ScaledJobs say %s", said)
	}
	if n := c.jobs(t, "one") + c.jobs(t, "two"); n != 50 {
		t.Errorf("without a keeper there are %d Kubernetes Jobs", n)
	}
}

// TestAnswers: what the endpoint sends is small, and a HEAD has no body.
func TestAnswers(t *testing.T) {
	e := emulated.Start(t, "linux")
	address, _ := keeper(t, e, "groups: [{name: one, max: 30}]")
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
		req, err := http.NewRequest(method, address+"/scale/one", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+scaleToken)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || len(body) >= 1024 || method == http.MethodHead && len(body) > 0 || (method == http.MethodPost) != (resp.StatusCode == 405) {
			t.Error(fmt.Sprint(method, " ", resp.Status, " ", len(body), " bytes ", err))
		}
	}
}
