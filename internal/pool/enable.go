package pool

import (
	"context"
	"time"

	"github.com/azptend/azptend/internal/azdo"
)

// Agents lists the pool in one call, without the agents' system capabilities.
func (p *Pool) Agents(ctx context.Context) ([]azdo.Agent, error) { return p.list(ctx, nil) }

// Now is the server's clock, by which agents and jobs are dated.
func (p *Pool) Now() time.Time { return p.o.Server.Now() }

// SwitchResult is what became of an agent that was to be enabled or disabled.
type SwitchResult struct {
	Agent azdo.Agent // as it was before
	Gone  bool       // it was not there any more
	Err   error      // why the server would not, for a reason of this agent's
}

// SetEnabled lets the server assign jobs to agents (on), or keeps it from doing so:
// a job that runs goes on. What each is told, and what the error means, is as with
// Remove.
func (p *Pool) SetEnabled(ctx context.Context, agents []azdo.Agent, on bool, each func(SwitchResult)) error {
	call := p.o.Server.DisableAgent
	if on {
		call = p.o.Server.EnableAgent
	}
	return forEach(ctx, agents, func(ctx context.Context, a azdo.Agent) (SwitchResult, error) {
		err := p.retry(ctx, func(ctx context.Context) error { return call(ctx, p.ID, a.ID) })
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
