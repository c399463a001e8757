// Package retry tries calls again: with a pause that grows, with jitter, with the
// pause that a server asks for, and only while a budget lasts. Every package that
// waits before it repeats a call uses it.
package retry

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Policy says which errors are retried, after what pauses, and for how long.
type Policy struct {
	// First is the pause after the first error. It doubles with each further error up
	// to Max. Jitter changes each pause by up to half, in both directions.
	First, Max time.Duration
	// Budget limits the time from the first try to the start of the last one, and Tries
	// limits their number. Zero is no limit. With neither there is one try.
	Budget time.Duration
	Tries  int
	// Dials limits the number of tries that do not reach their host. Zero is no limit. A
	// try that waited for its host until it timed out is the last one.
	Dials int
	// Retryable says whether an error may pass. If it is nil, every error may.
	Retryable func(error) bool
	// AtLeast is the least pause after an error, for example a server's Retry-After.
	AtLeast func(error) time.Duration
	// OnRetry is called before each pause.
	OnRetry func(err error, pause time.Duration)
}

// Do calls try until it succeeds, fails for good, ctx ends, or the budget does not
// last for another try. It returns try's last error, also where ctx ends during a
// pause: that says more than that time is up.
func (p Policy) Do(ctx context.Context, try func(context.Context) error) error {
	if p.Budget <= 0 && p.Tries == 0 {
		p.Budget, p.Tries = 0, 1
	}
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.MaxInterval, pauses.Multiplier = p.First, p.Max, 2
	var last error
	dials := 0
	_, _ = backoff.Retry(ctx, func() (none struct{}, err error) {
		last = try(ctx)
		if IsUnreachable(last) {
			dials++
		}
		switch {
		case last == nil:
			return none, nil
		case p.Dials > 0 && IsUnreachable(last) && (dials >= p.Dials || isTimeout(last)),
			p.Retryable != nil && !p.Retryable(last):
			return none, backoff.Permanent(last)
		}
		return none, last
	},
		backoff.WithBackOff(&atLeast{pauses, func() time.Duration {
			if p.AtLeast == nil {
				return 0
			}
			return p.AtLeast(last)
		}}),
		backoff.WithMaxElapsedTime(p.Budget), backoff.WithMaxTries(uint(p.Tries)), backoff.WithNotify(p.OnRetry))
	return last
}

// atLeast makes pauses no shorter than what the last error asks for.
type atLeast struct {
	backoff.BackOff
	least func() time.Duration
}

func (a *atLeast) NextBackOff() time.Duration { return max(a.BackOff.NextBackOff(), a.least()) }

// IsTransientStatus reports whether an HTTP response is about the server's condition, so
// that the same request may succeed later.
func IsTransientStatus(status int) bool {
	return status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status >= 500
}

// IsUnreachable reports whether no connection was made: the host has no address, refuses
// connections or does not respond. The same holds for a proxy on the way.
func IsUnreachable(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect")
}

func isTimeout(err error) bool {
	var timed interface{ Timeout() bool }
	return errors.As(err, &timed) && timed.Timeout()
}

// Pause is first, doubled times times, and at most longest. It has no jitter.
func Pause(times int, first, longest time.Duration) time.Duration {
	for ; times > 0 && first < longest; times-- {
		first *= 2
	}
	return min(first, longest)
}

// Between is a random duration: from least up to most.
func Between(least, most time.Duration) time.Duration { return least + rand.N(most-least+1) }

// Sleep waits. The error is ctx's cause if that ends first.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
