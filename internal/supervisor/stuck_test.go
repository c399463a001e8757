package supervisor

import (
	"bytes"
	"context"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/azptend/azptend/internal/mslistener"
)

// hangingSources are the sources of a listener in a file system that hangs: reads block,
// even if their context ends.
type hangingSources struct {
	*stage
	at      string
	release chan struct{}
}

func (j hangingSources) hangs(at string) {
	if j.at == at {
		<-j.release
	}
}

func (j hangingSources) OpenPerf(dir string, onError func(error)) mslistener.Perf {
	return hangingPerf{j.stage.OpenPerf(dir, onError), j}
}

type hangingPerf struct {
	mslistener.Perf
	j hangingSources
}

func (p hangingPerf) Wait(ctx context.Context, enough func(mslistener.PerfCounts) bool) (mslistener.PerfCounts, error) {
	p.j.hangs("counters")
	return p.Perf.Wait(ctx, enough)
}

func (j hangingSources) FollowProblems(ctx context.Context, logs mslistener.LogSizes, tell func(mslistener.Problem)) {
	j.hangs("troubles")
	j.stage.FollowProblems(ctx, logs, tell)
}

func (j hangingSources) ReadShutdown(logs mslistener.LogSizes) (mslistener.ShutdownRecord, error) {
	j.hangs("shutdown")
	return j.stage.ReadShutdown(logs)
}

// TestHangingSources: if a read of a file or of the process table hangs, azptend removes the
// agent and exits within its grace period. The log names the step that hung.
func TestHangingSources(t *testing.T) {
	for _, tt := range []struct{ at, said string }{
		{"counters", `step="ending background work"`},
		{"troubles", `step="ending background work"`},
		{"shutdown", "its file system does not respond"},
		{"processes", `step="killing processes that jobs left running"`},
	} {
		for _, grace := range []time.Duration{12 * time.Second, 100 * time.Second} {
			t.Run(tt.at+" "+grace.String(), func(t *testing.T) {
				f := newAgentDir(t)
				synctest.Test(t, func(t *testing.T) {
					s := newStage(t, f)
					s.o.Policy.Grace = grace
					var said bytes.Buffer
					s.o.Log = slog.New(slog.NewTextHandler(&said, nil))
					jam := make(chan struct{})
					go func() { s.ended <- run(s.o, hangingSources{s, tt.at, jam}, s.signals) }()
					synctest.Wait()
					s.advance(time.Minute) // the server shows that the agent is online if the files do not
					if tt.at == "processes" {
						s.listener().jammed = jam
					}
					begun := time.Now()
					s.sigterm()
					end := <-s.ended
					took := time.Since(begun)
					stillUsed := tt.at == "counters" || tt.at == "troubles"
					if runtime.GC(); s.o.Dir.IsLocked() != stillUsed {
						t.Errorf("the directory is locked: %v, and may still be changed: %v", !stillUsed, stillUsed)
					}
					close(jam)
					synctest.Wait()
					if end.Code != 0 || s.agentsLeft() != "" {
						t.Errorf("exit code %d (%s), agents left: %q", end.Code, end.Why, s.agentsLeft())
					}
					if took > grace {
						t.Errorf("took %v of a grace period of %v", took, grace)
					}
					if !strings.Contains(said.String(), tt.said) {
						t.Errorf("the log has no %s:\n%s", tt.said, said.String())
					}
				})
			})
		}
	}
}

// TestSignalDuringTheLastSteps: azptend exits by itself, and its last steps hang. After a
// SIGTERM they take no longer than the grace period.
func TestSignalDuringTheLastSteps(t *testing.T) {
	f := newAgentDir(t)
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, f)
		s.o.Policy.Grace, s.o.Policy.Limits.Lifetime = time.Second, time.Hour
		jam := make(chan struct{})
		go func() { s.ended <- run(s.o, hangingSources{s, "counters", jam}, s.signals) }()
		synctest.Wait()
		s.advance(time.Minute)
		s.listener().jammed = jam
		for s.agentsLeft() != "" || s.listener().alive() {
			s.advance(100 * time.Millisecond)
		}
		s.advance(100 * time.Millisecond)
		begun := time.Now()
		s.sigterm()
		<-s.ended
		if took := time.Since(begun); took > s.o.Policy.Grace {
			t.Errorf("took %v of a grace period of %v", took, s.o.Policy.Grace)
		}
		close(jam)
		synctest.Wait()
	})
}
