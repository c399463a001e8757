package keep

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/pool"
)

// reasons are why a keeper removes an agent.
func reasons() []pool.Reason { return []pool.Reason{pool.Dead, pool.Asked} }

// act does what follows from a look.
func (t *tended) act(ctx context.Context, agents []azdo.Agent, requests []azdo.JobRequest) error {
	return t.holdPlace(ctx, agents)
}

// holdPlace makes the placeholder, where the agents that were listed do not show
// it. A name that somebody's agent has is said once, and costs no more requests.
func (t *tended) holdPlace(ctx context.Context, agents []azdo.Agent) error {
	want := t.k.o.Wanted
	if want == nil || pool.Stands(agents, *want) {
		t.held = 0
		return nil
	}
	if t.held != 0 && heldBy(agents, want.Name) == t.held {
		return nil
	}
	done, err := t.pool.Ensure(ctx, *want)
	if err != nil {
		t.held = heldBy(agents, want.Name)
		return err
	}
	if done.Outcome == pool.Created || done.Outcome == pool.Updated {
		t.did(false, fmt.Sprintf("%s placeholder %q (agent %d)", done.Outcome, done.Agent.Name, done.Agent.ID),
			"outcome", done.Outcome, "agent", done.Agent.Name, "agent_id", done.Agent.ID)
	}
	return nil
}

// heldBy is the id of the agent that has a name, 0 where none has.
func heldBy(agents []azdo.Agent, name string) int {
	for _, a := range agents {
		if strings.EqualFold(a.Name, name) {
			return a.ID
		}
	}
	return 0
}

// did tells of a deed, in the log and on the page.
func (t *tended) did(bad bool, what string, facts ...any) {
	log := t.k.o.Log.Info
	if bad {
		log = t.k.o.Log.Warn
	}
	log("The keeper did something", append([]any{"pool", t.room.name, "what", what}, facts...)...)
	t.k.feed.did(Deed{At: time.Now(), Pool: t.room.name, What: what, Bad: bad})
}
