package mslistener_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/mslistener"
)

// Lines of the real listener, from its source.
const (
	conflictLine = "[2026-11-22 19:04:08Z ERR  MessageListener] Microsoft.TeamFoundation.DistributedTask.WebApi.TaskAgentSessionConflictException: " +
		"The task agent agent-1 already has an active session for owner host.\n"
	refusedLine = "[2026-11-22 19:04:08Z ERR  MessageListener] Microsoft.VisualStudio.Services.OAuth.VssOAuthTokenRequestException: " +
		"Registration 0a1b2c3d-0000-4000-8000-abcdefabcdef was not found.\n"
	clockLine = "[2026-11-22 19:04:08Z ERR  MessageListener] Microsoft.VisualStudio.Services.OAuth.VssOAuthTokenRequestException: " +
		"The client assertion is not valid yet. Current server time is 11/22/2026 19:30:00 +00:00.\n"
	trustLine = "[2026-11-22 19:04:08Z ERR  MessageListener] System.Net.Http.HttpRequestException: The SSL connection could not be established, see inner exception.\n"
	awayLine  = "[2026-11-22 19:04:08Z ERR  Terminal] WRITE ERROR: 2026-11-22 19:04:08Z: Agent connect error: Name or service not known (devops.invalid:443). Retrying until reconnected.\n"
	overLine  = "[2026-11-22 19:04:08Z INFO Terminal] WRITE LINE: 2026-11-22 19:05:08Z: Agent reconnected.\n"
)

// followedLogs is a directory whose logs are followed.
type followedLogs struct {
	t    *testing.T
	dir  string
	told []mslistener.Problem
	stop func()
}

// follow runs in a synctest bubble, because the log is polled.
func follow(t *testing.T, f agentdir.Dir, before mslistener.LogSizes) *followedLogs {
	ctx, stop := context.WithCancel(t.Context())
	l := &followedLogs{t: t, dir: f.LogDir, stop: stop}
	if l.dir == "" {
		l.dir = filepath.Join(f.Root, "_diag")
	}
	go (mslistener.Files{Dir: f}).FollowProblems(ctx, before, func(trouble mslistener.Problem) { l.told = append(l.told, trouble) })
	return l
}

func (l *followedLogs) writes(name, text string) {
	l.t.Helper()
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		l.t.Fatal(err)
	}
	appendTo(l.t, filepath.Join(l.dir, name), text)
}

func (l *followedLogs) wants(kinds ...mslistener.ProblemKind) {
	l.t.Helper()
	time.Sleep(10 * time.Second)
	synctest.Wait()
	var got []mslistener.ProblemKind
	for _, t := range l.told {
		got = append(got, t.Kind)
	}
	l.told = nil
	if d := cmp.Diff(kinds, got); d != "" {
		l.t.Errorf("reported (-want +got):\n%s", d)
	}
}

const newLog, oldLog = "Agent_20261122-190500-utc.log", "Agent_20261122-190000-utc.log"

// TestProblems: only lines that were written after the start of this listener count.
func TestProblems(t *testing.T) {
	for name, f := range map[string]agentdir.Dir{
		"in the folder": {Root: t.TempDir()},
		"elsewhere":     {Root: t.TempDir(), LogDir: filepath.Join(t.TempDir(), "logs")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &followedLogs{t: t, dir: f.LogDir}
				if l.dir == "" {
					l.dir = filepath.Join(f.Root, "_diag")
				}
				l.writes(oldLog, conflictLine)
				before := (mslistener.Files{Dir: f}).LogSizes()
				l = follow(t, f, before)
				defer l.stop()
				l.wants()
				l.writes(newLog, "Attempt to create session.\n")
				l.writes("Worker_20261122-190000-utc.log", conflictLine)
				l.wants()
				l.writes(newLog, conflictLine)
				l.writes(oldLog, clockLine) // two starts within one second
				l.wants(mslistener.ClockSkew, mslistener.SessionConflict)
				l.writes(newLog, refusedLine+awayLine)
				l.wants(mslistener.RegistrationRefused, mslistener.ServerUnreachable)
				l.writes(newLog, refusedLine[:70])
				l.wants()
				l.writes(newLog, refusedLine[70:]+overLine)
				l.wants(mslistener.RegistrationRefused, mslistener.NoProblem)
				l.writes("Agent_20261123-000000-utc.log", "Session created.\n"+trustLine)
				l.wants(mslistener.NoProblem, mslistener.CertificateUntrusted)
			})
		})
	}
}

// TestProblemsBesideFilesOfJobs: files that a job creates beside the log do not hide it.
func TestProblemsBesideFilesOfJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := agentdir.Dir{Root: t.TempDir()}
		l := follow(t, f, nil)
		defer l.stop()
		l.writes(newLog, "Session created.\n")
		for _, err := range []error{
			syscall.Mkfifo(filepath.Join(l.dir, "Agent_20261122-190001-utc.log"), 0o644),
			os.Symlink("/dev/zero", filepath.Join(l.dir, "Agent_20261122-190002-utc.log")),
			os.Mkdir(filepath.Join(l.dir, "Agent_20261122-190003-utc.log"), 0o755),
			os.Truncate(filepath.Join(l.dir, newLog), 18),
			os.WriteFile(filepath.Join(l.dir, oldLog), []byte(strings.Repeat("x", 1<<20)), 0o644),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		l.writes(newLog, awayLine)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		want := []mslistener.Problem{{}, {Kind: mslistener.ServerUnreachable, Text: "Name or service not known (devops.invalid:443)"}}
		if d := cmp.Diff(want, l.told); d != "" {
			t.Errorf("reported (-want +got):\n%s", d)
		}
	})
}
