package pool

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/azptend/azptend/internal/azdo"
)

// Now is the server's clock, which dates agents and jobs.
func (p *Pool) Now() time.Time { return p.o.Server.Now() }

// SwitchResult says what happened to an agent that was to be enabled or disabled.
type SwitchResult struct {
	Agent azdo.Agent // as it was before
	Gone  bool       // it does not exist any more
	Err   error      // why the server refused, for a reason that concerns only this agent
}

// SetEnabled enables or disables agents. A running job goes on. Calls of each and errors are as
// in Remove.
func (p *Pool) SetEnabled(ctx context.Context, agents []azdo.Agent, on bool, each func(SwitchResult)) error {
	return forEach(ctx, agents, func(ctx context.Context, a azdo.Agent) (SwitchResult, error) {
		err := p.retry(ctx, func(ctx context.Context) error { return p.o.Server.SetEnabled(ctx, p.ID, a.ID, on) })
		switch {
		case err == nil:
			return SwitchResult{Agent: a}, nil
		case azdo.ClassOf(err) == azdo.NotFound:
			return SwitchResult{Agent: a, Gone: true}, nil
		case isAgentError(err):
			return SwitchResult{Agent: a, Err: err}, nil
		}
		return SwitchResult{}, err
	}, each)
}

// concurrency is how many agents are handled at a time. It limits how much a keeper or a prune
// uses of the identity's rate limit (azure-devops-rest.md 3), and hides most of the round trips.
const concurrency = 4

// forEach calls do for several agents, some at a time, and each with one result at a time, in
// the order in which they come. The first error ends all calls.
func forEach[A, R any](outer context.Context, agents []A, do func(context.Context, A) (R, error), each func(R)) error {
	calls, ctx := errgroup.WithContext(outer)
	calls.SetLimit(concurrency)
	var results sync.Mutex
	for _, a := range agents {
		calls.Go(func() error {
			if ctx.Err() != nil {
				return nil
			}
			result, err := do(ctx, a)
			if err == nil {
				results.Lock()
				defer results.Unlock()
				each(result)
			}
			return err
		})
	}
	err := calls.Wait()
	if outer.Err() != nil {
		return fmt.Errorf("cannot continue: %w", context.Cause(outer))
	}
	return err
}
