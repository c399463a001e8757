package cli

import (
	"context"
	"log/slog"
	"time"
)

// closeWithin bounds each thing that is closed when the agents have left. All are
// done within milliseconds, unless a file system or a peer is stuck.
const closeWithin = 2 * time.Second

// bounded closes something, and says so if it does not wait for that to finish:
// azptend exits in time whatever is stuck.
func bounded(log *slog.Logger, what string, within time.Duration, shut func()) func() {
	return func() {
		done := make(chan struct{})
		go func() {
			defer close(done)
			shut()
		}()
		timer := time.NewTimer(within)
		defer timer.Stop()
		select {
		case <-done:
		case <-timer.C:
			log.Warn("Exiting without waiting for a step to finish", "step", what, "waited", within.String())
		}
	}
}

// untilDone does something that ends soon after ctx, and does not wait for it if it
// does not: a file system may be stuck.
func untilDone[T any](ctx context.Context, do func() (T, error)) (result T, err error) {
	type outcome struct {
		result T
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		var o outcome
		o.result, o.err = do()
		done <- o
	}()
	select {
	case o := <-done:
		return o.result, o.err
	case <-ctx.Done():
	}
	timer := time.NewTimer(closeWithin)
	defer timer.Stop()
	select {
	case o := <-done:
		return o.result, o.err
	case <-timer.C:
		return result, context.Cause(ctx)
	}
}
