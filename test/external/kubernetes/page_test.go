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

// row is the result of one scene.
type row struct {
	what         string
	queued, made int
	took         time.Duration
}

// writePage writes a text between the marks of a page.
func writePage(t *testing.T, page, mark, text string) {
	t.Helper()
	begin, end := "<!-- "+mark+":begin -->", "<!-- "+mark+":end -->"
	old, err := os.ReadFile(page)
	must(t, err)
	head, rest, ok := bytes.Cut(old, []byte(begin))
	_, tail, ok2 := bytes.Cut(rest, []byte(end))
	if !ok || !ok2 {
		t.Fatalf("%s has no %s … %s", page, begin, end)
	}
	must(t, os.WriteFile(page, slices.Concat(head, []byte(begin+"\n"+text), []byte(end), tail), 0o644))
}

// preamble says what wrote a part of the page, and where.
func (w *world) preamble(t *testing.T, target, node string) string {
	t.Helper()
	server, err := w.client.Discovery().ServerVersion()
	must(t, err)
	return fmt.Sprintf("Written by `make %s` on %s; do not edit. Kubernetes %s, KEDA %s, %s.\nThe machine: %d cores of %s, %s/%s, which ran all of it.\n\n",
		target, time.Now().UTC().Format(time.DateOnly), server.GitVersion, w.kedaVersion(t), node, runtime.NumCPU(), processor(), runtime.GOOS, runtime.GOARCH)
}

// table is the results of scenes.
func table(rows []row) string {
	var b strings.Builder
	b.WriteString("| what happened | pipeline jobs queued | Kubernetes Jobs made | took |\n|---|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %d | %d | %.0f s |\n", r.what, r.queued, r.made, r.took.Seconds())
	}
	return b.String()
}

func (w *world) measurements(t *testing.T, rows []row) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(w.preamble(t, "test-kubernetes", "the test's own kubelet") + table(rows))
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
