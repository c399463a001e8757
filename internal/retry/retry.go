// Package retry repeats calls that fail: with exponential backoff, jitter, the pause that a
// server asks for, and a time budget. All packages that wait before they repeat a call use
// it.
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
	// Budget limits the time from the first try to the start of the last one. Tries limits
	// the number of tries. Zero is no limit, but if both are zero, there is one try.
	Budget time.Duration
	Tries  int
	// MaxUnreachable limits the number of tries until one reaches its host. Zero is no
	// limit. A connect timeout ends the retries at once.
	MaxUnreachable int
	// Retryable says whether to retry after an error. If it is nil, Do retries after every
	// error.
	Retryable func(error) bool
	// AtLeast is the minimum pause after an error, for example a server's Retry-After.
	AtLeast func(error) time.Duration
	// OnRetry is called before each pause.
	OnRetry func(err error, pause time.Duration)
}

// Do calls try until it succeeds, its error is not retryable, ctx ends, or the budget does
// not last for another try. It returns try's last error, even if ctx ends during a pause:
// that error says more than ctx's.
func (p Policy) Do(ctx context.Context, try func(context.Context) error) error {
	if p.Budget <= 0 && p.Tries == 0 {
		p.Budget, p.Tries = 0, 1
	}
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.MaxInterval, pauses.Multiplier = p.First, p.Max, 2
	var last error
	reached, unreachable := false, 0
	_, _ = backoff.Retry(ctx, func() (none struct{}, err error) {
		last = try(ctx)
		if IsUnreachable(last) {
			unreachable++
		} else {
			reached = true
		}
		limited := p.MaxUnreachable > 0 && !reached
		switch {
		case last == nil:
			return none, nil
		case limited && (unreachable >= p.MaxUnreachable || isTimeout(last)),
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

// atLeast extends pauses to the minimum that the last error asks for.
type atLeast struct {
	backoff.BackOff
	least func() time.Duration
}

func (a *atLeast) NextBackOff() time.Duration { return max(a.BackOff.NextBackOff(), a.least()) }

// IsTransientStatus reports whether the same request may succeed later after this HTTP
// status.
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

// Pause is first doubled this many times, and at most longest. It has no jitter.
func Pause(times int, first, longest time.Duration) time.Duration {
	for ; times > 0 && first < longest; times-- {
		first *= 2
	}
	return min(first, longest)
}

// Between is a random duration: from least up to most.
func Between(least, most time.Duration) time.Duration { return least + rand.N(most-least+1) }

// Sleep waits for d. If ctx ends first, the error is its cause.
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
