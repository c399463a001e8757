package agent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
)

// Logs are the listeners' own logs in a folder, by name, with how long they were
// at one time: what comes after that is of a later listener.
type Logs map[string]int64

// ListenerLogs returns the listeners' logs as they are now: Agent_*-utc.log in
// _diag (agent-protocol.md 5.6).
func (f Folder) ListenerLogs() Logs {
	logs := Logs{}
	paths, _ := filepath.Glob(filepath.Join(f.diag(), "Agent_*.log"))
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil {
			logs[path] = info.Size()
		}
	}
	return logs
}

// AwaitConflict waits until a listener has written, after before was taken, that
// the server has a session for its agent already. It writes that exception, by
// its name, into its log, and on its terminal no more than its message
// (src/Agent.Listener/MessageListener.cs, CreateSessionAsync).
func (f Folder) AwaitConflict(ctx context.Context, before Logs) error {
	dir := f.diag()
	_ = os.MkdirAll(dir, 0o755) // so that there is something to watch; else it is looked at
	return awaitChange(ctx, dir, func() (bool, error) {
		for path := range f.ListenerLogs() {
			if is, err := hasConflict(path, before[path]); is || err != nil {
				return is, err
			}
		}
		return false, nil
	})
}

// longestLog bounds what is read of a log: it is one of a listener that has no
// session yet, and says little.
const longestLog = 1 << 20

// hasConflict looks for the exception in a log, from an offset on.
func hasConflict(path string, from int64) (bool, error) {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) { // rolled away
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer file.Close()
	b, err := io.ReadAll(io.NewSectionReader(file, from, longestLog))
	return bytes.Contains(b, []byte("TaskAgentSessionConflictException")), err
}
