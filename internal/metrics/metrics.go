package metrics

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Family describes a metric.
type Family struct {
	Name, Kind, Help string
	Labels           []string
}

// Registry holds metrics. It and all that it makes are safe for use by several
// goroutines.
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
	buckets    []float64 // of a histogram: upper bounds, ascending, without the last, which is infinite
	series     map[string]*series
}

// series is a metric for one set of label values.
type series struct {
	values []string
	value  float64  // of a histogram, the sum
	counts []uint64 // of a histogram, one a bucket and one for the rest; not cumulative
}

// New makes an empty registry.
func New() *Registry { return &Registry{} }

// Counter is a number that only grows. Its name ends in _total.
type Counter struct{ f *family }

// Gauge is a number that is set.
type Gauge struct{ f *family }

// Histogram counts observations by their size.
type Histogram struct{ f *family }

// Counter makes a counter with these labels. Without labels it is there at once,
// at 0.
func (r *Registry) Counter(name, help string, labels ...string) Counter {
	return Counter{r.add(&family{kind: counter, name: name, help: help, labels: labels})}
}

// Gauge makes a gauge, as Counter makes a counter.
func (r *Registry) Gauge(name, help string, labels ...string) Gauge {
	return Gauge{r.add(&family{kind: gauge, name: name, help: help, labels: labels})}
}

// Histogram makes a histogram, as Counter makes a counter. Buckets are upper
// bounds, ascending; what is above the last is counted too.
func (r *Registry) Histogram(name, help string, buckets []float64, labels ...string) Histogram {
	return Histogram{r.add(&family{kind: histogram, name: name, help: help, labels: labels, buckets: buckets})}
}

// Families are the metrics that there are, in the order in which they were made,
// also those that have no series yet.
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
		panic("metrics: " + f.name + " is there twice") // by its author, who sees it in any test
	}
	f.registry, f.series = r, map[string]*series{}
	r.families = append(r.families, f)
	if len(f.labels) == 0 {
		f.seriesFor(nil)
	}
	return f
}

// seriesFor finds the series of these label values, and makes it if it is not there. The
// registry is locked.
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

// Add adds to a counter; what is negative is left out. Adding 0 makes the series,
// so that it is there before anything is counted: a rate over a series that
// appears with a 1 misses it.
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

// Init makes the series of a histogram, as adding 0 does a counter's.
func (h Histogram) Init(labels ...string) { h.f.with(labels, func(*series) {}) }
