package mslistener

import (
	"context"
	"os"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/azptend/azptend/internal/safefile"
)

// UpdateMarkers are the logs of updates that had ended at one time: SelfUpdate-*.log.succeed
// and .failed (agent-protocol.md 4.3).
type UpdateMarkers map[string]bool

// UpdateMarkers returns the markers that exist now.
func (f Files) UpdateMarkers() UpdateMarkers {
	markers := UpdateMarkers{}
	_ = f.Dir.AsUser(func() error {
		for _, end := range []string{".succeed", ".failed"} {
			for _, e := range safefile.Dir(f.Dir.Logs()).Match("SelfUpdate-*" + end) {
				markers[e.Name()] = true
			}
		}
		return nil
	})
	return markers
}

// WaitForUpdate waits until an update has ended that is not in before.
func (f Files) WaitForUpdate(ctx context.Context, before UpdateMarkers) error {
	dir := f.Dir.Logs()
	_ = f.Dir.AsUser(func() error { return os.MkdirAll(dir, 0o755) }) // so that it can be watched
	return waitForChange(ctx, dir, func() bool {
		for name := range f.UpdateMarkers() {
			if !before[name] {
				return true
			}
		}
		return false
	})
}

// WaitForUpdate waits until the script that updates the listener has ended.
func (l *Listener) WaitForUpdate(ctx context.Context) error {
	return l.sources.WaitForUpdate(ctx, l.markers)
}

// warnIgnoredUpdates warns if the server asks for an update that the listener ignores. A job
// that demands a newer agent then waits forever.
func (l *Listener) warnIgnoredUpdates(alive context.Context) {
	for requests := 0; ; {
		counts, err := l.Perf.Wait(alive, func(c PerfCounts) bool { return c.Updates > requests })
		if err != nil {
			return
		}
		requests = counts.Updates
		l.o.Log.Warn("The server asked the agent to update, but updates are off (AZP_UPDATE, or a root of hard links): a job that demands a newer version will wait",
			"times", requests)
	}
}

const (
	// pollInterval is how often a directory is checked in addition to its events.
	pollInterval = 2 * time.Second
	// minPollPause is the pause between two checks, because a job can change a directory
	// all the time.
	minPollPause = 20 * time.Millisecond
)

// waitForChange waits until done returns true. It calls done at the start, after each change
// in dir, and every pollInterval: an event may get lost, and there may be no inotify
// instance left (fs.inotify.max_user_instances is 128 for each user of a node, which many
// containers share).
func waitForChange(ctx context.Context, dir string, done func() bool) error {
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
		if done() {
			return nil
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

// watchDir reports changes in dir. events is nil if the system cannot watch it.
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
