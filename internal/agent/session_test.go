package agent_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/azptend/azptend/internal/agent"
)

// What the real listener writes, by its source.
const conflictLine = "[2026-11-22 19:04:08Z ERR  MessageListener] Microsoft.TeamFoundation.DistributedTask.WebApi.TaskAgentSessionConflictException: " +
	"The task agent agent-1 already has an active session for owner host.\n"

// TestAwaitConflict: of this listener's own log, not of an earlier one's; in a
// log that is there already what is new counts.
func TestAwaitConflict(t *testing.T) {
	for name, f := range map[string]agent.Folder{
		"in the folder": {Root: t.TempDir()},
		"elsewhere":     {Root: t.TempDir(), Diag: filepath.Join(t.TempDir(), "logs")},
	} {
		t.Run(name, func(t *testing.T) {
			dir := f.Diag
			if dir == "" {
				dir = filepath.Join(f.Root, "_diag")
			}
			write := func(file, text string) {
				t.Helper()
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				l, err := os.OpenFile(filepath.Join(dir, file), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				if _, err := l.WriteString(text); err != nil {
					t.Fatal(err)
				}
			}
			write("Agent_20261122-190000-utc.log", conflictLine)
			write("Worker_20261122-190000-utc.log", "")
			before := f.ListenerLogs()
			if len(before) != 1 {
				t.Fatalf("the listeners' logs are %v", before)
			}
			write("Agent_20261122-190500-utc.log", "Attempt to create session.\n")
			write("Worker_20261122-190000-utc.log", conflictLine)
			over, cancel := context.WithCancel(t.Context())
			cancel()
			if err := f.AwaitConflict(over, before); err == nil {
				t.Fatal("an earlier listener's conflict, or a worker's line, was taken for this one's")
			}
			write("Agent_20261122-190000-utc.log", conflictLine) // two starts within one second
			ctx, done := context.WithTimeout(t.Context(), time.Minute)
			defer done()
			if err := f.AwaitConflict(ctx, before); err != nil {
				t.Errorf("the conflict was not seen: %v", err)
			}
		})
	}
}

// TestAwaitConflictWaits: the log is written while it is watched, into a folder
// that was not there.
func TestAwaitConflictWaits(t *testing.T) {
	f := agent.Folder{Root: t.TempDir()}
	ctx, done := context.WithTimeout(t.Context(), time.Minute)
	defer done()
	seen := make(chan error, 1)
	before := f.ListenerLogs()
	go func() { seen <- f.AwaitConflict(ctx, before) }()
	dir := filepath.Join(f.Root, "_diag")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "Agent_20261122-190500-utc.log"), []byte(conflictLine), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := <-seen; err != nil {
		t.Error(err)
	}
}

// TestAwaitConflictInPieces: however the line is cut, and whatever a job has put
// beside the log.
func TestAwaitConflictInPieces(t *testing.T) {
	f := agent.Folder{Root: t.TempDir()}
	dir := filepath.Join(f.Root, "_diag")
	if err := os.MkdirAll(filepath.Join(dir, "Agent_0.log"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		syscall.Mkfifo(filepath.Join(dir, "Agent_1.log"), 0o600), os.Symlink("/dev/zero", filepath.Join(dir, "Agent_2.log")),
		os.WriteFile(filepath.Join(dir, "Agent_3.log"), nil, 0o600), os.Truncate(filepath.Join(dir, "Agent_3.log"), 1<<40),
	); err != nil {
		t.Fatal(err)
	}
	ctx, done := context.WithTimeout(t.Context(), time.Minute)
	defer done()
	seen := make(chan error, 1)
	go func() { seen <- f.AwaitConflict(ctx, agent.Logs{}) }()
	log, err := os.OpenFile(filepath.Join(dir, "Agent_20261122-190500-utc.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for piece := range slices.Chunk([]byte(conflictLine), 7) {
		if _, err := log.Write(piece); err != nil {
			t.Fatal(err)
		}
		runtime.Gosched()
	}
	if err := <-seen; err != nil {
		t.Errorf("the conflict was not seen: %v", err)
	}
}
