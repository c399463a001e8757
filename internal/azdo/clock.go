package azdo

import (
	"net/http"
	"time"
)

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
