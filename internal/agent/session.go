package agent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
)

// Logs are the listeners' own logs in a folder, by name, with how long they were
// at one time: what comes after that is of a later listener.
type Logs map[string]int64

// ListenerLogs returns the listeners' logs as they are now: Agent_*-utc.log in
// _diag (agent-protocol.md 5.6). Only files count: a job can leave a pipe there by
// such a name, and whoever opened that would wait for ever.
func (f Folder) ListenerLogs() Logs {
	logs := Logs{}
	paths, _ := filepath.Glob(filepath.Join(f.diag(), "Agent_*.log"))
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
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

// Shutdown is what the listeners' logs say of their end.
type Shutdown struct {
	Heard  bool   // a listener was told to end, by a signal of whomever
	Result string // of the last job: "Succeeded", "Canceled", …; empty where there was none
	Later  bool   // that job ended after a listener was told to
}

// Failed says that a listener was told to end, and that its last job has not
// succeeded.
func (s Shutdown) Failed() bool {
	return s.Heard && s.Result != "" && s.Result != "Succeeded" && s.Result != "SucceededWithIssues"
}

// The listener's words for it, which are not translated as its terminal's are
// (src/Microsoft.VisualStudio.Services.Agent/HostContext.cs, ShutdownAgent;
// src/Agent.Listener/JobDispatcher.cs, RunAsync).
var (
	shutdownWords = []byte("Agent will be shutdown for ")
	resultWords   = regexp.MustCompile(`Finish job request for job \S+ with result: (\w+)`)
)

// Shutdown reads it, of what was written after before was taken.
func (f Folder) Shutdown(before Logs) (Shutdown, error) {
	text, err := f.lastWords(before)
	if err != nil {
		return Shutdown{}, err
	}
	heard := bytes.Index(text, shutdownWords)
	s := Shutdown{Heard: heard >= 0}
	if all := resultWords.FindAllSubmatchIndex(text, -1); len(all) > 0 {
		last := all[len(all)-1]
		s.Result, s.Later = string(text[last[2]:last[3]]), s.Heard && last[0] > heard
	}
	return s, nil
}

// lastWords is the end of what was written after before was taken. A listener that
// lives for weeks fills many logs of 8 MB (HostContext.cs, HostTraceListener.cs).
func (f Folder) lastWords(before Logs) (text []byte, err error) {
	logs := f.ListenerLogs()
	names := slices.Sorted(maps.Keys(logs)) // their names are their times
	for _, path := range slices.Backward(names) {
		from := max(before[path], logs[path]-(longestLog-int64(len(text))))
		if from >= logs[path] {
			continue
		}
		b, err := readLog(path, from)
		if err != nil {
			return nil, err
		}
		text = append(b, text...)
	}
	return text, nil
}

// longestLog bounds what is read of a log: the beginning of one of a listener that
// has no session yet, and says little; or the end.
const longestLog = 1 << 20

// hasConflict looks for the exception in a log, from an offset on.
func hasConflict(path string, from int64) (bool, error) {
	b, err := readLog(path, from)
	return bytes.Contains(b, []byte("TaskAgentSessionConflictException")), err
}

// readLog reads a log from an offset on; one that was rolled away is empty.
func readLog(path string, from int64) ([]byte, error) {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.NewSectionReader(file, from, longestLog))
}
