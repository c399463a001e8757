package agentdir

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// logDir is where the update's script leaves its log.
func (f Dir) logDir() string {
	if f.LogDir != "" {
		return f.LogDir
	}
	return filepath.Join(f.Root, "_diag")
}

// UpdateMarkers are the logs of updates that have ended, as they were at one
// time: SelfUpdate-*.log.succeed and .failed (agent-protocol.md 4.3).
type UpdateMarkers map[string]bool

// UpdateMarkers returns the markers that are there now.
func (f Dir) UpdateMarkers() UpdateMarkers {
	markers := UpdateMarkers{}
	for _, end := range []string{".succeed", ".failed"} {
		for _, e := range entries(f.logDir(), "SelfUpdate-*"+end) {
			markers[e.Name()] = true
		}
	}
	return markers
}

// WaitForUpdate waits until an update has ended that had not ended when before was
// taken.
func (f Dir) WaitForUpdate(ctx context.Context, before UpdateMarkers) error {
	dir := f.logDir()
	_ = os.MkdirAll(dir, 0o755) // so that there is something to watch; else it is looked at
	return waitForChange(ctx, dir, func() (bool, error) {
		for name := range f.UpdateMarkers() {
			if !before[name] {
				return true, nil
			}
		}
		return false, nil
	})
}

const (
	// pollInterval is how often a folder is looked at besides its events.
	pollInterval = 2 * time.Second
	// minPollPause is between two looks: a job can change a folder without end.
	minPollPause = 20 * time.Millisecond
)

// waitForChange waits until done says so; it is asked at first, whenever something
// in dir changes, and now and then besides: a machine's inotify instances are few
// and may be used up (fs.inotify.max_user_instances is 128 a user, on a node
// that many containers share), and an event may get lost.
func waitForChange(ctx context.Context, dir string, done func() (bool, error)) error {
	events, stop := watchDir(dir)
	defer stop()
	again := time.NewTicker(pollInterval)
	defer again.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
		if is, err := done(); is || err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		pause.Reset(minPollPause)
		select {
		case <-events:
		case <-again.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// watchDir tells of changes in dir, where the system can.
func watchDir(dir string) (events <-chan fsnotify.Event, stop func()) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, func() {}
	}
	if watcher.Add(dir) != nil {
		watcher.Close()
		return nil, func() {}
	}
	return watcher.Events, func() { watcher.Close() }
}
