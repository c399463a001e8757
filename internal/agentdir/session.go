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

// LogSizes are the listeners' own logs in a folder, by name, with how long they were
// at one time: what comes after that is of a later listener.
type LogSizes map[string]int64

// LogSizes returns the listeners' logs as they are now: Agent_*-utc.log in
// _diag (agent-protocol.md 5.6). Only regular files count: a job can leave a pipe or
// a link there by such a name.
func (f Dir) LogSizes() LogSizes {
	logs := LogSizes{}
	for _, entry := range entries(f.logDir(), "Agent_*.log") {
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			logs[entry.Name()] = info.Size()
		}
	}
	return logs
}

// ShutdownRecord is what the listeners' logs say of their end.
type ShutdownRecord struct {
	Signaled      bool   // a listener was told to end, by a signal of whomever
	JobResult     string // of the last job: "Succeeded", "Canceled", …; empty where there was none
	JobEndedAfter bool   // that job ended after a listener was told to
}

// JobFailed says that a listener was told to end, and that its last job has not
// succeeded.
func (s ShutdownRecord) JobFailed() bool {
	return s.Signaled && s.JobResult != "" && s.JobResult != "Succeeded" && s.JobResult != "SucceededWithIssues"
}

// The listener's words for it, which are not translated as its terminal's are
// (src/Microsoft.VisualStudio.Services.Agent/HostContext.cs, ShutdownAgent;
// src/Agent.Listener/JobDispatcher.cs, RunAsync).
var (
	shutdownText  = []byte("Agent will be shutdown for ")
	resultPattern = regexp.MustCompile(`Finish job request for job \S+ with result: (\w+)`)
)

// ReadShutdown reads it, of what was written after before was taken.
func (f Dir) ReadShutdown(before LogSizes) (ShutdownRecord, error) {
	text, err := f.logTail(before)
	if err != nil {
		return ShutdownRecord{}, err
	}
	heard := bytes.Index(text, shutdownText)
	s := ShutdownRecord{Signaled: heard >= 0}
	if all := resultPattern.FindAllSubmatchIndex(text, -1); len(all) > 0 {
		last := all[len(all)-1]
		s.JobResult, s.JobEndedAfter = string(text[last[2]:last[3]]), s.Signaled && last[0] > heard
	}
	return s, nil
}

// logTail is the end of what was written after before was taken. A listener that
// lives for weeks fills many logs of 8 MB (HostContext.cs, HostTraceListener.cs).
func (f Dir) logTail(before LogSizes) (text []byte, err error) {
	logs := f.LogSizes()
	names := slices.Sorted(maps.Keys(logs)) // their names are their times
	for _, name := range slices.Backward(names) {
		from := max(before[name], logs[name]-(maxLogRead-int64(len(text))))
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

// maxLogRead bounds what is read of a log: the beginning of one of a listener that
// has no session yet, and says little; or the end.
const maxLogRead = 1 << 20

// readLog reads a log from an offset on; one that was rolled away is empty.
func (f Dir) readLog(name string, from int64) ([]byte, error) {
	b, err := safefile.Dir(f.logDir()).ReadFrom(name, from, maxLogRead)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return b, err
}
