package supervisor

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/retry"
)

// presenceChecker checks once an hour whether the agents of this process are still in
// their pools, with one request for all agents of a pool. azptend gets no message when a
// person deletes an agent, and the listener may not notice.
type presenceChecker struct {
	server Server
	log    *slog.Logger

	mu      sync.Mutex
	members map[*member]bool
}

type member struct {
	pool, agent int
	missing     func()
}

func newPresenceChecker(server Server, log *slog.Logger) *presenceChecker {
	return &presenceChecker{server: server, log: log, members: map[*member]bool{}}
}

// add adds an agent until remove is called. The checker calls missing if the server does
// not show the agent.
func (c *presenceChecker) add(pool, agent int, missing func()) (remove func()) {
	m := &member{pool, agent, missing}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members[m] = true
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.members, m)
	}
}

// The pause between two checks is random within these bounds, so that agents that were
// started together do not send requests together. test/sim/scale simulates it.
const (
	MinPresenceInterval = 45 * time.Minute
	MaxPresenceInterval = 75 * time.Minute
)

// presenceTimeout bounds one check of a pool.
const presenceTimeout = time.Minute

// run checks until ctx ends.
func (c *presenceChecker) run(ctx context.Context) {
	for {
		if retry.Sleep(ctx, retry.Between(MinPresenceInterval, MaxPresenceInterval)) != nil {
			return
		}
		c.check(ctx)
	}
}

func (c *presenceChecker) check(ctx context.Context) {
	c.mu.Lock()
	pools := map[int][]*member{}
	for m := range c.members {
		pools[m.pool] = append(pools[m.pool], m)
	}
	c.mu.Unlock()
	for pool, members := range pools { // one, unless an agent of a previous run is in another
		missing, err := c.missing(ctx, pool, members)
		if err != nil {
			c.log.Debug("Cannot check whether the agents are still in their pool", "pool_id", pool, "error", err)
			continue
		}
		for _, m := range missing {
			m.missing()
		}
	}
}

// missing returns the members that the server does not show. It asks for a single member
// by its id, because the pool may have thousands of agents.
func (c *presenceChecker) missing(ctx context.Context, pool int, members []*member) (missing []*member, err error) {
	ctx, done := context.WithTimeout(ctx, presenceTimeout)
	defer done()
	if len(members) == 1 {
		_, err := c.server.AgentByID(ctx, pool, members[0].agent, azdo.Include{AssignedRequest: true})
		if azdo.ClassOf(err) == azdo.NotFound {
			return members, nil
		}
		return nil, err
	}
	exists := map[int]bool{}
	if err := c.server.EachAgent(ctx, pool, azdo.Include{}, func(a azdo.Agent) { exists[a.ID] = true }); err != nil {
		return nil, err
	}
	for _, m := range members {
		if !exists[m.agent] {
			missing = append(missing, m)
		}
	}
	return missing, nil
}
