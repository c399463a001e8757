// Package metrics has counters, gauges and histograms in Prometheus' text format (version
// 0.0.4), as far as azptend needs them.
//
// Prometheus' client, client_golang 1.25.0, would make the binary 2.4 MB larger (12.8 to
// 15.1 MB), above the limit of 15 MB: its protocol buffers keep the linker from dropping
// unused methods. Tests check this package's output with Prometheus' parser.
//
// There is no global Registry, so that no linked package can add metrics to it.
package metrics

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Family describes a metric.
type Family struct {
	Name, Kind, Help string
	Labels           []string
}

// Registry contains metrics. The zero value is empty. It and its metrics are safe for
// concurrent use.
type Registry struct {
	mu       sync.Mutex
	families []*family
}

type kind string

const (
	counter   kind = "counter"
	gauge     kind = "gauge"
	histogram kind = "histogram"
)

// family is a metric with all its series.
type family struct {
	registry   *Registry
	kind       kind
	name, help string
	labels     []string
	buckets    []float64 // of a histogram: ascending upper bounds, without +Inf
	series     map[string]*series
}

// series is a metric for one set of label values.
type series struct {
	values []string
	value  float64  // of a histogram, the sum
	counts []uint64 // of a histogram: one for each bucket and one for +Inf; not cumulative
}

// AddProcess adds the version of azptend and the time of its start.
func (r *Registry) AddProcess(version string) {
	r.Gauge("azptend_build_info", "Always 1; the version is a label.", "version").Set(1, version)
	r.Gauge("process_start_time_seconds", "When azptend started.").Set(float64(time.Now().UnixMilli()) / 1000)
}

type (
	// Counter is a number that only grows. Its name ends in _total.
	Counter struct{ f *family }
	// Gauge is a number that can go up and down.
	Gauge struct{ f *family }
	// Histogram counts observations by their size.
	Histogram struct{ f *family }
)

// Counter adds a counter with these labels. Without labels it starts at 0 at once.
func (r *Registry) Counter(name, help string, labels ...string) Counter {
	return Counter{r.add(&family{kind: counter, name: name, help: help, labels: labels})}
}

// Gauge adds a gauge with these labels.
func (r *Registry) Gauge(name, help string, labels ...string) Gauge {
	return Gauge{r.add(&family{kind: gauge, name: name, help: help, labels: labels})}
}

// Histogram adds a histogram with these labels. buckets are ascending upper bounds. Larger
// observations are counted too.
func (r *Registry) Histogram(name, help string, buckets []float64, labels ...string) Histogram {
	return Histogram{r.add(&family{kind: histogram, name: name, help: help, labels: labels, buckets: buckets})}
}

// Families are all metrics in the order in which they were added, also those without
// a series.
func (r *Registry) Families() []Family {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Family
	for _, f := range r.families {
		all = append(all, Family{f.name, string(f.kind), f.help, slices.Clone(f.labels)})
	}
	return all
}

func (r *Registry) add(f *family) *family {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.ContainsFunc(r.families, func(other *family) bool { return other.name == f.name }) {
		panic("metrics: " + f.name + " exists twice") // every test would fail
	}
	f.registry, f.series = r, map[string]*series{}
	r.families = append(r.families, f)
	if len(f.labels) == 0 {
		f.seriesFor(nil)
	}
	return f
}

// seriesFor returns the series with these label values, and creates it if necessary. The
// caller has locked the registry.
func (f *family) seriesFor(values []string) *series {
	if len(values) != len(f.labels) {
		panic(fmt.Sprintf("metrics: %s has the labels %v, and was given %d values", f.name, f.labels, len(values)))
	}
	key := strings.Join(values, "\xff")
	s := f.series[key]
	if s == nil {
		s = &series{values: slices.Clone(values), counts: make([]uint64, len(f.buckets)+1)}
		f.series[key] = s
	}
	return s
}

func (f *family) with(values []string, do func(*series)) {
	f.registry.mu.Lock()
	defer f.registry.mu.Unlock()
	do(f.seriesFor(values))
}

// Add adds to a counter. It ignores negative numbers. Adding 0 creates the series, because
// rate() does not see the first increase of a series that starts with 1.
func (c Counter) Add(n float64, labels ...string) {
	c.f.with(labels, func(s *series) { s.value += max(n, 0) })
}

// Set sets a gauge.
func (g Gauge) Set(value float64, labels ...string) {
	g.f.with(labels, func(s *series) { s.value = value })
}

// Observe counts an observation.
func (h Histogram) Observe(value float64, labels ...string) {
	h.f.with(labels, func(s *series) {
		bucket, _ := slices.BinarySearch(h.f.buckets, value)
		s.counts[bucket]++
		s.value += value
	})
}

// JobBuckets are for durations of jobs: from ten seconds to a day. The limit of Microsoft's
// hosted agents is six hours.
func JobBuckets() []float64 {
	return []float64{10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 21600, 43200, 86400}
}

// Init creates the series of a histogram.
func (h Histogram) Init(labels ...string) { h.f.with(labels, func(*series) {}) }
