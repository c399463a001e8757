package kubernetes

import (
	"flag"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/azptend/azptend/test/external/conformance/go/emulated"
)

var (
	bin      = flag.String("bin", "", "the folder with the programs of a cluster, as ./build makes it")
	keep     = flag.String("logs", "", "the folder for the logs of all that runs; a temporary one if not set")
	page     = flag.String("page", "", "the page that the measurements are written into")
	patience = flag.Duration("patience", 5*time.Minute, "what is waited for anything: far longer than all needs")
)

// interrupted is closed by Ctrl-C. Then all processes are stopped, as at the end of a test.
var interrupted = make(chan struct{})

func TestMain(m *testing.M) {
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, syscall.SIGINT, syscall.SIGTERM)
	go func() { <-heard; signal.Stop(heard); close(interrupted) }()
	os.Exit(emulated.Main(m))
}

// TestKubernetes starts one cluster and runs all scenes in it, one after the other.
func TestKubernetes(t *testing.T) {
	if *bin == "" {
		t.Skip("make test-kubernetes runs it")
	}
	w := start(t)
	scenes := []struct {
		what string
		play func(t *testing.T) *release
	}{
		{"one pair of KEDA's: `default`, and jobs that run are counted", w.scales("default", true)},
		{"the other: `accurate`, and they are not", w.scales("accurate", false)},
		{"a node is drained in the middle of jobs", w.drain},
		{"a pod is deleted before its agent listens", w.deleteStarting},
		{"an init container registers", w.initRegisters},
		{"jobs for their times alone", w.measured},
		{"`statefulSet`: three agents that stay", w.stay("statefulSet")},
		{"`deployment`: three agents that stay", w.stay("deployment")},
		{"a pod is killed, and a container in the middle of its job", w.killed}, // the last one, because it advances the emulator's clock
	}
	var rows []row
	for _, s := range scenes {
		began := time.Now()
		passed := t.Run(s.what, func(t *testing.T) {
			r := s.play(t)
			rows = append(rows, row{s.what, len(r.queued), len(r.madeJobs()), time.Since(began)})
		})
		if !passed {
			return // the next scene would find what this one left
		}
	}
	if *page != "" && len(rows) == len(scenes) && !t.Failed() {
		w.writePage(t, *page, rows)
	}
}
