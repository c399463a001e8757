package kubernetes

import (
	"bytes"
	"debug/buildinfo"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// The page is written between these marks.
const begin, end = "<!-- kubernetes:begin -->", "<!-- kubernetes:end -->"

// row is the result of one scene.
type row struct {
	what         string
	queued, made int
	took         time.Duration
}

// writePage writes the measurements between the page's marks.
func (w *world) writePage(t *testing.T, page string, rows []row) {
	t.Helper()
	old, err := os.ReadFile(page)
	must(t, err)
	head, rest, ok := bytes.Cut(old, []byte(begin))
	_, tail, ok2 := bytes.Cut(rest, []byte(end))
	if !ok || !ok2 {
		t.Fatalf("%s has no %s … %s", page, begin, end)
	}
	text := w.measurements(t, rows)
	must(t, os.WriteFile(page, slices.Concat(head, []byte(begin+"\n"+text), []byte(end), tail), 0o644))
}

func (w *world) measurements(t *testing.T, rows []row) string {
	t.Helper()
	var b strings.Builder
	server, err := w.client.Discovery().ServerVersion()
	must(t, err)
	fmt.Fprintf(&b, "Written by `make test-kubernetes` on %s; do not edit. Kubernetes %s, KEDA %s.\nThe machine: %d cores of %s, %s/%s, which ran all of it.\n\n",
		time.Now().UTC().Format(time.DateOnly), server.GitVersion, w.kedaVersion(t), runtime.NumCPU(), processor(), runtime.GOOS, runtime.GOARCH)
	b.WriteString("| what happened | pipeline jobs queued | Kubernetes Jobs made | took |\n|---|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %d | %d | %.0f s |\n", r.what, r.queued, r.made, r.took.Seconds())
	}
	fmt.Fprintf(&b, "\nFrom a job's queueing to its start, with a polling interval of %d s, in seconds:\n\n| |", pollingInterval)
	for _, x := range w.waits {
		fmt.Fprintf(&b, " %s: median | worst |", x.what)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|---|", len(w.waits)) + "\n")
	for i, part := range parts {
		fmt.Fprintf(&b, "| %s |", part)
		for _, x := range w.waits {
			fmt.Fprintf(&b, " %.2f | %.2f |", median(x.parts[i]).Seconds(), slices.Max(x.parts[i]).Seconds())
		}
		b.WriteString("\n")
	}
	b.WriteString("| all of it |")
	for _, x := range w.waits {
		fmt.Fprintf(&b, " %.2f | %.2f |", median(x.total).Seconds(), slices.Max(x.total).Seconds())
	}
	b.WriteString("\n")
	return b.String()
}

// kedaVersion is the version of the module that the operator was built from.
func (w *world) kedaVersion(t *testing.T) string {
	t.Helper()
	info, err := buildinfo.ReadFile(filepath.Join(*bin, "keda-operator"))
	must(t, err)
	return info.Main.Version
}

var model = regexp.MustCompile(`(?m)^model name\s*: (.*)$`)

func processor() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	if m := model.FindSubmatch(b); m != nil {
		return string(m[1])
	}
	return "an unnamed processor"
}
