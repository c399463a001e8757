package mslistener_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/azptend/azptend/internal/mslistener"
)

func newPerf(t *testing.T, dir string) mslistener.Perf {
	return (mslistener.Files{}).OpenPerf(dir, func(err error) { t.Errorf("error: %v", err) })
}

func hasSession(c mslistener.PerfCounts) bool { return c.Session }

func TestPerfWait(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "Agent.perf")
	perf := newPerf(t, dir)
	done := make(chan error, 1)
	go func() { _, err := perf.Wait(t.Context(), hasSession); done <- err }()
	appendTo(t, file, "AgentProcessStarted:2026-11-22T10:20:30.1234567Z\nSession")
	appendTo(t, filepath.Join(dir, "Other.perf"), "SessionCreated:2026-11-22T10:20:31Z\n")
	select {
	case err := <-done:
		t.Fatalf("before the session: %v", err)
	default:
	}
	appendTo(t, file, "Created:2026-11-22T10:20:31.1234567Z\n")
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := perf.Wait(t.Context(), hasSession); err != nil { // the session exists
		t.Error(err)
	}
}

func TestPerfWaitEnds(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "none")} {
		if _, err := newPerf(t, dir).Wait(ctx, hasSession); !errors.Is(err, enough) {
			t.Errorf("error is %v", err)
		}
	}
}

// TestPerfCounts: counters that the listener writes in pieces, and text that a job adds.
func TestPerfCounts(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "Agent.perf")
	perf := newPerf(t, dir)
	for _, step := range []struct {
		text string
		want mslistener.PerfCounts
	}{
		{"", mslistener.PerfCounts{}},
		{"AgentProcessStarted:1\nSessionCreated", mslistener.PerfCounts{}},
		{":2\n", mslistener.PerfCounts{Session: true}},
		{"MessageReceived_PipelineAgentJobRequest:3\nMessageReceived_Job", mslistener.PerfCounts{Session: true, Messages: 1, Jobs: 1}},
		{"Cancellation:4\nSentJobToWorker_1:5\n", mslistener.PerfCounts{Session: true, Messages: 2, Jobs: 1}},
		{"a line of a job's\nWorkerJobMessageReceived_1:6\nMessageReceived_AgentRefresh:7\n", mslistener.PerfCounts{Session: true, Messages: 3, Jobs: 1, Updates: 1}},
	} {
		appendTo(t, file, step.text)
		if got := perf.Counts(); got != step.want {
			t.Errorf("after %q: %+v, want %+v", step.text, got, step.want)
		}
	}
	// The counts stay if the file is truncated or removed.
	if err := os.WriteFile(file, []byte("SessionCreated:8\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := perf.Counts(); got.Messages != 3 || got.Jobs != 1 {
		t.Errorf("after it was truncated: %+v", got)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if got := perf.Counts(); got.Messages != 3 {
		t.Errorf("after it was removed: %+v", got)
	}
}

// TestPerfErrors: a pipe, a link or a huge file neither blocks nor fills the memory. The
// error is reported once. A regular file afterwards is read.
func TestPerfErrors(t *testing.T) {
	for name, make := range map[string]func(file string) error{
		"a named pipe":    func(file string) error { return syscall.Mkfifo(file, 0o644) },
		"an endless file": func(file string) error { return os.Symlink("/dev/zero", file) },
		"a directory":     func(file string) error { return os.Mkdir(file, 0o755) },
		"8 TB of holes": func(file string) error {
			return errors.Join(os.WriteFile(file, nil, 0o644), os.Truncate(file, 8<<40))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "Agent.perf")
			refused := 0
			perf := (mslistener.Files{}).OpenPerf(dir, func(error) { refused++ })
			appendTo(t, file, "SessionCreated:1\nMessageReceived_PipelineAgentJobRequest:2\n")
			if got := perf.Counts(); got.Jobs != 1 {
				t.Fatalf("%+v", got)
			}
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			if err := make(file); err != nil {
				t.Skip(err) // the file system does not support such a long file
			}
			for range 2 {
				if got := perf.Counts(); got.Jobs != 1 {
					t.Errorf("%+v", got)
				}
			}
			if refused != 1 {
				t.Errorf("reported %d times", refused)
			}
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			appendTo(t, file, "MessageReceived_JobCancellation:3\n")
			if got := perf.Counts(); got.Messages != 2 {
				t.Errorf("after it is a regular file again: %+v", got)
			}
		})
	}
}
