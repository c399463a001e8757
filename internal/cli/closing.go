package cli

import (
	"context"
	"log/slog"
	"time"

	"github.com/azptend/azptend/internal/bounded"
)

// closeWithin bounds each thing that is closed when the agents have left. All are
// done within milliseconds, unless a file system or a peer is stuck.
const closeWithin = 2 * time.Second

// closing returns a function that closes something, and says so if it does not wait for that to finish:
// azptend exits in time whatever is stuck.
func closing(log *slog.Logger, what string, within time.Duration, shut func()) func() {
	return func() {
		if !bounded.Within(within, shut) {
			log.Warn("Exiting without waiting for a step to finish", "step", what, "waited", within.String())
		}
	}
}

// untilDone calls a function that returns soon after ctx ends, unless a file system
// is stuck: closeWithin after that, untilDone returns without it.
func untilDone[T any](ctx context.Context, do func() (T, error)) (T, error) {
	later, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(closeWithin, func() { end(context.Cause(ctx)) })
	})
	defer stop()
	return bounded.Call(later, do, nil)
}
