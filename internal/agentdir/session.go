package agentdir

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"regexp"
	"slices"

	"github.com/azptend/azptend/internal/safefile"
)

// Logs are the listeners' own logs in a folder, by name, with how long they were
// at one time: what comes after that is of a later listener.
type Logs map[string]int64

// ListenerLogs returns the listeners' logs as they are now: Agent_*-utc.log in
// _diag (agent-protocol.md 5.6). Only regular files count: a job can leave a pipe or
// a link there by such a name.
func (f Folder) ListenerLogs() Logs {
	logs := Logs{}
	for _, entry := range entries(f.diag(), "Agent_*.log") {
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			logs[entry.Name()] = info.Size()
		}
	}
	return logs
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
	for _, name := range slices.Backward(names) {
		from := max(before[name], logs[name]-(longestLog-int64(len(text))))
		if from >= logs[name] {
			continue
		}
		b, err := f.readLog(name, from)
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

// readLog reads a log from an offset on; one that was rolled away is empty.
func (f Folder) readLog(name string, from int64) ([]byte, error) {
	b, err := safefile.Dir(f.diag()).ReadFrom(name, from, longestLog)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return b, err
}
