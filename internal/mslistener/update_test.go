package mslistener_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/mslistener"
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

func TestWaitForUpdate(t *testing.T) {
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
				if err := os.MkdirAll(diag, 0o755); err != nil {
					t.Fatal(err)
				}
				appendTo(t, filepath.Join(diag, "SelfUpdate-20251122-101010.log"+ending), "last year's")
				before := (mslistener.Files{Dir: f}).UpdateMarkers()
				done := make(chan error, 1)
				go func() { done <- (mslistener.Files{Dir: f}).WaitForUpdate(t.Context(), before) }()
				log := filepath.Join(diag, "SelfUpdate-20261122-101010.log")
				appendTo(t, log, "moving bin")
				appendTo(t, filepath.Join(diag, "Agent_20261122-101010-utc.log"), "x")
				select {
				case err := <-done:
					t.Fatalf("before its end: %v", err)
				default:
				}
				if err := os.Rename(log, log+ending); err != nil {
					t.Fatal(err)
				}
				if err := <-done; err != nil {
					t.Error(err)
				}
				// It ended before the wait.
				if err := (mslistener.Files{Dir: f}).WaitForUpdate(t.Context(), before); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestWaitForUpdateWithoutDir: the directory of logs may not exist yet.
func TestWaitForUpdateWithoutDir(t *testing.T) {
	f := mslistener.Files{Dir: agentdir.Dir{Root: t.TempDir()}}
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

// FuzzUpdateMarkers: of all names in the directory of logs, only those of ended updates are
// markers.
func FuzzUpdateMarkers(f *testing.F) {
	for _, name := range []string{"SelfUpdate-20261122-102030.log.succeed", "SelfUpdate-x.log.failed", "SelfUpdate-x.log", "Agent_2026.log", "selfupdate-x.succeed",
		"SelfUpdate-.succeed", "SelfUpdate-ä\n.failed", ".succeed"} {
		f.Add(name, true)
		f.Add(name, false)
	}
	f.Fuzz(func(t *testing.T, name string, inFolder bool) {
		if name == "" || name == "." || name == ".." || len(name) > 200 || strings.ContainsAny(name, "/\x00") {
			return // not a valid file name
		}
		dir := t.TempDir()
		folder := agentdir.Dir{Root: dir, LogDir: dir}
		if inFolder {
			folder.LogDir, dir = "", filepath.Join(dir, "_diag")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		before := (mslistener.Files{Dir: folder}).UpdateMarkers()
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Skip(err)
		}
		ended := strings.HasPrefix(name, "SelfUpdate-") && (strings.HasSuffix(name, ".succeed") || strings.HasSuffix(name, ".failed"))
		if after := (mslistener.Files{Dir: folder}).UpdateMarkers(); len(before) != 0 || after[name] != ended || (len(after) > 0) != ended {
			t.Errorf("%q: %v", name, after)
		}
	})
}
