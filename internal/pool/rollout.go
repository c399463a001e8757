package pool

import (
	"context"
	"net/http"
	"time"

	"github.com/azptend/azptend/internal/azdo"
)

// Agents lists the pool in one call, without the agents' system capabilities.
func (p *Pool) Agents(ctx context.Context) ([]azdo.Agent, error) { return p.list(ctx, nil) }

// Now is the server's clock, by which agents and jobs are dated.
func (p *Pool) Now() time.Time { return p.o.Server.Now() }

// Switched is what became of an agent that was to be enabled or disabled.
type Switched struct {
	Agent azdo.Agent // as it was before
	Gone  bool       // it was not there any more
	Err   error      // why the server would not, for a reason of this agent's
}

// Enable lets the server assign jobs to agents (on), or keeps it from doing so:
// a job that runs goes on. What each is told, and what the error means, is as with
// Remove.
func (p *Pool) Enable(ctx context.Context, agents []azdo.Agent, on bool, each func(Switched)) error {
	call := p.o.Server.DisableAgent
	if on {
		call = p.o.Server.EnableAgent
	}
	return several(ctx, agents, func(ctx context.Context, a azdo.Agent) (Switched, error) {
		err := p.patiently(ctx, func(ctx context.Context) error { return call(ctx, p.ID, a.ID) })
		switch {
		case err == nil:
			return Switched{Agent: a}, nil
		case azdo.Status(err) == http.StatusNotFound:
			return Switched{Agent: a, Gone: true}, nil
		case isOfAgent(err):
			return Switched{Agent: a, Err: err}, nil
		}
		return Switched{}, err
	}, each)
}
