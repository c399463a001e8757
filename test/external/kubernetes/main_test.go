package kubernetes

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/azptend/azptend/test/external/conformance/go/emulated"
	"github.com/azptend/azptend/test/external/kubernetes/machine"
)

var (
	bin      = flag.String("bin", "", "the folder with the programs of a cluster, as ./build makes it")
	keep     = flag.String("logs", "", "the folder for the logs of all that runs; a temporary one if not set")
	page     = flag.String("page", "", "the page that the measurements are written into")
	images   = flag.String("images", "", "the archive of TestNode's images, as images/save makes it")
	patience = flag.Duration("patience", 5*time.Minute, "what is waited for anything: far longer than all needs")
)

// interrupted is closed by Ctrl-C. Then all processes are stopped, as at the end of a test.
var interrupted = make(chan struct{})

func TestMain(m *testing.M) {
	flag.Parse()
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, syscall.SIGINT, syscall.SIGTERM)
	if *images != "" && !machine.Inside() {
		code, err := machine.Run(heard)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(code)
	}
	go func() { <-heard; signal.Stop(heard); close(interrupted) }()
	os.Exit(emulated.Main(m))
}

// scene is one situation, with a release and a pool of its own.
type scene struct {
	what string
	play func(t *testing.T) *release
}

// play plays scenes one after the other, and returns their results if all passed.
func play(t *testing.T, scenes []scene) (rows []row) {
	t.Helper()
	for _, s := range scenes {
		began := time.Now()
		passed := t.Run(s.what, func(t *testing.T) {
			r := s.play(t)
			rows = append(rows, row{s.what, len(r.queued), len(r.madeJobs()), time.Since(began)})
		})
		if !passed {
			return nil // the next scene would find what this one left
		}
	}
	return rows
}

// TestKubernetes starts one cluster, whose nodes are simulated, and plays all scenes in it.
func TestKubernetes(t *testing.T) {
	if *bin == "" || *images != "" {
		t.Skip("make test-kubernetes runs it")
	}
	pools := []string{"default", "accurate", "drained", "deleted", "registered", "measured", pipelines, keeper, "statefulset", "deployment", "killed"}
	w := start(t, pools, false)
	w.startKubelet(t)
	rows := play(t, []scene{
		{"one pair of KEDA's: `default`, and jobs that run are counted", w.scales("default", true)},
		{"the other: `accurate`, and they are not", w.scales("accurate", false)},
		{"a node is drained in the middle of jobs", w.drain},
		{"a pod is deleted before its agent listens", w.deleteStarting},
		{"an init container registers", w.initRegisters},
		{"jobs for their times alone", w.measured},
		{"KEDA asks Azure DevOps: the jobs of the tables below", w.asks(pipelines)},
		{"KEDA asks the keeper: the same jobs", w.asks(keeper)},
		{"`statefulSet`: three agents that stay", w.stay("statefulSet")},
		{"`deployment`: three agents that stay", w.stay("deployment")},
		{"a pod is killed, and a container in the middle of its job", w.killed}, // the last one, because it advances the emulator's clock
	})
	if *page != "" && rows != nil {
		writePage(t, *page, "kubernetes", w.measurements(t, rows)+w.triggerTables())
	}
}
