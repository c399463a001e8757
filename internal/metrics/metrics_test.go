package metrics_test

import (
	"math"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"pgregory.net/rapid"

	"github.com/azptend/azptend/internal/metrics"
)

func TestText(t *testing.T) {
	r := &metrics.Registry{}
	jobs := r.Counter("app_jobs_total", "Jobs\nwith a \\.", "pool", "result")
	jobs.Add(0, "B", "failed")
	jobs.Add(2, `a "quoted\" name`, "succeeded")
	jobs.Add(-5, "B", "failed")
	r.Gauge("app_depth", "How deep.").Set(1.5)
	r.Counter("app_none_total", "Nothing yet.", "pool")
	waits := r.Histogram("app_wait_seconds", "Waits.", []float64{1, 5}, "pool")
	for _, v := range []float64{0.5, 1, 5, 7} {
		waits.Observe(v, "A")
	}
	waits.Init("B")
	want := `# HELP app_jobs_total Jobs\nwith a \\.
# TYPE app_jobs_total counter
app_jobs_total{pool="B",result="failed"} 0
app_jobs_total{pool="a \"quoted\\\" name",result="succeeded"} 2
# HELP app_depth How deep.
# TYPE app_depth gauge
app_depth 1.5
# HELP app_wait_seconds Waits.
# TYPE app_wait_seconds histogram
app_wait_seconds_bucket{pool="A",le="1"} 2
app_wait_seconds_bucket{pool="A",le="5"} 3
app_wait_seconds_bucket{pool="A",le="+Inf"} 4
app_wait_seconds_sum{pool="A"} 13.5
app_wait_seconds_count{pool="A"} 4
app_wait_seconds_bucket{pool="B",le="1"} 0
app_wait_seconds_bucket{pool="B",le="5"} 0
app_wait_seconds_bucket{pool="B",le="+Inf"} 0
app_wait_seconds_sum{pool="B"} 0
app_wait_seconds_count{pool="B"} 0
`
	if got := r.Text(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestPrometheusReadsIt: Prometheus' parser returns the same labels and numbers, whatever they
// are.
func TestPrometheusReadsIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &metrics.Registry{}
		label, help := rapid.String().Draw(t, "label"), rapid.String().Draw(t, "help")
		value := rapid.Float64().Draw(t, "value")
		seen := rapid.SliceOf(rapid.Float64Range(0, 100)).Draw(t, "seen")
		r.Gauge("app_value", help, "label").Set(value, label)
		h := r.Histogram("app_seen_seconds", help, []float64{1, 10, 50}, "label")
		h.Init(label)
		sum := 0.0
		for _, v := range seen {
			h.Observe(v, label)
			sum += v
		}

		families := parse(t, r.Text())
		m := families["app_value"].GetMetric()[0]
		if got := m.GetLabel()[0].GetValue(); got != strings.ToValidUTF8(label, "\uFFFD") {
			t.Errorf("label %q became %q", label, got)
		}
		if got := m.GetGauge().GetValue(); got != value && !(math.IsNaN(got) && math.IsNaN(value)) {
			t.Errorf("%v became %v", value, got)
		}
		got := families["app_seen_seconds"].GetMetric()[0].GetHistogram()
		if got.GetSampleCount() != uint64(len(seen)) || got.GetSampleSum() != sum || len(got.GetBucket()) != 4 {
			t.Errorf("%v became %v", seen, got)
		}
	})
}

func parse(t interface{ Fatal(...any) }, text string) map[string]*dto.MetricFamily {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err, text)
	}
	return families
}

// TestScrape: the answer has the right Content-Type, and the lint finds a bad metric.
func TestScrape(t *testing.T) {
	r := &metrics.Registry{}
	r.Counter("app_requests", "A counter that is not called one.")
	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if got := w.Header().Get("Content-Type"); !strings.HasPrefix(got, "text/plain; version=0.0.4") {
		t.Errorf("it is %s", got)
	}
	problems, err := promlint.New(w.Body).Lint()
	if err != nil || len(problems) != 1 {
		t.Errorf("the lint has nothing to say: %v %v", problems, err)
	}
}

// TestConcurrentUse is for the race detector.
func TestConcurrentUse(t *testing.T) {
	r := &metrics.Registry{}
	c := r.Counter("app_total", "All.", "who")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				c.Add(1, "me")
				_ = r.Text()
			}
		})
	}
	all.Wait()
	if !strings.Contains(r.Text(), `app_total{who="me"} 800`) {
		t.Error(r.Text())
	}
}

func TestWrongUsePanics(t *testing.T) {
	for name, mistake := range map[string]func(*metrics.Registry){
		"twice":  func(r *metrics.Registry) { r.Counter("a_total", "A."); r.Gauge("a_total", "A.") },
		"labels": func(r *metrics.Registry) { r.Counter("a_total", "A.", "one").Add(1) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("nobody notices")
				}
			}()
			mistake(&metrics.Registry{})
		})
	}
}
