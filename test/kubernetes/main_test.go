package kubernetes

import (
	"flag"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/azptend/azptend/test/conformance/go/emulated"
)

var (
	bin      = flag.String("bin", "", "the folder with the programs of a cluster, as ./build makes it")
	keep     = flag.String("logs", "", "the folder for the logs of all that runs; a temporary one if not set")
	patience = flag.Duration("patience", 5*time.Minute, "what is waited for anything: far longer than all needs")
)

// interrupted is closed by Ctrl-C: all that runs is ended then, as at a test's end.
var interrupted = make(chan struct{})

func TestMain(m *testing.M) {
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, syscall.SIGINT, syscall.SIGTERM)
	go func() { <-heard; signal.Stop(heard); close(interrupted) }()
	os.Exit(emulated.Main(m))
}

// TestKubernetes is one cluster and, one after another, what happens in it.
func TestKubernetes(t *testing.T) {
	if *bin == "" {
		t.Skip("make test-kubernetes runs it")
	}
	w := start(t)
	t.Run("one pair of KEDA's: default, and jobs that run are counted", w.scales("default", true))
	t.Run("the other: accurate, and they are not", w.scales("accurate", false))
	t.Run("a node is drained", w.drain)
	t.Run("a pod is deleted before its agent listens", w.deleteStarting)
	t.Run("an init container registers", w.initRegisters)
	t.Run("a pod is killed", w.killed) // the last: it lets the emulator's clock run ahead
}
