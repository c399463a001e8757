package mslistener_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/mslistener"
)

// Lines of the real listener, from its source.
const (
	shutdownLine = "[2026-11-22 19:04:08Z INFO HostContext] Agent will be shutdown for UserCancelled\n"
	resultLine   = "[2026-11-22 19:04:09Z INFO JobDispatcher] Finish job request for job 0b1c2d3e-0000-4000-8000-000000000001 with result: "
)

// TestShutdown: whether a signal told the listener to exit, the result of its last job, and
// whether that job ended after the signal. Lines of earlier listeners do not count.
func TestShutdown(t *testing.T) {
	for _, tt := range []struct {
		name, earlier, log string
		want               mslistener.ShutdownRecord
		failed             bool
	}{
		{name: "nothing"},
		{"cancelled", "", shutdownLine + resultLine + "Canceled\n", mslistener.ShutdownRecord{Signaled: true, JobResult: "Canceled", JobEndedAfter: true}, true},
		{"the worker was killed before the listener got the signal", "", resultLine + "Failed\n" + shutdownLine, mslistener.ShutdownRecord{Signaled: true, JobResult: "Failed"}, true},
		{"succeeded after the signal", "", resultLine + "Failed\n" + shutdownLine + resultLine + "Succeeded\n", mslistener.ShutdownRecord{Signaled: true, JobResult: "Succeeded", JobEndedAfter: true}, false},
		{"with issues", "", shutdownLine + resultLine + "SucceededWithIssues\n", mslistener.ShutdownRecord{Signaled: true, JobResult: "SucceededWithIssues", JobEndedAfter: true}, false},
		{"no job", "", shutdownLine, mslistener.ShutdownRecord{Signaled: true}, false},
		{"failed, without a signal", "", resultLine + "Failed\n", mslistener.ShutdownRecord{JobResult: "Failed"}, false},
		{"an earlier listener's", shutdownLine + resultLine + "Canceled\n", "", mslistener.ShutdownRecord{}, false},
		{"at the end of a long log", "", strings.Repeat("x\n", 1<<20) + shutdownLine + resultLine + "Canceled\n", mslistener.ShutdownRecord{Signaled: true, JobResult: "Canceled", JobEndedAfter: true}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := agentdir.Dir{Root: t.TempDir(), LogDir: t.TempDir()}
			path := filepath.Join(f.LogDir, "Agent_20261122-190000-utc.log")
			write(t, path, tt.earlier)
			before := (mslistener.Files{Dir: f}).LogSizes()
			write(t, path, tt.earlier+tt.log)
			write(t, filepath.Join(f.LogDir, "Worker_20261122-190000-utc.log"), shutdownLine)
			got, err := (mslistener.Files{Dir: f}).ReadShutdown(before)
			if err != nil || got != tt.want || got.JobFailed() != tt.failed {
				t.Errorf("got %+v, failed %v, %v", got, got.JobFailed(), err)
			}
		})
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
