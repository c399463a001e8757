// Package pool acts on a whole pool, where package supervisor runs single agents. It
// lists the agents, finds ghosts and removes them, enables and disables agents, and
// creates, shows and deletes the placeholder.
//
// To prune, make a Survey under Rules, show its verdicts, and give its ghosts to
// Remove, which checks each again. Rules.Judge alone needs no server.
//
// A placeholder is a registration that no listener ever serves. Azure DevOps accepts a
// job only if at least one agent, even an offline one, matches its demands
// (azure-devops-rest.md 2.4): a pool that scales to zero needs one. It has no key, so
// that nobody can come online as it, and it is never disabled.
package pool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/retry"
)

// Server is the part of Azure DevOps that this package uses. *azdo.Client implements it.
type Server interface {
	FindPool(ctx context.Context, ref azdo.PoolRef) (azdo.Pool, error)
	Agents(ctx context.Context, pool int) ([]azdo.Agent, error)
	AgentByName(ctx context.Context, pool int, name string) (azdo.Agent, bool, error)
	AddAgent(ctx context.Context, pool int, a azdo.Agent) (azdo.Agent, error)
	ReplaceAgent(ctx context.Context, pool int, a azdo.Agent) (azdo.Agent, error)
	RemoveAgent(ctx context.Context, pool, id int) error
	EachAgent(ctx context.Context, pool int, with azdo.Include, each func(azdo.Agent)) error
	AgentByID(ctx context.Context, pool, id int, with azdo.Include) (azdo.Agent, error)
	SetEnabled(ctx context.Context, pool, id int, enabled bool) error
	EachJobRequest(ctx context.Context, pool, completed int, each func(azdo.JobRequest)) error
	Now() time.Time // the server's clock
}

// Options say which pool, and how patient to be.
type Options struct {
	Server   Server
	Pool     azdo.PoolRef
	RetryFor time.Duration // how long a server that is away is tried again; 0: two minutes
	// MaxUnreachable is how often a server that cannot be reached is tried, while it has never
	// answered: its address may be wrong. 0: RetryFor alone decides.
	MaxUnreachable int
	Log            *slog.Logger
	Hint           func(error) string // what to do about a failure, "" where nobody knows; nil: nobody does
}

// Pool is an agent pool that was found.
type Pool struct {
	ID   int
	Name string // "" where only the id is known

	o        Options
	answered atomic.Bool // the server has answered, so its address is right
}

// Open finds the pool. It does not look up a pool that is given by its id: the identity
// may lack the right to list pools.
func Open(ctx context.Context, o Options) (*Pool, error) {
	o.RetryFor = cmp.Or(o.RetryFor, defaultRetryFor)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Hint == nil {
		o.Hint = func(error) string { return "" }
	}
	p := &Pool{ID: o.Pool.ID, o: o}
	if o.Pool.ID != 0 {
		return p, nil
	}
	err := p.retry(ctx, func(ctx context.Context) error {
		found, err := o.Server.FindPool(ctx, o.Pool)
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
	// callTimeout limits one try of one or two calls. Azure DevOps delays a throttled
	// request by up to 30 s and still answers it (azure-devops-rest.md 3).
	callTimeout = 45 * time.Second

	firstPause = 250 * time.Millisecond
	maxPause   = 30 * time.Second
)

// retry calls f until it succeeds, fails for good, or RetryFor is over. It is safe to
// repeat what f does: it looks before it acts.
func (p *Pool) retry(ctx context.Context, f func(context.Context) error) error {
	until, first := time.Now().Add(p.o.RetryFor), true
	policy := retry.Policy{
		First: firstPause, Max: maxPause, Budget: p.o.RetryFor, Retryable: isRetryable, AtLeast: azdo.RetryAfter,
		OnRetry: func(err error, _ time.Duration) {
			p.logRetry(err, until, first)
			first = false
		},
	}
	if !p.answered.Load() {
		policy.MaxUnreachable = p.o.MaxUnreachable
	}
	err := policy.Do(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		err := f(ctx)
		if err == nil || azdo.Status(err) != 0 {
			p.answered.Store(true)
		}
		return err
	})
	if azdo.Is(err, azdo.PoolNotFound) {
		// The pool was given by its id. This request tells which pools the identity sees.
		if _, unseen := p.o.Server.FindPool(ctx, azdo.PoolRef{ID: p.ID}); errors.Is(unseen, azdo.ErrNoPool) {
			return unseen
		}
	}
	return err
}

// logRetry warns of the first failure only. The others are for debugging, and so is one
// that ends the command at the next try.
func (p *Pool) logRetry(err error, until time.Time, first bool) {
	if !first || p.o.MaxUnreachable > 0 && retry.IsUnreachable(err) && !p.answered.Load() {
		p.o.Log.Debug("Azure DevOps request failed, retrying", "error", err)
		return
	}
	args := []any{"error", err, "retry_until", until.UTC().Format(time.RFC3339)}
	if hint := p.o.Hint(err); hint != "" {
		args = append(args, "hint", hint)
	}
	p.o.Log.Warn("Azure DevOps request failed, retrying", args...)
}

// isRetryable says whether another try may succeed. A name that was taken between the
// look and the POST, and an agent that vanished, show up in the next look.
func isRetryable(err error) bool {
	switch azdo.ClassOf(err) {
	case azdo.Transient, azdo.AnswerLost, azdo.NotJSON, azdo.NameTaken:
		return true
	}
	return errors.As(err, new(*vanishedError))
}
