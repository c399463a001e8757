package azdo

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/retry"
)

// Throttle is what an answer says about the rate limit of this identity
// (azure-devops-rest.md 3). Usually it is zero. The texts are the server's, because
// Microsoft's support asks for them.
type Throttle struct {
	Resource   string        // the resource that is used too much
	Limit      string        // in TSTU
	Remaining  string        // of the limit; 0 if answers are delayed or refused
	Reset      time.Time     // when the full limit is available again without further requests
	Delay      time.Duration // how long the server delayed this answer
	RetryAfter time.Duration // how long the next request should wait
}

func throttleOf(h http.Header) Throttle {
	t := Throttle{
		Resource: oneLine(h.Get("X-RateLimit-Resource")), Limit: oneLine(h.Get("X-RateLimit-Limit")),
		Remaining: oneLine(h.Get("X-RateLimit-Remaining")), RetryAfter: retryAfter(h),
	}
	if s, err := strconv.ParseFloat(h.Get("X-RateLimit-Delay"), 64); err == nil && s > 0 && s < 1e6 {
		t.Delay = time.Duration(s * float64(time.Second))
	}
	if s, err := strconv.ParseInt(strings.TrimSpace(h.Get("X-RateLimit-Reset")), 10, 64); err == nil && s > 0 && s < 1e11 {
		t.Reset = time.Unix(s, 0).UTC()
	}
	return t
}

// maxRetryAfter limits the pause that a header asks for, so that no server stops an agent
// for days, and sums of such durations cannot overflow.
const maxRetryAfter = time.Hour

// retryAfter parses Retry-After, in seconds or as a date; 0 if there is none.
func retryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if s, err := strconv.ParseFloat(v, 64); err == nil && s > 0 {
		return time.Duration(min(s, maxRetryAfter.Seconds()) * float64(time.Second))
	}
	if at, err := http.ParseTime(v); err == nil {
		now, err := http.ParseTime(h.Get("Date")) // the same clock
		if err != nil {
			now = time.Now()
		}
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	return 0
}

// maxThrottlePause is the longest pause after an answer with Retry-After. It is twice the
// longest delay of the server (azure-devops-rest.md 3).
const maxThrottlePause = time.Minute

// noteRetryAfter stores when the next request may be sent. The server sends Retry-After with
// successes that it delayed, and with refusals. Up to a quarter is added as jitter, because
// a hundred agents may have got the same value. The Error of a refusal also has the value,
// for the caller's retry.
func (c *Client) noteRetryAfter(t Throttle) {
	if t.RetryAfter == 0 {
		return
	}
	pause := min(t.RetryAfter, maxThrottlePause)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notBefore = time.Now().Add(retry.Between(pause, pause+pause/4))
}

// waitRateLimit waits until the next request may be sent. If that takes more than 2/3 of the
// time until the caller's deadline, it returns at once: a request that the server delays is
// better than one that comes too late.
func (c *Client) waitRateLimit(ctx context.Context) error {
	c.mu.Lock()
	notBefore := c.notBefore
	c.mu.Unlock()
	wait := time.Until(notBefore)
	if wait <= 0 {
		return context.Cause(ctx)
	}
	if deadline, ok := ctx.Deadline(); ok && wait > time.Until(deadline)*2/3 {
		return context.Cause(ctx)
	}
	return retry.Sleep(ctx, wait)
}

// Now is the server's time, to a second: that of its last answer plus the time since then.
// Without an answer, or if answers have no Date, it is this machine's time. The server dates
// agents and jobs, so their age must be measured with it: on a machine whose clock is an
// hour ahead, an agent that is just starting would look dead. The time since the answer is
// measured with the monotonic clock, so that it does not jump with this machine's.
func (c *Client) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answered.IsZero() {
		return time.Now()
	}
	return c.answered.Round(0).Add(c.serverAhead + time.Since(c.answered))
}

// noteServerClock stores and returns how far the server's clock is ahead of ours, by the
// answer's Date; 0 if there is none. Date has no fractions of a second: if our clock is
// within that second, the difference is 0.
func (c *Client) noteServerClock(resp *http.Response) (ahead time.Duration) {
	at, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return 0
	}
	now := time.Now()
	switch {
	case now.Before(at):
		ahead = at.Sub(now)
	case now.After(at.Add(time.Second)):
		ahead = at.Add(time.Second).Sub(now)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answered, c.serverAhead = now, ahead
	return ahead
}
