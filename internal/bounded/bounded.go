// Package bounded waits for functions that cannot be cancelled, with a timeout. A read of a
// file or the start of a process can hang in a file system, and the wait for a process that
// cannot be killed never ends.
package bounded

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Call calls f in a goroutine and returns its result. If ctx ends first, Call returns
// context.Cause(ctx), and f continues. When f returns, its result is passed to late, unless
// that is nil. f must not use data that its caller uses afterwards.
func Call[T any](ctx context.Context, f func() (T, error), late func(T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := f()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
	}
	select {
	case r := <-done: // f has returned at the same time
		return r.value, r.err
	default:
	}
	if late != nil {
		go func() {
			r := <-done
			late(r.value, r.err)
		}()
	}
	var none T
	return none, context.Cause(ctx)
}

// CallLonger is Call for a function that usually returns soon after ctx ends: it waits for
// longer after the end of ctx before it gives up.
func CallLonger[T any](ctx context.Context, longer time.Duration, f func() (T, error)) (T, error) {
	later, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(longer, func() { end(context.Cause(ctx)) })
	})
	defer stop()
	return Call(later, f, nil)
}

// Do is Call for a function that returns only an error.
func Do(ctx context.Context, f func() error) error {
	_, err := Call(ctx, func() (struct{}, error) { return struct{}{}, f() }, nil)
	return err
}

// Within calls f in a goroutine, and reports whether it returned within d.
func Within(d time.Duration, f func()) bool {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return Do(ctx, func() error { f(); return nil }) == nil
}

// FinalSteps runs the steps that a process does before it exits. Each step has a timeout,
// and all of them share the time until the deadline, so the process exits even if steps
// hang.
type FinalSteps struct {
	Log   *slog.Logger
	Least time.Duration // the least timeout of a step, also after the deadline

	mu       sync.Mutex
	deadline time.Time // zero: none
	shorten  func()    // sets the timeout of the step that runs; nil: none runs
}

// EndBy sets the deadline, also for the step that runs. The earliest deadline counts. Zero
// changes nothing.
func (s *FinalSteps) EndBy(deadline time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if deadline.IsZero() || !s.deadline.IsZero() && !deadline.Before(s.deadline) {
		return
	}
	s.deadline = deadline
	if s.shorten != nil {
		s.shorten()
	}
}

// Deadline is the earliest deadline that was set; zero: none.
func (s *FinalSteps) Deadline() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.deadline
}

// Limit is the timeout of the next step: most, or half of the time until the deadline if
// that is less.
func (s *FinalSteps) Limit(most time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limit(most)
}

func (s *FinalSteps) limit(most time.Duration) time.Duration {
	if s.deadline.IsZero() {
		return most
	}
	return min(most, max(time.Until(s.deadline)/2, s.Least))
}

// Do calls step, and reports whether it ended within the timeout. If not, it logs a warning,
// and the step continues in the background. One step runs at a time.
func (s *FinalSteps) Do(what string, most time.Duration, step func()) (ended bool) {
	begun := time.Now()
	ctx, giveUp := context.WithCancel(context.Background())
	defer giveUp()
	s.mu.Lock()
	timeout := time.AfterFunc(s.limit(most), giveUp)
	s.shorten = func() { timeout.Reset(s.limit(most - time.Since(begun))) }
	s.mu.Unlock()
	ended = Do(ctx, func() error { step(); return nil }) == nil
	s.mu.Lock()
	timeout.Stop()
	s.shorten = nil
	s.mu.Unlock()
	if !ended {
		s.Log.Warn("Exiting without waiting for a step to finish", "step", what, "timeout", time.Since(begun).Round(time.Millisecond).String())
	}
	return ended
}
