package supervisor

import (
	"context"
	"maps"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
)

// confirmTimeout bounds the reading back of the mark, with its one repair.
const confirmTimeout = time.Minute

// confirmTags reads the agent's mark back once its session exists: creating one
// replaces the system capabilities, and whether user capabilities sent with a
// registration are kept is a belief (agent-protocol.md 2.2, 11). An agent without
// its mark would be a stranger to the next life, and to prune. It is written down
// once more then; nothing else depends on it.
func (r *runner) confirmTags() {
	if r.o.Handoff != nil || r.confirmedInstance == r.instance || r.state.AgentID == 0 {
		return
	}
	r.confirmedInstance = r.instance
	poolID, id, name := r.agentRef.pool.ID, r.state.AgentID, r.agentRef.name
	want := r.newAgent(r.instance, r.ownerKey).UserCapabilities
	r.goBackground(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, confirmTimeout)
		defer cancel()
		a, err := r.o.Server.AgentWithCapabilities(ctx, poolID, id)
		if err != nil {
			r.log.Debug("Cannot read the agent's mark back", "agent_id", id, "error", err)
			return
		}
		if a.UserCapabilities[agentdir.TagInstance] == want[agentdir.TagInstance] && a.UserCapabilities[agentdir.TagOwner] == want[agentdir.TagOwner] {
			r.log.Debug("The agent's mark is in place", "agent_id", id)
			return
		}
		kept := maps.Clone(want)
		maps.Copy(kept, a.UserCapabilities)
		maps.Copy(kept, want)
		if err := r.o.Server.SetUserCapabilities(ctx, poolID, id, kept); err != nil {
			r.log.Warn("The server has not kept the agent's mark, and does not take it again: a later life will not know this agent for its own",
				"agent", name, "agent_id", id, "error", err)
			return
		}
		r.log.Warn("The server had not kept the agent's mark: wrote it again", "agent", name, "agent_id", id)
	})
}

// warnIgnoredUpdates says when the server insists on an update that the listener was
// told to ignore: a job that demands a newer agent waits for ever then.
func (r *runner) warnIgnoredUpdates(alive context.Context, perf *agentdir.PerfFile) {
	if !r.o.NoUpdate {
		return
	}
	r.goBackground(func(context.Context) {
		for asked := 0; ; {
			counts, err := r.events.waitForCounts(alive, perf, func(c agentdir.PerfCounts) bool { return c.Updates > asked })
			if err != nil {
				return
			}
			asked = counts.Updates
			r.log.Warn("The server asks the agent to update itself, and updates are off (AZP_UPDATE, or a root of hard links): a job that demands a newer version will wait",
				"times", asked)
		}
	})
}
