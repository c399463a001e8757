package keep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/pool"
	"github.com/azptend/azptend/internal/retry"
	"github.com/azptend/azptend/internal/secret"
	"github.com/azptend/azptend/internal/text"
)

// An autoscaler asks how many agents a group should have: KEDA each pollingInterval, for each
// ScaledJob. An answer is never older than scaleValid, and an autoscaler that is told 0
// removes agents: so a number that is not known is an error, and never 0.
const (
	// scaleFresh is how old an answer may be without another look. It is shorter than any
	// interval of polls, so that the answers do not age in phase with them.
	scaleFresh = time.Second
	// scaleValid is how old an answer may be if looks are slow or fail.
	scaleValid = 30 * time.Second
	// scaleTimeout is how long a request waits for a look: KEDA waits for three seconds.
	scaleTimeout = 2*time.Second - 100*time.Millisecond
	// scaleShare limits how long the server works for the looks to one part in three, where
	// lookShare, for a keeper that nobody waits for, has one in eleven. With a slow server,
	// jobs that start later cost more than these requests.
	scaleShare = 3
	// maxScaleWait limits what scaleShare adds, so that answers stay valid; and the pause
	// after failures, so that an autoscaler goes on soon after an outage.
	maxScaleWait, maxFailedWait = scaleValid / 2, 5 * time.Second
)

// scaler says how many agents the groups of one pool should have. It looks at the pool when it is
// asked. All that ask at the same time share one look.
type scaler struct {
	server  pool.Server
	pool    azdo.PoolRef
	groups  []pool.Group
	metrics *Metrics
	flight  singleflight.Group

	mu       sync.Mutex
	ctx      context.Context // the keeper's; nil until it runs
	found    *pool.Pool      // nil until it was found
	at       time.Time       // when the last successful look began; zero until there is one
	seen     pool.Assignment // by that look
	err      error           // why the last look failed; nil: it did not
	failures int             // in a row
	next     time.Time       // no look begins before
}

// scaleAnswer is what the endpoint says of a group.
type scaleAnswer struct {
	Desired int     `json:"desired"`
	Waiting int     `json:"waiting"`
	Busy    int     `json:"busy"`
	Warm    int     `json:"warm"`
	Age     float64 `json:"age"` // seconds since the look began
}

// start lets the scaler look at the pool until ctx ends.
func (s *scaler) start(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ctx = ctx
}

// wait waits for the look that runs, once the keeper's ctx has ended.
func (s *scaler) wait() {
	_, _, _ = s.flight.Do("", func() (any, error) { return nil, nil })
}

// answer says how many agents a group should have, or why that is not known.
func (s *scaler) answer(ctx context.Context, group int) (scaleAnswer, error) {
	if s.isDue() {
		timeout := time.NewTimer(scaleTimeout)
		defer timeout.Stop()
		select {
		case <-s.flight.DoChan("", func() (any, error) { s.look(); return nil, nil }):
		case <-timeout.C:
		case <-ctx.Done():
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	age := now.Sub(s.at)
	switch {
	case s.ctx == nil || s.ctx.Err() != nil:
		return scaleAnswer{}, errors.New("the keeper does not run")
	case isPermanent(s.err):
		return scaleAnswer{}, s.err
	case s.at.IsZero() && s.err == nil:
		return scaleAnswer{}, errors.New("the pool has not been read yet")
	case s.at.IsZero():
		return scaleAnswer{}, s.err
	case age > scaleValid && s.err == nil:
		return scaleAnswer{}, fmt.Errorf("the last look at the pool was %s ago, and another one has no answer yet", text.Duration(age))
	case age > scaleValid:
		return scaleAnswer{}, fmt.Errorf("the last look at the pool was %s ago: %w", text.Duration(age), s.err)
	}
	g, count := s.groups[group], s.seen.Counts[group]
	return scaleAnswer{g.Desired(count, now), count.Waiting, count.Busy, g.WarmAt(now), math.Round(age.Seconds()*10) / 10}, nil
}

// isDue says whether it is time for another look.
func (s *scaler) isDue() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	return s.ctx != nil && s.ctx.Err() == nil && now.Sub(s.at) > scaleFresh && !now.Before(s.next)
}

// look looks at the pool, unless another look has just ended.
func (s *scaler) look() {
	if !s.isDue() {
		return
	}
	ctx, done := context.WithTimeout(s.ctx, scaleValid)
	defer done()
	err := s.read(ctx)
	if err == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	pause := max(retry.Pause(s.failures, scaleFresh, maxFailedWait), azdo.RetryAfter(err))
	s.err, s.next = err, time.Now().Add(pause)
	s.failures++
}

// read reads the pool. It does not retry, because the next request does. Only one goroutine at a
// time calls it.
func (s *scaler) read(ctx context.Context) error {
	if s.found == nil {
		found, err := pool.Open(ctx, pool.Options{Server: s.server, Pool: s.pool, RetryFor: time.Nanosecond})
		if err != nil {
			return err
		}
		s.found = found
	}
	begun := time.Now()
	agents, queue, err := s.found.Look(ctx)
	if err != nil {
		return err
	}
	s.record(begun, pool.Assign(s.groups, agents, queue))
	return nil
}

// record takes over what a look found that began at a time: one of its own, or of the pool's loop.
func (s *scaler) record(begun time.Time, seen pool.Assignment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if begun.Before(s.at) {
		return
	}
	now := time.Now()
	s.at, s.seen, s.err, s.failures = begun, seen, nil, 0
	s.next = begun.Add(min(scaleShare*now.Sub(begun), maxScaleWait))
	s.metrics.setScale(s.pool.Name, s.groups, seen, now)
}

// setAge updates the metric of the age, which grows without any look.
func (s *scaler) setAge() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.at.IsZero() {
		s.metrics.scaleAge.Set(time.Since(s.at).Seconds(), s.pool.Name)
	}
}

// scaleTarget is a group that the endpoint answers for.
type scaleTarget struct {
	*scaler
	group int
}

// scale answers GET /scale/GROUP.
func (w *pageServer) scale(token secret.Text) http.HandlerFunc {
	return func(out http.ResponseWriter, r *http.Request) {
		target, known := w.k.targets[strings.ToLower(r.PathValue("group"))]
		name := "-" // no group has this name
		if known {
			name = target.groups[target.group].Name
		}
		code := http.StatusOK
		refuse := func(status int, why string) {
			code = status
			http.Error(out, why, status)
		}
		defer func() { w.k.o.Metrics.scaleRequests.Add(1, name, strconv.Itoa(code)) }()
		switch status, why := mayScale(r, token, w.k.o.ScaleToken); {
		case status != http.StatusOK:
			refuse(status, why)
			return
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			out.Header().Set("Allow", "GET, HEAD")
			refuse(http.StatusMethodNotAllowed, "use GET")
			return
		case !known:
			refuse(http.StatusNotFound, "AZP_KEEP_GROUPS_FILE has no such group")
			return
		}
		answer, err := target.answer(r.Context(), target.group)
		if err != nil {
			refuse(http.StatusServiceUnavailable, "cannot say how many agents: "+shortened(err.Error()))
			return
		}
		out.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(out).Encode(answer)
	}
}

// mayScale says whether a request may ask for a group: with the keeper's token or the scale
// token. Without any token, it must come by a loopback address, as in requireToken.
func mayScale(r *http.Request, tokens ...secret.Text) (status int, why string) {
	open := true
	for _, token := range tokens {
		if token.IsZero() {
			continue
		}
		if open = false; hasBearer(r, token) {
			return http.StatusOK, ""
		}
	}
	switch {
	case !open:
		return http.StatusUnauthorized, "a token is required: send Authorization: Bearer TOKEN"
	case !IsLoopback(r.Host):
		return http.StatusForbidden, noTokenMessage
	}
	return http.StatusOK, ""
}

// shortened keeps an answer below one kilobyte.
func shortened(s string) string {
	const most = 600
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
