package emulator

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"
)

// RateLimit is how much an identity may ask (azure-devops-rest.md 3): 200 TSTU within a sliding window of five minutes,
// then answers are delayed, then refused. The zero value limits nothing. What a call costs nobody publishes, nor from
// where on headers are sent and calls refused: these are assumptions, to be set.
type RateLimit struct {
	Budget  float64 `json:"budget"`            // TSTU an identity has in a window; 0: no limit. The service's is 200
	Cost    float64 `json:"cost,omitempty"`    // TSTU of one call; default 1, which is a lot: a usual user takes 1 in five minutes
	WarnAt  float64 `json:"warnAt,omitempty"`  // the part of the budget from which on headers are sent; default 0.8
	BlockAt float64 `json:"blockAt,omitempty"` // the multiple of it at which calls are refused; default 2
}

// The times of the limit, at TimeScale 1.
const (
	rateWindow   = 5 * time.Minute
	longestDelay = 30 * time.Second
)

// rateResource is what is used too much, as public reports have it.
const rateResource = "DBCPU"

func (l RateLimit) withDefaults() (RateLimit, error) {
	set := func(field *float64, otherwise float64) {
		if *field == 0 {
			*field = otherwise
		}
	}
	set(&l.Cost, 1)
	set(&l.WarnAt, 0.8)
	set(&l.BlockAt, 2)
	if l.Budget < 0 || l.Cost < 0 || l.WarnAt < 0 || l.BlockAt <= 1 {
		return l, fmt.Errorf("cannot limit calls: the rate limit %+v is negative, or refuses at no more than the budget", l)
	}
	return l, nil
}

// SetRateLimit sets the limit for every identity. What was used counts.
func (e *Emulator) SetRateLimit(l RateLimit) error {
	l, err := l.withDefaults()
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.limit = l
	return nil
}

// usage is when an identity's calls were made that still count.
type usage []time.Time

// toll is what the limit does to one call.
type toll struct {
	delay  time.Duration
	refuse bool
	header http.Header // nil in normal operation
}

// charge counts a call of an identity, and says what becomes of it. A refused call costs nothing. mu is held.
func (e *Emulator) charge(who string) toll {
	if e.limit.Budget == 0 || who == "" {
		return toll{}
	}
	l, now, window := e.limit, e.now(), e.slow(rateWindow)
	used := e.used[who]
	for len(used) > 0 && !now.Before(used[0].Add(window)) {
		used = used[1:]
	}
	if spent := float64(len(used)) * l.Cost; spent >= l.Budget*l.BlockAt {
		e.used[who] = used
		return toll{refuse: true, header: rateHeaders(l, used, now, window, 0)}
	}
	used = append(used, now)
	e.used[who] = used
	over := float64(len(used))*l.Cost/l.Budget - 1
	if over <= 0 {
		if over < l.WarnAt-1 {
			return toll{}
		}
		return toll{header: rateHeaders(l, used, now, window, 0)}
	}
	delay := time.Duration(min(over/(l.BlockAt-1), 1) * float64(e.slow(longestDelay)))
	return toll{delay: delay, header: rateHeaders(l, used, now, window, delay)}
}

// rateHeaders are those of an answer near, over and far over the limit; the delay is told only where there was one.
func rateHeaders(l RateLimit, used usage, now time.Time, window, delay time.Duration) http.Header {
	h := http.Header{}
	spent := float64(len(used)) * l.Cost
	h.Set("X-RateLimit-Resource", rateResource)
	h.Set("X-RateLimit-Limit", strconv.FormatFloat(l.Budget, 'f', -1, 64))
	h.Set("X-RateLimit-Remaining", strconv.FormatFloat(math.Floor(max(l.Budget-spent, 0)), 'f', -1, 64))
	h.Set("X-RateLimit-Reset", strconv.FormatInt(used[len(used)-1].Add(window).Unix(), 10))
	if spent <= l.Budget {
		return h
	}
	if delay > 0 {
		h.Set("X-RateLimit-Delay", strconv.FormatFloat(delay.Seconds(), 'f', 3, 64))
	}
	// Until so many calls have left the window that the rest is within the budget.
	leave := len(used) - int(l.Budget/l.Cost)
	free := used[max(leave, 1)-1].Add(window)
	h.Set("Retry-After", strconv.Itoa(int(max(math.Ceil(free.Sub(now).Seconds()), 1))))
	return h
}

// blocked is the refusal of a call over the limit.
func blocked(t toll) reply {
	r := taskError(http.StatusTooManyRequests, "RequestBlockedException",
		"TF400733: The request has been canceled: Request was blocked due to exceeding usage of resource '%s' in namespace 'User'.", rateResource).reply()
	r.header = t.header
	return r
}
