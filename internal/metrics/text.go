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

// contentType is the format's, as Prometheus asks for it.
const contentType = "text/plain; version=0.0.4; charset=utf-8"

// ServeHTTP answers a scrape.
func (r *Registry) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", contentType)
	_, _ = io.WriteString(w, r.Text())
}

// Text is every metric in Prometheus' text format, in the order in which they were
// made, and series in the order of their labels.
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
	if f.kind != histogram {
		line(b, f.name, f.pairs(s), s.value)
		return
	}
	var total uint64
	for i, n := range s.counts {
		total += n
		bound := "+Inf"
		if i < len(f.buckets) {
			bound = strconv.FormatFloat(f.buckets[i], 'g', -1, 64)
		}
		line(b, f.name+"_bucket", append(f.pairs(s), pair("le", bound)), float64(total))
	}
	line(b, f.name+"_sum", f.pairs(s), s.value)
	line(b, f.name+"_count", f.pairs(s), float64(total))
}

func (f *family) pairs(s *series) []string {
	var pairs []string
	for i, label := range f.labels {
		pairs = append(pairs, pair(label, s.values[i]))
	}
	return pairs
}

func pair(label, value string) string { return label + `="` + escape(value, `"`) + `"` }

func line(b *strings.Builder, name string, pairs []string, value float64) {
	b.WriteString(name)
	if len(pairs) > 0 {
		b.WriteString("{" + strings.Join(pairs, ",") + "}")
	}
	b.WriteString(" " + strconv.FormatFloat(value, 'g', -1, 64) + "\n")
}

// escape keeps anybody's text on its line, and within the quotes it stands in.
// What is no UTF-8 would make a whole scrape unreadable.
func escape(s, quote string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.ReplaceAll(s, `\`, `\\`)
	s = strings.ReplaceAll(s, "\n", `\n`)
	if quote != "" {
		s = strings.ReplaceAll(s, quote, `\`+quote)
	}
	return s
}
