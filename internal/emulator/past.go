package emulator

import (
	"slices"
	"time"
)

// This file is a server that reads late: with StaleReads, GET of agents answers from a copy that is a minute behind,
// and only what writes knows how things stand.

// past is the agents of every pool as they were from one moment on.
type past struct {
	from   time.Time
	agents map[int][]*agent // by pool
}

// keepPast notes the agents as they are now, if anything has happened, and forgets what nobody is shown any more. mu
// is held.
func (e *Emulator) keepPast() {
	if !e.beliefs.StaleReads {
		e.pasts = nil
		return
	}
	if !e.dirty && len(e.pasts) > 0 {
		return
	}
	now := past{from: e.now(), agents: map[int][]*agent{}}
	for id, p := range e.pools {
		for _, a := range p.agents {
			as := *a
			now.agents[id] = append(now.agents[id], &as)
		}
	}
	e.pasts = append(e.pasts, now)
	if i := e.shownPast(); i > 0 {
		e.pasts = slices.Delete(e.pasts, 0, i)
	}
}

// shownPast is the index of what GET shows now.
func (e *Emulator) shownPast() int {
	then := e.now().Add(-e.slow(lagging))
	i := len(e.pasts) - 1
	for i > 0 && e.pasts[i].from.After(then) {
		i--
	}
	return i
}

// shown is a pool's agents as GET shows them.
func (e *Emulator) shown(p *pool) []*agent {
	if !e.beliefs.StaleReads || len(e.pasts) == 0 {
		return p.agents
	}
	return e.pasts[e.shownPast()].agents[p.id]
}

// shownAgent is the agent of the request's path as GET shows it.
func (e *Emulator) shownAgent(c *request) (*agent, error) {
	if !e.beliefs.StaleReads {
		return e.poolAndAgent(c, bitView)
	}
	p, err := e.visiblePool(c)
	if err != nil {
		return nil, err
	}
	for _, a := range e.shown(p) {
		if a.id == c.intParam("agentId") {
			return a, nil
		}
	}
	return nil, errNoAgent(p.id, c.params["agentId"])
}
