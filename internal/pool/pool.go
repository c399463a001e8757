package pool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/azptend/azptend/internal/azdo"
)

// Server is what this package asks of Azure DevOps. *azdo.Client is one.
type Server interface {
	PoolByName(ctx context.Context, name string) (azdo.Pool, error)
	Agents(ctx context.Context, pool int) ([]azdo.Agent, error)
	AgentByName(ctx context.Context, pool int, name string) (azdo.Agent, bool, error)
	AddAgent(ctx context.Context, pool int, a azdo.Agent) (azdo.Agent, error)
	ReplaceAgent(ctx context.Context, pool int, a azdo.Agent) (azdo.Agent, error)
	RemoveAgent(ctx context.Context, pool, id int) error
	EachAgent(ctx context.Context, pool int, with azdo.Include, each func(azdo.Agent)) error
	AgentWhole(ctx context.Context, pool, id int) (azdo.Agent, error)
	EnableAgent(ctx context.Context, pool, id int) error
	DisableAgent(ctx context.Context, pool, id int) error
	EachJobRequest(ctx context.Context, pool, completed int, each func(azdo.JobRequest)) error
	Now() time.Time // the server's clock
}

// Options say which pool, and how patient to be.
type Options struct {
	Server   Server
	Name     string
	ID       int           // 0: look Name up
	RetryFor time.Duration // how long a server that is away is tried again; 0: two minutes
	Log      *slog.Logger
	Hint     func(error) string // what to do about a failure, "" where nobody knows; nil: nobody does
}

// Pool is an agent pool that was found.
type Pool struct {
	ID   int
	Name string // "" where only the id is known

	o Options
}

// Open finds the pool. A pool that is given by its id is not looked up, like in
// tend: the identity may lack the right to list pools.
func Open(ctx context.Context, o Options) (*Pool, error) {
	o.RetryFor = cmp.Or(o.RetryFor, defaultRetryFor)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Hint == nil {
		o.Hint = func(error) string { return "" }
	}
	p := &Pool{ID: o.ID, o: o}
	if o.ID != 0 {
		return p, nil
	}
	err := p.retry(ctx, func(ctx context.Context) error {
		found, err := o.Server.PoolByName(ctx, o.Name)
		if err != nil {
			return err
		}
		p.ID, p.Name = found.ID, found.Name
		if why := found.ClosedReason(); why != "" {
			return &ClosedError{found.Name, why}
		}
		return nil
	})
	return p, err
}

// String names the pool for a person.
func (p *Pool) String() string {
	if p.Name == "" {
		return fmt.Sprintf("pool %d", p.ID)
	}
	return fmt.Sprintf("pool %q", p.Name)
}

const (
	// defaultRetryFor is for a server or an identity endpoint that is not there yet when a
	// container starts, or that breaks down for a moment.
	defaultRetryFor = 2 * time.Minute
	// roundTimeout is for one try of one or two calls. Azure DevOps delays a
	// throttled request by up to 30 s and still answers it (azure-devops-rest.md 3).
	roundTimeout = 45 * time.Second

	firstPause   = 250 * time.Millisecond
	longestPause = 30 * time.Second
)

// retry does f, and again while that can help and patience lasts. What f
// does must be safe to repeat: it looks before it acts.
func (p *Pool) retry(ctx context.Context, f func(context.Context) error) error {
	giveUp := time.Now().Add(p.o.RetryFor)
	tell := p.logFirstFailure
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		err := withTimeout(ctx, f)
		if err == nil || ctx.Err() != nil || !isTransient(err) {
			return err
		}
		wait := max(jittered(pause), retryAfter(err))
		if time.Now().Add(wait).After(giveUp) {
			return err
		}
		tell(err, giveUp)
		tell = p.logNextFailure
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

// logFirstFailure says that a call failed, what to look at, and until when it is tried.
func (p *Pool) logFirstFailure(err error, until time.Time) {
	what := []any{"error", err, "tried_until", until.UTC().Format(time.RFC3339)}
	if hint := p.o.Hint(err); hint != "" {
		what = append(what, "hint", hint)
	}
	p.o.Log.Warn("A call failed, and is tried again", what...)
}

// logNextFailure is for those who want to know of each try.
func (p *Pool) logNextFailure(err error, _ time.Time) {
	p.o.Log.Debug("A call failed, and is tried again", "error", err)
}

func withTimeout(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	return f(ctx)
}

// jittered is between half of d and d: what failed together is not to come back
// together.
func jittered(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }

// isTransient says whether an error is of the kind that passes: no answer, a
// server that is broken or throttles, a success that nobody can read, and a name
// that was taken between the look and the POST.
func isTransient(err error) bool {
	var (
		token   *azdo.TokenError
		answer  *azdo.Error
		refused interface{ Refused() bool }
	)
	switch {
	case errors.As(err, new(*vanishedError)):
		return true
	case errors.As(err, &token):
		return !errors.As(err, &refused) || !refused.Refused()
	case errors.As(err, &answer):
		switch s := answer.Status; {
		case s == 0, s/100 == 2, s >= 500:
			return true
		default:
			return s == http.StatusRequestTimeout || s == http.StatusConflict || s == http.StatusTooManyRequests
		}
	}
	return false
}

func retryAfter(err error) time.Duration {
	var answer *azdo.Error
	if errors.As(err, &answer) {
		return answer.RetryAfter
	}
	return 0
}
