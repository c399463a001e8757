package azdo

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/retry"
)

// Throttle is what an answer says of how much this identity asks
// (azure-devops-rest.md 3). The zero value is the usual: nothing. The words are
// the server's own, as support asks for them.
type Throttle struct {
	Resource   string        // what is used too much
	Limit      string        // of it, in TSTU
	Remaining  string        // of that; 0 when answers are delayed or refused
	Reset      time.Time     // when all of it is free again, if nothing more is asked
	Delay      time.Duration // for how long this answer was held back
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

// maxRetryAfter limits what a header asks for: no server can stop an agent for days,
// and a sum of such durations cannot overflow.
const maxRetryAfter = time.Hour

// retryAfter reads Retry-After, in seconds or as a date. It is 0 if there is none.
func retryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if s, err := strconv.ParseFloat(v, 64); err == nil && s > 0 {
		return time.Duration(min(s, maxRetryAfter.Seconds()) * float64(time.Second))
	}
	if at, err := http.ParseTime(v); err == nil {
		now, err := http.ParseTime(h.Get("Date")) // of the same clock
		if err != nil {
			now = time.Now()
		}
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	return 0
}

// maxThrottlePause is the most that the server delays a request by itself
// (azure-devops-rest.md 3), doubled; no answer can silence us for longer.
const maxThrottlePause = time.Minute

// noteRetryAfter remembers the server's wish to wait before the next request: it sends
// Retry-After with answers that it delayed but gave, and with refusals. Up to a
// quarter is added by chance: a hundred agents were told the same. A refusal's is
// in the Error too, for whoever decides when that request is made again.
func (c *Client) noteRetryAfter(t Throttle) {
	if t.RetryAfter == 0 {
		return
	}
	pause := min(t.RetryAfter, maxThrottlePause)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notBefore = time.Now().Add(retry.Between(pause, pause+pause/4))
}

// waitRateLimit waits until the server wants to be asked again; where that is most of
// the time that the caller has, it goes at once, for being delayed beats asking
// too late: an agent that is to end may be given a job while it waits.
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

// Now is the server's clock, by which it dates agents and jobs, as its last answer
// told it (to a second); before there was one, and of a server that tells none, it
// is this machine's. An agent's age is to be measured by it: on a machine whose
// clock is an hour ahead, an agent that is just starting would look dead. Since that
// answer it counts on by the monotonic clock, so that it does not jump with this
// machine's.
func (c *Client) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answered.IsZero() {
		return time.Now()
	}
	return c.answered.Round(0).Add(c.serverAhead + time.Since(c.answered))
}

// noteServerClock reads the answer's Date, and returns by how much the server's clock is
// ahead of ours; 0 where it does not tell. Date has no fractions of a second: within
// the second that it names our clock is as good as the server's.
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
