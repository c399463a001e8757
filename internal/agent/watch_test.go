package agent_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/azptend/azptend/internal/agent"
)

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func TestAwaitSession(t *testing.T) {
	dir := t.TempDir()
	perf := filepath.Join(dir, "Agent.perf")
	done := make(chan error, 1)
	go func() { done <- agent.AwaitSession(t.Context(), dir) }()
	appendTo(t, perf, "AgentProcessStarted:2026-11-22T10:20:30.1234567Z\nSession")
	appendTo(t, filepath.Join(dir, "Other.perf"), "SessionCreated:2026-11-22T10:20:31Z\n")
	select {
	case err := <-done:
		t.Fatalf("before there is a session: %v", err)
	default:
	}
	appendTo(t, perf, "Created:2026-11-22T10:20:31.1234567Z\n")
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := agent.AwaitSession(t.Context(), dir); err != nil { // it is there already
		t.Error(err)
	}
}

func TestAwaitSessionEnds(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "none")} {
		if err := agent.AwaitSession(ctx, dir); !errors.Is(err, enough) {
			t.Errorf("error is %v", err)
		}
	}
}

func TestAwaitUpdate(t *testing.T) {
	for _, ending := range []string{".succeed", ".failed"} {
		for name, f := range map[string]agent.Folder{
			"in _diag":  {Root: t.TempDir()},
			"elsewhere": {Root: t.TempDir(), Diag: filepath.Join(t.TempDir(), "logs")},
		} {
			t.Run(name+ending, func(t *testing.T) {
				diag := f.Diag
				if diag == "" {
					diag = filepath.Join(f.Root, "_diag")
				}
				mkdir(t, diag)
				appendTo(t, filepath.Join(diag, "SelfUpdate-20251122-101010.log"+ending), "last year's")
				before := f.UpdateMarkers()
				done := make(chan error, 1)
				go func() { done <- f.AwaitUpdate(t.Context(), before) }()
				log := filepath.Join(diag, "SelfUpdate-20261122-101010.log")
				appendTo(t, log, "moving bin")
				appendTo(t, filepath.Join(diag, "Agent_20261122-101010-utc.log"), "x")
				select {
				case err := <-done:
					t.Fatalf("before its end: %v", err)
				default:
				}
				rename(t, log, log+ending)
				if err := <-done; err != nil {
					t.Error(err)
				}
				// Ended before anybody waited.
				if err := f.AwaitUpdate(t.Context(), before); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// The folder may not be there yet, and without one there is no marker.
func TestAwaitUpdateWithoutAFolder(t *testing.T) {
	f := agent.Folder{Root: t.TempDir()}
	if m := f.UpdateMarkers(); len(m) != 0 {
		t.Errorf("markers are %v", m)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	if err := f.AwaitUpdate(ctx, nil); !errors.Is(err, enough) {
		t.Errorf("error is %v", err)
	}
}
