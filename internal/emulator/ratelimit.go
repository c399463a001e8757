package emulator

import (
	"cmp"
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

// rateResource is the resource that is exhausted, according to public reports.
const rateResource = "DBCPU"

func (l RateLimit) withDefaults() (RateLimit, error) {
	l.Cost, l.WarnAt, l.BlockAt = cmp.Or(l.Cost, 1), cmp.Or(l.WarnAt, 0.8), cmp.Or(l.BlockAt, 2)
	if l.Budget < 0 || l.Cost < 0 || l.WarnAt < 0 || l.BlockAt <= 1 {
		return l, fmt.Errorf("cannot limit calls: the rate limit %+v is negative, or refuses at no more than the budget", l)
	}
	return l, nil
}

// SetRateLimit sets the limit for each identity. Earlier calls count.
func (e *Emulator) SetRateLimit(l RateLimit) error {
	l, err := l.withDefaults()
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.meter.limit = l
	return nil
}

// Meter counts what identities ask, and says what the limit does to each call. It has no clock of its own, so that a
// simulation meets in its time the limit that tests meet in theirs (test/sim/scale). Not for use by several goroutines.
type Meter struct {
	limit           RateLimit
	window, longest time.Duration        // over which calls count; of a delay
	used            map[string]callTimes // by identity
}

// NewMeter returns a meter with the times of the service.
func NewMeter(l RateLimit) (*Meter, error) {
	l, err := l.withDefaults()
	if err != nil {
		return nil, err
	}
	return newMeter(l, rateWindow, longestDelay), nil
}

func newMeter(l RateLimit, window, longest time.Duration) *Meter {
	return &Meter{limit: l, window: window, longest: longest, used: map[string]callTimes{}}
}

// callTimes is when an identity's calls were made that still count.
type callTimes []time.Time

// Throttle is what the limit does to one call. The zero value does nothing.
type Throttle struct {
	Delay      time.Duration // the answer is held back for so long
	RetryAfter time.Duration // the next call is to wait for so long, in whole seconds
	Refuse     bool          // the answer is 429

	sendHeaders  bool // headers are sent
	budget, left float64
	reset        time.Time
}

// Charge counts a call that an identity makes now, no earlier than the call before, and says what becomes of it. A
// refused call costs nothing, and neither does an anonymous one.
func (m *Meter) Charge(who string, now time.Time) Throttle {
	l := m.limit
	if l.Budget == 0 || who == "" {
		return Throttle{}
	}
	used := m.used[who]
	for len(used) > 0 && !now.Before(used[0].Add(m.window)) {
		used = used[1:]
	}
	t := Throttle{Refuse: float64(len(used))*l.Cost >= l.Budget*l.BlockAt}
	if !t.Refuse {
		used = append(used, now)
	}
	m.used[who] = used
	spent := float64(len(used)) * l.Cost
	if spent < l.Budget*l.WarnAt {
		return t
	}
	t.sendHeaders, t.budget, t.left = true, l.Budget, math.Floor(max(l.Budget-spent, 0))
	t.reset = used[len(used)-1].Add(m.window)
	if spent <= l.Budget {
		return t
	}
	if !t.Refuse {
		t.Delay = time.Duration(min((spent/l.Budget-1)/(l.BlockAt-1), 1) * float64(m.longest))
	}
	// Until so many calls have left the window that the rest is within the budget.
	leave := len(used) - int(l.Budget/l.Cost)
	free := used[max(leave, 1)-1].Add(m.window)
	t.RetryAfter = time.Duration(max(math.Ceil(free.Sub(now).Seconds()), 1)) * time.Second
	return t
}

// header returns the headers of an answer near or over the limit; the delay header only if there was a delay.
func (t Throttle) header() http.Header {
	if !t.sendHeaders {
		return nil
	}
	h := http.Header{}
	h.Set("X-RateLimit-Resource", rateResource)
	h.Set("X-RateLimit-Limit", strconv.FormatFloat(t.budget, 'f', -1, 64))
	h.Set("X-RateLimit-Remaining", strconv.FormatFloat(t.left, 'f', -1, 64))
	h.Set("X-RateLimit-Reset", strconv.FormatInt(t.reset.Unix(), 10))
	if t.Delay > 0 {
		h.Set("X-RateLimit-Delay", strconv.FormatFloat(t.Delay.Seconds(), 'f', 3, 64))
	}
	if t.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(t.RetryAfter/time.Second)))
	}
	return h
}
