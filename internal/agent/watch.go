package agent

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

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

// AwaitUpdateRequest waits until the listener whose VSTS_AGENT_PERFLOG is dir has
// been asked to update itself more often than before, and returns how often: each
// time, a line MessageReceived_AgentRefresh goes into dir/Agent.perf.
func AwaitUpdateRequest(ctx context.Context, dir string, before int) (int, error) {
	times := before
	err := awaitChange(ctx, dir, func() (_ bool, err error) {
		times, err = received(dir, "AgentRefresh")
		return times > before, err
	})
	return times, err
}

// JobsReceived is how many jobs the listener whose VSTS_AGENT_PERFLOG is dir has
// been given: it writes that down before it begins with one.
func JobsReceived(dir string) (int, error) { return received(dir, "PipelineAgentJobRequest") }

// received counts the messages of a kind in dir/Agent.perf.
func received(dir, kind string) (int, error) {
	b, err := os.ReadFile(filepath.Join(dir, "Agent.perf"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	return bytes.Count(b, []byte("MessageReceived_"+kind+":")), err
}

// diag is where the update's script leaves its log.
func (f Folder) diag() string {
	if f.Diag != "" {
		return f.Diag
	}
	return filepath.Join(f.Root, "_diag")
}

// UpdateMarkers are the logs of updates that have ended, as they were at one
// time: SelfUpdate-*.log.succeed and .failed (agent-protocol.md 4.3).
type UpdateMarkers map[string]bool

// UpdateMarkers returns the markers that are there now.
func (f Folder) UpdateMarkers() UpdateMarkers {
	markers := UpdateMarkers{}
	entries, _ := os.ReadDir(f.diag())
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
	dir := f.diag()
	_ = os.MkdirAll(dir, 0o755) // so that there is something to watch; else it is looked at
	return awaitChange(ctx, dir, func() (bool, error) {
		for name := range f.UpdateMarkers() {
			if !before[name] {
				return true, nil
			}
		}
		return false, nil
	})
}

// lookAgain is how often a folder is looked at besides its events.
const lookAgain = 2 * time.Second

// awaitChange waits until done says so; it is asked at first, whenever something
// in dir changes, and now and then besides: a machine's inotify instances are few
// and may be used up (fs.inotify.max_user_instances is 128 a user, on a node
// that many containers share), and an event may get lost.
func awaitChange(ctx context.Context, dir string, done func() (bool, error)) error {
	events, stop := changes(dir)
	defer stop()
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	for {
		if is, err := done(); is || err != nil {
			return err
		}
		select {
		case <-events:
		case <-again.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// changes tells of changes in dir, where the system can.
func changes(dir string) (events <-chan fsnotify.Event, stop func()) {
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
