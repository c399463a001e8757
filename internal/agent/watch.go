package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/fsnotify/fsnotify"
)

// AwaitSession waits until the listener whose VSTS_AGENT_PERFLOG is dir has its
// session: then a line SessionCreated is in dir/Agent.perf (agent-protocol.md
// 5.6).
func AwaitSession(ctx context.Context, dir string) error {
	file := filepath.Join(dir, "Agent.perf")
	return awaitChange(ctx, dir, func() (bool, error) {
		b, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			return false, nil
		}
		return bytes.Contains(b, []byte("SessionCreated:")), err
	})
}

// diagFolder is where the update's script leaves its log.
const diagFolder = "_diag"

// UpdateMarkers are the logs of updates that have ended, as they were at one
// time: SelfUpdate-*.log.succeed and .failed (agent-protocol.md 4.3).
type UpdateMarkers map[string]bool

// UpdateMarkers returns the markers that are there now.
func (f Folder) UpdateMarkers() UpdateMarkers {
	markers := UpdateMarkers{}
	entries, _ := os.ReadDir(filepath.Join(f.Root, diagFolder))
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, "SelfUpdate-") && (strings.HasSuffix(name, ".succeed") || strings.HasSuffix(name, ".failed")) {
			markers[name] = true
		}
	}
	return markers
}

// AwaitUpdate waits until an update has ended that had not ended when before was
// taken.
func (f Folder) AwaitUpdate(ctx context.Context, before UpdateMarkers) error {
	dir := filepath.Join(f.Root, diagFolder)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot watch for the update's end: %w", err)
	}
	return awaitChange(ctx, dir, func() (bool, error) {
		for name := range f.UpdateMarkers() {
			if !before[name] {
				return true, nil
			}
		}
		return false, nil
	})
}

// awaitChange waits until done says so; it is asked at first and whenever
// something in dir changes.
func awaitChange(ctx context.Context, dir string, done func() (bool, error)) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("cannot watch %s: %w", dir, err)
	}
	defer watcher.Close()
	if err := watcher.Add(dir); err != nil {
		return fmt.Errorf("cannot watch %s: %w", dir, err)
	}
	for {
		if is, err := done(); is || err != nil {
			return err
		}
		select {
		case <-watcher.Events:
		case err := <-watcher.Errors:
			// An overflow loses events, not changes: look again.
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return fmt.Errorf("cannot watch %s: %w", dir, err)
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
