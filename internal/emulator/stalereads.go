package emulator

import (
	"slices"
	"time"
)

// With StaleReads, GET of agents answers from a copy that is a minute old. Writes see the current state.

// snapshot is the agents of every pool as they were from one moment on.
type snapshot struct {
	from   time.Time
	agents map[int][]*agent // by pool
}

// recordSnapshot copies the agents if anything has changed, and drops the copies that are too old to be shown. mu
// is held.
func (e *Emulator) recordSnapshot() {
	if !e.assumptions.StaleReads {
		e.snapshots = nil
		return
	}
	if !e.dirty && len(e.snapshots) > 0 {
		return
	}
	now := snapshot{from: e.Now(), agents: map[int][]*agent{}}
	for _, p := range e.pools {
		for _, a := range p.agents {
			as := *a
			now.agents[p.id] = append(now.agents[p.id], &as)
		}
	}
	e.snapshots = append(e.snapshots, now)
	if i := e.shownSnapshot(); i > 0 {
		e.snapshots = slices.Delete(e.snapshots, 0, i)
	}
}

// shownSnapshot is the index of what GET shows now.
func (e *Emulator) shownSnapshot() int {
	then := e.Now().Add(-e.slow(staleFor))
	i := len(e.snapshots) - 1
	for i > 0 && e.snapshots[i].from.After(then) {
		i--
	}
	return i
}

// shownAgents is a pool's agents as GET shows them.
func (e *Emulator) shownAgents(p *pool) []*agent {
	if !e.assumptions.StaleReads || len(e.snapshots) == 0 {
		return p.agents
	}
	return e.snapshots[e.shownSnapshot()].agents[p.id]
}

// shownAgent is the agent of the request's path as GET shows it.
func (e *Emulator) shownAgent(c *request) (*agent, error) {
	if !e.assumptions.StaleReads {
		return e.poolAndAgent(c, bitView)
	}
	p, err := e.visiblePool(c)
	if err != nil {
		return nil, err
	}
	id := c.intParam("agentId")
	if a := first(e.shownAgents(p), func(a *agent) bool { return a.id == id }); a != nil {
		return a, nil
	}
	return nil, errNoAgent(p.id, c.params["agentId"])
}
