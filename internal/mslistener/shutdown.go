package mslistener

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"regexp"
	"slices"

	"github.com/azptend/azptend/internal/safefile"
)

// LogSizes are the sizes of the listeners' logs at one time, by name. What comes after them
// was written by a later listener.
type LogSizes map[string]int64

// LogSizes returns the current sizes of the listeners' logs: Agent_*-utc.log in _diag
// (agent-protocol.md 5.6). Only regular files count, because a job can create a pipe or a
// link with such a name.
func (f Files) LogSizes() (logs LogSizes) {
	_ = f.Dir.AsUser(func() error { logs = f.logSizes(); return nil })
	return logs
}

// logSizes is LogSizes for a caller that has the rights of the jobs' user.
func (f Files) logSizes() LogSizes {
	logs := LogSizes{}
	for _, entry := range safefile.Dir(f.Dir.Logs()).Match("Agent_*.log") {
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			logs[entry.Name()] = info.Size()
		}
	}
	return logs
}

// ShutdownRecord is what the listeners' logs say about a shutdown.
type ShutdownRecord struct {
	Signaled      bool   // a signal told a listener to exit, whoever sent it
	JobResult     string // of the last job: "Succeeded", "Canceled", …; empty if there was none
	JobEndedAfter bool   // that job ended after the signal
}

// JobFailed reports whether a signal told a listener to exit, and its last job did not
// succeed.
func (s ShutdownRecord) JobFailed() bool {
	return s.Signaled && s.JobResult != "" && s.JobResult != "Succeeded" && s.JobResult != "SucceededWithIssues"
}

// The texts in the log. They are not translated, unlike those on the terminal
// (src/Microsoft.VisualStudio.Services.Agent/HostContext.cs, ShutdownAgent;
// src/Agent.Listener/JobDispatcher.cs, RunAsync).
var (
	shutdownText  = []byte("Agent will be shutdown for ")
	resultPattern = regexp.MustCompile(`Finish job request for job \S+ with result: (\w+)`)
)

// ReadShutdown reads the lines that were written to the logs after before was taken.
func (f Files) ReadShutdown(before LogSizes) (s ShutdownRecord, err error) {
	var text []byte
	err = f.Dir.AsUser(func() (err error) { text, err = f.logTail(before); return err })
	if err != nil {
		return ShutdownRecord{}, err
	}
	signaled := bytes.Index(text, shutdownText)
	s.Signaled = signaled >= 0
	if all := resultPattern.FindAllSubmatchIndex(text, -1); len(all) > 0 {
		last := all[len(all)-1]
		s.JobResult, s.JobEndedAfter = string(text[last[2]:last[3]]), s.Signaled && last[0] > signaled
	}
	return s, nil
}

// maxLogRead is how many bytes at the end of the logs are read. A listener that runs for
// weeks writes many logs of 8 MB (HostContext.cs, HostTraceListener.cs).
const maxLogRead = 1 << 20

// logTail returns the last maxLogRead bytes that were written after before was taken.
func (f Files) logTail(before LogSizes) (text []byte, err error) {
	logs := f.logSizes()
	names := slices.Sorted(maps.Keys(logs)) // the names contain the time
	for _, name := range slices.Backward(names) {
		from := max(before[name], logs[name]-(maxLogRead-int64(len(text))))
		if from >= logs[name] {
			continue
		}
		b, err := safefile.Dir(f.Dir.Logs()).ReadFrom(name, from, maxLogRead)
		if err != nil && !errors.Is(err, os.ErrNotExist) { // the listener may have deleted an old log
			return nil, err
		}
		text = append(b, text...)
	}
	return text, nil
}
