package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/azptend/azptend/internal/control"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/proc"
)

// withHandle sets a handle.
func withHandle(o *Options) { o.handle = newHandle() }

// status asks the loop for its state.
func (s *stage) status() control.Status {
	s.t.Helper()
	got, err := s.o.handle.status(context.Background())
	if err != nil {
		s.t.Error(err)
	}
	return got
}

func (s *stage) drain(terminating bool) control.Status {
	s.t.Helper()
	got, err := (&Group{agents: []Options{s.o}}).Drain(context.Background(), terminating)
	if err != nil {
		s.t.Error(err)
	}
	synctest.Wait()
	return got
}

// follow records the phases that next returns, until the run ends.
func (s *stage) follow() <-chan []string {
	followed := make(chan []string, 1)
	go func() {
		var phases []string
		last := control.Status{}
		for last.End == nil {
			var err error
			if last, err = s.o.handle.next(context.Background(), last.Phase); err != nil {
				s.t.Error(err)
				break
			}
			phases = append(phases, last.Phase)
		}
		followed <- phases
	}()
	return followed
}

func TestStatus(t *testing.T) {
	play(t, withHandle, func(s *stage) {
		began := time.Now()
		s.silent = true
		s.begin()
		if got := s.status(); got.Phase != string(lifecycle.Starting) || got.Ready {
			t.Errorf("before the session: %+v", got)
		}
		s.advance(time.Second)
		s.listener().logsOn()
		go s.listener().connects(s.listener().pid)
		synctest.Wait()
		want := control.Status{
			Phase: "idle", Ready: true, Since: began.Add(time.Second), Registration: "registered",
			Agent: "agent-1", AgentID: 8, Pool: "Default", Job: "none",
		}
		if diff := cmp.Diff(want, s.status()); diff != "" {
			t.Errorf("idle: %s", diff)
		}
		s.jobStarts()
		if got := s.status(); got.Phase != string(lifecycle.Busy) || got.Job != string(lifecycle.RunningJob) || got.Jobs != 1 || !got.Ready {
			t.Errorf("busy: %+v", got)
		}
		s.sigterm()
		if got := s.status(); got.Phase != string(lifecycle.Draining) || got.Reason != "received SIGTERM" || got.Ready ||
			!got.Deadline.Equal(time.Now().Add(100*time.Second)) {
			t.Errorf("draining: %+v", got)
		}
		s.jobEnds()
		s.advance(10 * time.Second)
		if got := s.status(); got.Phase != string(lifecycle.Gone) || got.Registration != string(lifecycle.Removed) || got.End == nil || got.End.Code != 0 {
			t.Errorf("gone: %+v", got)
		}
	})
}

// TestDrainWithoutDeadline: a job that takes longer than the grace period is finished.
// SIGTERM later starts the grace period.
func TestDrainWithoutDeadline(t *testing.T) {
	s := play(t, withHandle, func(s *stage) {
		s.ready()
		s.jobStarts()
		s.fails("DELETE", slow(time.Second))
		phases := s.follow()
		if got := s.drain(false); got.Phase != string(lifecycle.Draining) || got.Deadline != nil || got.Reason != "asked by azptend drain" {
			t.Errorf("asked: %+v", got)
		}
		s.advance(3 * time.Hour)
		again := s.drain(false)
		if again.Deadline != nil || again.Job != string(lifecycle.RunningJob) {
			t.Errorf("asked again: %+v", again)
		}
		s.sigterm()
		if got := s.status(); !got.Deadline.Equal(time.Now().Add(100 * time.Second)) {
			t.Errorf("after SIGTERM: %+v", got)
		}
		s.jobEnds()
		want := []string{"draining", "removing", "stopping", "gone"}
		got := <-phases
		if got[0] == string(lifecycle.Busy) { // it began to follow before the drain
			got = got[1:]
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
	if s.end.Code != 0 || s.agentsLeft() != "" {
		t.Errorf("it ended with %+v and left %q", s.end, s.agentsLeft())
	}
}

// TestDrainWithDeadline: neither a second request nor SIGTERM extends the grace period.
func TestDrainWithDeadline(t *testing.T) {
	var asked time.Time
	s := play(t, withHandle, func(s *stage) {
		s.ready()
		s.jobStarts()
		s.drain(false)
		s.advance(time.Hour)
		asked = time.Now()
		deadline := *s.drain(true).Deadline
		if !deadline.Equal(asked.Add(100 * time.Second)) {
			t.Errorf("the deadline is %v after the request", deadline.Sub(asked))
		}
		s.advance(40 * time.Second)
		s.drain(true)
		s.sigterm()
		if got := s.status(); !got.Deadline.Equal(deadline) {
			t.Errorf("extended by %v", got.Deadline.Sub(deadline))
		}
		last, err := s.o.handle.next(context.Background(), string(lifecycle.Draining))
		if err != nil || last.Phase != string(lifecycle.Stopping) {
			t.Errorf("after the drain time: %+v, %v", last, err)
		}
		if got, want := time.Since(asked), lifecycle.SplitGrace(100*time.Second).Drain; got != want {
			t.Errorf("the job was cancelled after %v, want %v", got, want)
		}
	})
	if s.end.Code != 75 || s.agentsLeft() != "" {
		t.Errorf("it ended with %+v and left %q", s.end, s.agentsLeft())
	}
}

// TestDrainWhileBooting: the run ends at once, and the status shows it.
func TestDrainWhileBooting(t *testing.T) {
	s := play(t, withHandle, func(s *stage) {
		s.fails("pool", hangs)
		s.begin()
		if got := s.drain(false); got.Phase != string(lifecycle.Gone) {
			t.Errorf("asked: %+v", got)
		}
		if got := s.drain(true); got.End == nil || got.Deadline != nil {
			t.Errorf("asked after the end: %+v", got)
		}
	})
	if s.end.Code != 0 {
		t.Errorf("it ended with %+v", s.end)
	}
}

// TestStuckLoop: if the loop does not answer, a call ends with its context.
func TestStuckLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got, err := newHandle().status(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

// stepOrder is an observer that records the order of the events.
type stepOrder struct {
	Observer // nil: Ready is not called
	events   []string
}

func (o *stepOrder) Stepped(_, _ lifecycle.State, e lifecycle.Event) {
	o.events = append(o.events, strings.TrimPrefix(fmt.Sprintf("%T", e), "lifecycle."))
}

// TestEscalationComesLast: a second Ctrl-C is applied after the messages that are ready,
// because the job may have ended. A first one, which drains, is applied before them.
func TestEscalationComesLast(t *testing.T) {
	for interrupted, want := range map[bool]string{false: "UserInterrupt JobFinished", true: "JobFinished UserInterrupt"} {
		var order stepOrder
		signals, messages := make(chan proc.Signal, 1), make(chan message, 1)
		r := &runner{
			o: Options{handle: newHandle(), Observer: &order}, log: slog.New(slog.DiscardHandler), state: lifecycle.New(lifecycle.Policy{Grace: time.Minute}),
			signals: signals, messages: messages, interrupted: interrupted, cancelCall: func(error) {},
		}
		signals <- proc.Signal{Signal: syscall.SIGINT, Action: proc.Interrupt, At: time.Now()}
		messages <- message{event: lifecycle.JobFinished{}}
		r.waitForEvents()
		if got := strings.Join(order.events, " "); got != want {
			t.Errorf("interrupted before: %v: %s, want %s", interrupted, got, want)
		}
	}
}

// TestEscalationWaitsForNothing: if a second Ctrl-C arrived before the loop waits, it is
// applied at once, even if no other event comes.
func TestEscalationWaitsForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order stepOrder
		signals := make(chan proc.Signal, 1)
		r := &runner{
			o: Options{handle: newHandle(), Observer: &order}, log: slog.New(slog.DiscardHandler), state: lifecycle.New(lifecycle.Policy{Grace: time.Minute}),
			signals: signals, messages: make(chan message), interrupted: true, cancelCall: func(error) {},
		}
		signals <- proc.Signal{Signal: syscall.SIGINT, Action: proc.Interrupt, At: time.Now()}
		r.waitForEvents()
		if got := strings.Join(order.events, " "); got != "UserInterrupt" {
			t.Errorf("%q, want the second Ctrl-C", got)
		}
	})
}

// TestSignalsComeFirst: a SIGTERM that the platform sends to all processes makes the
// listener exit. It is applied before that exit, which would look unexpected otherwise.
func TestSignalsComeFirst(t *testing.T) {
	r := &runner{o: Options{handle: newHandle()}, log: slog.New(slog.DiscardHandler)}
	for range 100 {
		signals := make(chan proc.Signal, 1)
		signals <- proc.Signal{Signal: syscall.SIGTERM, Action: proc.Drain}
		r.signals, r.messages = signals, make(chan message, 1)
		r.messages <- message{event: lifecycle.ListenerExited{}}
		for i, next := range []func() func() lifecycle.Event{
			func() func() lifecycle.Event { e, _ := r.nextEvent(); return e },
			r.readyEvent,
		} {
			if _, drain := next()().(lifecycle.DrainRequested); drain != (i == 0) {
				t.Fatalf("event %d: drain is %v", i, drain)
			}
		}
	}
}
