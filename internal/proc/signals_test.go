//go:build linux

package proc

import (
	"context"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestSignalActions(t *testing.T) {
	want := map[syscall.Signal]Action{
		syscall.SIGTERM: Drain, syscall.SIGHUP: Drain, syscall.SIGQUIT: Drain,
		syscall.SIGINT:   Interrupt,
		syscall.SIGWINCH: Forward, syscall.SIGCONT: Forward,
		syscall.SIGUSR1: Ignored, syscall.SIGUSR2: Ignored,
	}
	caught, stop := CatchSignals()
	reading, stopReading := context.WithCancel(t.Context())
	signals := caught.Subscribe(reading)
	for sig, action := range want {
		if sig == syscall.SIGHUP && signal.Ignored(sig) { // the tests run under nohup
			continue
		}
		before := time.Now()
		if err := syscall.Kill(os.Getpid(), sig); err != nil {
			t.Fatal(err)
		}
		if got := <-signals; got.Signal != sig || got.Action != action || got.At.Before(before) || got.At.After(time.Now()) {
			t.Errorf("%v is caught as %v, want %v", sig, got, action)
		}
	}
	stop()
	stopReading()
	if len(signalActions()) != len(want) {
		t.Errorf("%d signals have an action, this test knows %d", len(signalActions()), len(want))
	}
	if err := goleak.Find(); err != nil {
		t.Error(err)
	}
	select {
	case s := <-signals:
		t.Errorf("caught %v after stop", s)
	default:
	}
}

// Go's scheduler interrupts busy goroutines with SIGURG. signal.Notify without a list
// received 344 of them in two seconds.
func TestSchedulerSignalIsNotCaught(t *testing.T) {
	urgent := make(chan os.Signal, 1)
	signal.Notify(urgent, syscall.SIGURG) // to check that there are any
	defer signal.Stop(urgent)
	caught, stop := CatchSignals()
	defer stop()
	signals := caught.Subscribe(t.Context())
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
	if got := <-signals; got.Signal != syscall.SIGUSR1 {
		t.Errorf("got %v first", got)
	}
}

// Under nohup, SIGHUP stays ignored.
func nohup(h *host) {
	caught, stop := CatchSignals()
	defer stop()
	signals := caught.Subscribe(context.Background())
	must(0, syscall.Kill(os.Getpid(), syscall.SIGHUP))
	must(0, syscall.Kill(os.Getpid(), syscall.SIGTERM))
	if got := <-signals; got.Signal != syscall.SIGTERM {
		h.Errorf("got %v first", got)
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

// TestSignalFlood: a reader that is busy gets the signals that arrived meanwhile, even if a
// job sent many others.
func TestSignalFlood(t *testing.T) {
	caught, stop := CatchSignals()
	defer stop()
	signals := caught.Subscribe(t.Context())
	for range 2000 {
		if err := syscall.Kill(os.Getpid(), syscall.SIGWINCH); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for h := range signals {
		if h.Signal == syscall.SIGTERM {
			return
		}
	}
}

// TestSubscribe: a subscriber that does not read does not block the others. Each gets all
// signals in order, also those that arrived while it was busy or before it subscribed.
func TestSubscribe(t *testing.T) {
	var signals Signals
	reading, stop := context.WithCancel(t.Context())
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	sent := []Signal{{syscall.SIGTERM, Drain, at}, {syscall.SIGINT, Interrupt, at}, {syscall.SIGINT, Interrupt, at.Add(time.Second)}, {syscall.SIGCONT, Forward, at}}
	signals.Subscribe(reading) // and never reads
	early := signals.Subscribe(reading)
	for _, one := range sent {
		signals.Add(one)
	}
	for _, reader := range []<-chan Signal{early, signals.Subscribe(reading)} {
		for _, want := range sent {
			if got := <-reader; got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		}
	}
	for range 100 * maxQueuedAlike {
		signals.Add(sent[0])
	}
	signals.Add(sent[1])
	alike := 0
	for s := range early {
		if s == sent[1] {
			break
		}
		alike++
	}
	if alike != maxQueuedAlike {
		t.Errorf("%d alike waited, want %d", alike, maxQueuedAlike)
	}
	stop()
	if err := goleak.Find(); err != nil {
		t.Error(err)
	}
}
