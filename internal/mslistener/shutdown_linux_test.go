package mslistener_test

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/mslistener"
)

// TestPipeIsNoLog: a job can create a named pipe in the directory of the logs. Opening it
// would block forever.
func TestPipeIsNoLog(t *testing.T) {
	f := agentdir.Dir{Root: t.TempDir(), LogDir: t.TempDir()}
	write(t, filepath.Join(f.LogDir, "Agent_20261122-190000-utc.log"), "")
	if err := syscall.Mkfifo(filepath.Join(f.LogDir, "Agent_20261122-190001-utc.log"), 0o600); err != nil {
		t.Fatal(err)
	}
	if logs := (mslistener.Files{Dir: f}).LogSizes(); len(logs) != 1 {
		t.Errorf("the listeners' logs are %v", logs)
	}
}

// TestShutdownOfManyLogs: only the end of a listener's logs is read, across several files.
func TestShutdownOfManyLogs(t *testing.T) {
	f := agentdir.Dir{Root: t.TempDir(), LogDir: t.TempDir()}
	write(t, filepath.Join(f.LogDir, "Agent_20261122-190000-utc.log"), resultLine+"Failed\n")
	write(t, filepath.Join(f.LogDir, "Agent_20261122-190001-utc.log"), strings.Repeat("x\n", 1<<19)+shutdownLine)
	write(t, filepath.Join(f.LogDir, "Agent_20261122-190002-utc.log"), resultLine+"Canceled\n")
	got, err := (mslistener.Files{Dir: f}).ReadShutdown(mslistener.LogSizes{})
	if want := (mslistener.ShutdownRecord{Signaled: true, JobResult: "Canceled", JobEndedAfter: true}); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	write(t, filepath.Join(f.LogDir, "Agent_20261122-190002-utc.log"), strings.Repeat("x\n", 1<<19))
	if got, err := (mslistener.Files{Dir: f}).ReadShutdown(mslistener.LogSizes{}); err != nil || got != (mslistener.ShutdownRecord{}) {
		t.Errorf("of more than maxLogRead: %+v, %v", got, err)
	}
}
