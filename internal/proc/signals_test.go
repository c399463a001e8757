//go:build linux

package proc

import (
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestEverySignalHasItsWord(t *testing.T) {
	want := map[syscall.Signal]Action{
		syscall.SIGTERM: Drain, syscall.SIGHUP: Drain, syscall.SIGQUIT: Drain,
		syscall.SIGINT:   Interrupt,
		syscall.SIGWINCH: Forward, syscall.SIGCONT: Forward,
		syscall.SIGUSR1: Ignored, syscall.SIGUSR2: Ignored,
	}
	heard, stop := CatchSignals()
	for sig, word := range want {
		if sig == syscall.SIGHUP && signal.Ignored(sig) { // the tests run under nohup
			continue
		}
		if err := syscall.Kill(os.Getpid(), sig); err != nil {
			t.Fatal(err)
		}
		if got := <-heard; got != (Signal{sig, word}) {
			t.Errorf("%v is heard as %v, want %v", sig, got, word)
		}
	}
	stop()
	if h, open := <-heard; open {
		t.Errorf("hears %v after stop", h)
	}
	if len(signalActions()) != len(want) {
		t.Errorf("%d signals have a word, this test knows %d", len(signalActions()), len(want))
	}
	if err := goleak.Find(); err != nil {
		t.Error(err)
	}
}

// SIGURG is how Go's scheduler interrupts busy goroutines. Under signal.Notify
// of everything 344 were counted in two seconds.
func TestTheSchedulersOwnSignalIsNeverHeard(t *testing.T) {
	urgent := make(chan os.Signal, 1)
	signal.Notify(urgent, syscall.SIGURG) // the test's own ear: to know that there were any
	defer signal.Stop(urgent)
	heard, stop := CatchSignals()
	defer stop()
	var over atomic.Bool
	defer over.Store(true)
	for range 4 * runtime.GOMAXPROCS(0) {
		go func() {
			for n := 0; !over.Load(); n++ {
			}
		}()
	}
	for range 20 {
		<-urgent
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	if got := <-heard; got.Signal != syscall.SIGUSR1 {
		t.Errorf("heard %v first", got)
	}
}

// nohup's whole point.
func nohup(h *host) {
	heard, stop := CatchSignals()
	defer stop()
	must(0, syscall.Kill(os.Getpid(), syscall.SIGHUP))
	must(0, syscall.Kill(os.Getpid(), syscall.SIGTERM))
	if got := <-heard; got.Signal != syscall.SIGTERM {
		h.Errorf("heard %v first", got)
	}
}

func init() { hosts["TestNohup"] = nohup }

func TestNohup(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("/bin/sh", "-c", `trap "" HUP; exec "$0" be TestNohup`, testBinary(t))
	cmd.Env = append(os.Environ(), quickEnd)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestAFloodOfSignalsHidesNone: a reader that is busy gets what arrived in the
// meantime, however often a job has sent something else.
func TestAFloodOfSignalsHidesNone(t *testing.T) {
	heard, stop := CatchSignals()
	defer stop()
	for range 2000 {
		if err := syscall.Kill(os.Getpid(), syscall.SIGWINCH); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for h := range heard {
		if h == (Signal{syscall.SIGTERM, Drain}) {
			return
		}
	}
	t.Error("SIGTERM was lost")
}

// TestBroadcast: who does not read keeps no signal from the others; each gets all
// in order, those included that arrived while it was busy.
func TestBroadcast(t *testing.T) {
	heard := make(chan Signal)
	each, stop := Broadcast(heard, 3)
	sent := []Signal{{syscall.SIGTERM, Drain}, {syscall.SIGINT, Interrupt}, {syscall.SIGINT, Interrupt}, {syscall.SIGCONT, Forward}}
	for _, h := range sent {
		heard <- h
	}
	for _, reader := range each[1:] { // the first never reads
		for _, want := range sent {
			if got := <-reader; got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		}
	}
	for range 100 * maxQueuedAlike {
		heard <- sent[0]
	}
	heard <- sent[1]
	alike := 0
	for h := range each[1] {
		if h == sent[1] {
			break
		}
		alike++
	}
	if alike != maxQueuedAlike {
		t.Errorf("%d alike waited, want %d", alike, maxQueuedAlike)
	}
	stop()
	for _, reader := range each {
		for range reader { // ends
		}
	}
	if err := goleak.Find(); err != nil {
		t.Error(err)
	}
}
