package cli

import (
	"context"
	"log/slog"
	"time"

	"github.com/azptend/azptend/internal/bounded"
	"github.com/azptend/azptend/internal/supervisor"
)

// closeTimeout bounds each thing that is closed when the agents have left. All are
// done within milliseconds, unless a file system or a peer is stuck.
const closeTimeout = 2 * time.Second

// shortestClose is for each of them when the grace period is over already.
const shortestClose = 50 * time.Millisecond

// graceEnd is when the grace period ends; zero while none runs. What is closed after
// that was noted, when the agents have left, shares what is left of it.
type graceEnd struct{ at time.Time }

// note takes the end of the grace period from what the agents said last.
func (g *graceEnd) note(lines supervisor.Group) {
	if s, err := lines.Status(context.Background()); err == nil {
		g.at = s.Deadline
	}
}

// runs says whether a grace period runs.
func (g *graceEnd) runs() bool { return !g.at.IsZero() }

// within is how long something may take that is given most of the time usually.
func (g *graceEnd) within(most time.Duration) time.Duration {
	if !g.runs() {
		return most
	}
	return min(most, max(time.Until(g.at)/2, shortestClose))
}

// closeWithin returns a function that closes something, and says so if it does not wait for that to finish:
// azptend exits in time whatever is stuck.
func closeWithin(grace *graceEnd, log *slog.Logger, what string, most time.Duration, shut func()) func() {
	return func() {
		within := grace.within(most)
		if !bounded.Within(within, shut) {
			log.Warn("Exiting without waiting for a step to finish", "step", what, "waited", within.String())
		}
	}
}

// waitBriefly calls a function that returns soon after ctx ends, unless a file system
// is stuck: closeWithin after that, untilDone returns without it.
func waitBriefly[T any](ctx context.Context, do func() (T, error)) (T, error) {
	later, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(closeTimeout, func() { end(context.Cause(ctx)) })
	})
	defer stop()
	return bounded.Call(later, do, nil)
}
