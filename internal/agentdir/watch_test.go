package agentdir_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/azptend/azptend/internal/agentdir"
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

func TestAwaitUpdate(t *testing.T) {
	for _, ending := range []string{".succeed", ".failed"} {
		for name, f := range map[string]agentdir.Dir{
			"in _diag":  {Root: t.TempDir()},
			"elsewhere": {Root: t.TempDir(), LogDir: filepath.Join(t.TempDir(), "logs")},
		} {
			t.Run(name+ending, func(t *testing.T) {
				diag := f.LogDir
				if diag == "" {
					diag = filepath.Join(f.Root, "_diag")
				}
				mkdir(t, diag)
				appendTo(t, filepath.Join(diag, "SelfUpdate-20251122-101010.log"+ending), "last year's")
				before := f.UpdateMarkers()
				done := make(chan error, 1)
				go func() { done <- f.WaitForUpdate(t.Context(), before) }()
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
				if err := f.WaitForUpdate(t.Context(), before); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// The folder may not be there yet, and without one there is no marker.
func TestAwaitUpdateWithoutAFolder(t *testing.T) {
	f := agentdir.Dir{Root: t.TempDir()}
	if m := f.UpdateMarkers(); len(m) != 0 {
		t.Errorf("markers are %v", m)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	if err := f.WaitForUpdate(ctx, nil); !errors.Is(err, enough) {
		t.Errorf("error is %v", err)
	}
}
