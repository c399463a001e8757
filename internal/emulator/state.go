package emulator

import (
	"context"
	"maps"
	"slices"
	"time"
)

// State is the content of the organisation at one moment.
type State struct {
	Time  time.Time   `json:"time"`
	Org   string      `json:"org"`
	Pools []PoolState `json:"pools"`
	Jobs  []Job       `json:"jobs"`

	Projects []ProjectState `json:"projects"`
}

// PoolState is a pool and its agents.
type PoolState struct {
	ID         int          `json:"id"`
	Name       string       `json:"name"`
	AutoUpdate bool         `json:"autoUpdate"`
	Agents     []AgentState `json:"agents"`
}

// AgentState is the state of an agent.
type AgentState struct {
	ID                 int               `json:"id"`
	Name               string            `json:"name"`
	Version            string            `json:"version"`
	OSDescription      string            `json:"osDescription,omitempty"`
	Enabled            bool              `json:"enabled"`
	Status             string            `json:"status"` // online while a session is alive, else offline
	ShuttingDown       bool              `json:"shuttingDown,omitempty"`
	PendingUpdate      string            `json:"pendingUpdate,omitempty"` // the version it was asked to become
	CreatedOn          time.Time         `json:"createdOn"`
	StatusChangedOn    time.Time         `json:"statusChangedOn"`
	ClientID           string            `json:"clientId,omitempty"`
	SystemCapabilities map[string]string `json:"systemCapabilities,omitempty"`
	UserCapabilities   map[string]string `json:"userCapabilities,omitempty"`
	Session            *SessionState     `json:"session,omitempty"`
	Inbox              int               `json:"inbox"`                     // messages not acknowledged
	AssignedRequest    int64             `json:"assignedRequest,omitempty"` // the unfinished job it has
}

// SessionState is a listener's session.
type SessionState struct {
	ID       string    `json:"id"`
	Owner    string    `json:"owner"`
	Created  time.Time `json:"created"`
	LastSeen time.Time `json:"lastSeen"` // the end of the last poll
	Polling  bool      `json:"polling"`
}

// State is the current state.
func (e *Emulator) State() State {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.settle()
	return e.state()
}

func (e *Emulator) state() State {
	pools := each(e.pools, func(p *pool) PoolState { return PoolState{p.id, p.name, p.autoUpdate, each(p.agents, (*agent).state)} })
	return State{e.Now(), e.opts.Org, pools, each(e.jobs, (*job).public), each(e.projects, (*project).state)}
}

func (a *agent) state() AgentState {
	out := AgentState{
		ID: a.id, Name: a.name, Version: a.version, OSDescription: a.osDescription, Enabled: a.enabled,
		Status: a.status(), ShuttingDown: a.shuttingDown, CreatedOn: a.createdOn, StatusChangedOn: a.statusChangedOn,
		ClientID: a.clientID, SystemCapabilities: maps.Clone(a.system), UserCapabilities: maps.Clone(a.user),
		Inbox: len(a.inbox),
	}
	if a.update != nil {
		out.PendingUpdate = a.update.target
	}
	if s := a.session; s != nil {
		out.Session = &SessionState{s.id, s.owner, s.created, s.lastSeen, s.polls > 0}
	}
	if a.job != nil {
		out.AssignedRequest = a.job.requestID
	}
	return out
}

// Pool returns the pool of that name, or nil.
func (s State) Pool(name string) *PoolState {
	i := slices.IndexFunc(s.Pools, func(p PoolState) bool { return p.Name == name })
	if i < 0 {
		return nil
	}
	return &s.Pools[i]
}

// Agent returns the agent of that name, or nil.
func (p *PoolState) Agent(name string) *AgentState {
	if p == nil {
		return nil
	}
	i := slices.IndexFunc(p.Agents, func(a AgentState) bool { return a.Name == name })
	if i < 0 {
		return nil
	}
	return &p.Agents[i]
}

// WaitState waits until match accepts the state, and returns it. match may ask the emulator for more, which may be newer
// then. The error is ctx's, or ErrClosed.
func (e *Emulator) WaitState(ctx context.Context, match func(State) bool) (State, error) {
	var s State
	err := e.await(ctx, func() { s = e.state() }, func() bool { return match(s) })
	return s, err
}
