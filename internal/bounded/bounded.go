// Package bounded waits for functions that nothing can interrupt, and gives up in
// time. A read of a file or the start of a process can hang in a file system, and a
// wait for a process that cannot be killed never ends.
package bounded

import (
	"context"
	"time"
)

// Call calls f in a goroutine and returns its result. If ctx ends first, Call
// returns context.Cause(ctx) and f goes on: its result then goes to late, unless
// that is nil. F must not use what its caller uses afterwards.
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
	case r := <-done: // both at once: the result counts
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

// Within calls f in a goroutine, and says whether it returned within d.
func Within(d time.Duration, f func()) bool {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	_, err := Call(ctx, func() (struct{}, error) { f(); return struct{}{}, nil }, nil)
	return err == nil
}
