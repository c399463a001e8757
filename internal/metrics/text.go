package metrics

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// contentType is the Content-Type of the format.
const contentType = "text/plain; version=0.0.4; charset=utf-8"

// ServeHTTP answers a scrape.
func (r *Registry) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", contentType)
	_, _ = io.WriteString(w, r.Text())
}

// Text returns all metrics in Prometheus' text format: metrics in the order in which they were
// added, series in the order of their labels.
func (r *Registry) Text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	for _, f := range r.families {
		if len(f.series) == 0 {
			continue
		}
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n", f.name, escape(f.help, ""), f.name, f.kind)
		for _, key := range slices.Sorted(maps.Keys(f.series)) {
			f.write(&b, f.series[key])
		}
	}
	return b.String()
}

func (f *family) write(b *strings.Builder, s *series) {
	var labels []string
	for i, name := range f.labels {
		labels = append(labels, name+`="`+escape(s.values[i], `"`)+`"`)
	}
	line := func(suffix string, value float64, more ...string) {
		b.WriteString(f.name + suffix)
		if all := slices.Concat(labels, more); len(all) > 0 {
			b.WriteString("{" + strings.Join(all, ",") + "}")
		}
		b.WriteString(" " + strconv.FormatFloat(value, 'g', -1, 64) + "\n")
	}
	if f.kind != histogram {
		line("", s.value)
		return
	}
	var total uint64
	for i, n := range s.counts {
		total += n
		bound := "+Inf"
		if i < len(f.buckets) {
			bound = strconv.FormatFloat(f.buckets[i], 'g', -1, 64)
		}
		line("_bucket", float64(total), `le="`+bound+`"`)
	}
	line("_sum", s.value)
	line("_count", float64(total))
}

// escape escapes a text, so that it stays on its line and within its quotes. It replaces
// invalid UTF-8, which would make the whole scrape invalid.
func escape(s, quote string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.ReplaceAll(s, `\`, `\\`)
	s = strings.ReplaceAll(s, "\n", `\n`)
	if quote != "" {
		s = strings.ReplaceAll(s, quote, `\`+quote)
	}
	return s
}
