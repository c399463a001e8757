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

	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/proc"
)

// withHandle is a life with a line.
func withHandle(o *Options) { o.handle = newHandle() }

// status asks over the line, which a living loop answers at once.
func (s *stage) status() Snapshot {
	s.t.Helper()
	got, err := s.o.handle.status(context.Background())
	if err != nil {
		s.t.Error(err)
	}
	return got
}

func (s *stage) drain(clock bool) Snapshot {
	s.t.Helper()
	got, err := (&Group{agents: []Options{s.o}}).Drain(context.Background(), "asked by a test", clock)
	if err != nil {
		s.t.Error(err)
	}
	synctest.Wait()
	return got
}

// follow writes down the phases that the line tells of, to the end of the life.
func (s *stage) follow() <-chan []lifecycle.Phase {
	heard := make(chan []lifecycle.Phase, 1)
	go func() {
		var phases []lifecycle.Phase
		last := Snapshot{}
		for last.End == nil {
			var err error
			if last, err = s.o.handle.next(context.Background(), last.Phase); err != nil {
				s.t.Error(err)
				break
			}
			phases = append(phases, last.Phase)
		}
		heard <- phases
	}()
	return heard
}

func TestStatus(t *testing.T) {
	play(t, withHandle, func(s *stage) {
		began := time.Now()
		s.silent = true
		s.begin()
		if got := s.status(); got.Phase != lifecycle.Starting || got.Ready() {
			t.Errorf("before the session: %+v", got)
		}
		s.pass(time.Second)
		s.listener().logsOn()
		go s.listener().connects(s.listener().pid)
		synctest.Wait()
		want := Snapshot{
			Phase: lifecycle.Idle, Since: began.Add(time.Second), Registration: lifecycle.Registered,
			Agent: "agent-1", AgentID: 8, Pool: "Default", Job: lifecycle.NoJob,
		}
		if diff := cmp.Diff(want, s.status()); diff != "" {
			t.Errorf("idle: %s", diff)
		}
		s.jobStarts()
		if got := s.status(); got.Phase != lifecycle.Busy || got.Job != lifecycle.RunningJob || got.Jobs != 1 || !got.Ready() {
			t.Errorf("busy: %+v", got)
		}
		s.sigterm()
		if got := s.status(); got.Phase != lifecycle.Draining || got.Reason != "received SIGTERM" || got.Ready() ||
			!got.Deadline.Equal(time.Now().Add(100*time.Second)) {
			t.Errorf("draining: %+v", got)
		}
		s.jobEnds()
		s.pass(10 * time.Second)
		if got := s.status(); got.Phase != lifecycle.Gone || got.Registration != lifecycle.Removed || got.End == nil || got.End.Code != 0 {
			t.Errorf("gone: %+v", got)
		}
	})
}

// TestDrainWithoutDeadline: the job takes longer than the grace period, and is
// finished; a SIGTERM later begins it.
func TestDrainWithoutDeadline(t *testing.T) {
	s := play(t, withHandle, func(s *stage) {
		s.ready()
		s.jobStarts()
		s.fails("DELETE", slow(time.Second))
		phases := s.follow()
		if got := s.drain(false); got.Phase != lifecycle.Draining || !got.Deadline.IsZero() || got.Reason != "asked by a test" {
			t.Errorf("asked: %+v", got)
		}
		s.pass(3 * time.Hour)
		again := s.drain(false)
		if !again.Deadline.IsZero() || again.Job != lifecycle.RunningJob {
			t.Errorf("asked again: %+v", again)
		}
		s.sigterm()
		if got := s.status(); !got.Deadline.Equal(time.Now().Add(100 * time.Second)) {
			t.Errorf("after SIGTERM: %+v", got)
		}
		s.jobEnds()
		want := []lifecycle.Phase{lifecycle.Draining, lifecycle.Removing, lifecycle.Stopping, lifecycle.Gone}
		got := <-phases
		if got[0] == lifecycle.Busy { // it began to follow before the drain
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

// TestDrainWithDeadline: the grace period runs from the first word, and nothing
// extends it: neither asking again nor SIGTERM.
func TestDrainWithDeadline(t *testing.T) {
	var asked time.Time
	s := play(t, withHandle, func(s *stage) {
		s.ready()
		s.jobStarts()
		s.drain(false)
		s.pass(time.Hour)
		asked = time.Now()
		deadline := s.drain(true).Deadline
		if !deadline.Equal(asked.Add(100 * time.Second)) {
			t.Errorf("the deadline is %v after the word", deadline.Sub(asked))
		}
		s.pass(40 * time.Second)
		s.drain(true)
		s.sigterm()
		if got := s.status(); !got.Deadline.Equal(deadline) {
			t.Errorf("extended by %v", got.Deadline.Sub(deadline))
		}
		last, err := s.o.handle.next(context.Background(), lifecycle.Draining)
		if err != nil || last.Phase != lifecycle.Stopping {
			t.Errorf("after the budget: %+v, %v", last, err)
		}
		if got, want := time.Since(asked), lifecycle.SplitGrace(100*time.Second).Drain; got != want {
			t.Errorf("the job was cancelled after %v, want %v", got, want)
		}
	})
	if s.end.Code != 75 || s.agentsLeft() != "" {
		t.Errorf("it ended with %+v and left %q", s.end, s.agentsLeft())
	}
}

// TestDrainWhileBooting ends the life at once, and says so.
func TestDrainWhileBooting(t *testing.T) {
	s := play(t, withHandle, func(s *stage) {
		s.fails("pool", hangs)
		s.begin()
		if got := s.drain(false); got.Phase != lifecycle.Gone {
			t.Errorf("asked: %+v", got)
		}
		if got := s.drain(true); got.End == nil || !got.Deadline.IsZero() {
			t.Errorf("asked after the end: %+v", got)
		}
	})
	if s.end.Code != 0 {
		t.Errorf("it ended with %+v", s.end)
	}
}

// TestStuckLoop: without a loop there is no answer, only the caller's own
// patience.
func TestStuckLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got, err := newHandle().status(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("answered with %+v, %v", got, err)
		}
	})
}

// stepOrder is an observer that writes down the order of the events.
type stepOrder struct {
	Observer // nil: Ready is not called
	events   []string
}

func (o *stepOrder) Stepped(_, _ lifecycle.State, e lifecycle.Event) {
	o.events = append(o.events, strings.TrimPrefix(fmt.Sprintf("%T", e), "lifecycle."))
}

// TestEscalationComesLast: the end of the job was reported before a second Ctrl-C is
// read. There is nothing to cancel any more. A first one drains, and comes first.
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

// TestEscalationWaitsForNothing: a second Ctrl-C comes while the loop is at work, so that
// the loop finds it before it waits. It is applied at once, whether or not anything else
// happens.
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

// TestSignalsComeFirst: a SIGTERM that the platform sends to every process makes the
// listener exit. It must count before that exit, or the exit looks unexpected.
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
