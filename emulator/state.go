package emulator

import (
	"context"
	"time"

	"github.com/azptend/azptend/internal/emulator"
)

// State is the content of the emulator and the requests of its clients, at one moment.
type State struct {
	Agents []Agent // by pool, in the order in which they were added
	Jobs   []Job   // in the order in which they were queued
	Calls  []Call  // in the order in which they arrived
}

// Agent is an agent of a pool.
type Agent struct {
	Pool     string // default: the first pool
	Name     string
	Version  string // default "5.282.3"
	Online   bool   // it has a session. An agent from AddAgent keeps its session, and gets jobs
	Disabled bool

	SystemCapabilities map[string]string
	UserCapabilities   map[string]string

	ID  int   // set by the emulator
	Job int64 // ID of its job; 0: none
}

// Job is a script to run on an agent.
type Job struct {
	Pool    string // default: the first pool
	Name    string
	Script  string
	Demands []string          // "docker", "Agent.Version -gtVersion 2.182.1"
	Env     map[string]string // of the script
	// Force queues the job although no agent of the pool, not even an offline one, meets its demands. The service
	// refuses such a job.
	Force bool

	ID     int64  // set by the emulator: the number of the job request
	State  string // "queued", "assigned", "received", "running" or "completed"
	Result string // "succeeded", "failed", "canceled" or "abandoned", once it is completed
	Agent  string // the name of the agent that it was assigned to
	Log    string
}

// Call is a request of a client. It holds no credential.
type Call struct {
	Method, Path, Query string
	Status              int    // 0: not answered yet, or not at all
	Caller              string // "identity:NAME", "pat:NAME", "agent:NAME", "job:ID"; "": unknown
	Time                time.Time
}

// QueueJob queues a job.
func (e *Emulator) QueueJob(j Job) (Job, error) {
	queued, err := e.inner.QueueJob(emulator.JobSpec{Pool: j.Pool, Name: j.Name, Script: j.Script, Demands: j.Demands, Env: j.Env, Force: j.Force})
	if err != nil {
		return Job{}, err
	}
	j.ID = queued.RequestID
	return e.completed(j, queued), nil
}

// completed is a job with everything that the emulator knows about it.
func (e *Emulator) completed(j Job, known emulator.Job) Job {
	j.Pool, j.Name, j.State, j.Result, j.Agent = known.Pool, known.Name, known.State, known.Result, known.Agent
	j.Log, _ = e.inner.JobLog(known.RequestID)
	return j
}

// AddAgent adds an agent without a process, or replaces the agent with this name.
func (e *Emulator) AddAgent(a Agent) (Agent, error) {
	put, err := e.inner.PutAgents(emulator.AgentSpec{
		Pool: a.Pool, Name: a.Name, Version: a.Version, Online: a.Online, Disabled: a.Disabled,
		SystemCapabilities: a.SystemCapabilities, UserCapabilities: a.UserCapabilities,
	})
	if err != nil {
		return Agent{}, err
	}
	if a.Pool == "" {
		a.Pool = e.inner.State().Pools[0].Name
	}
	return agentOf(a.Pool, put[0]), nil
}

func agentOf(pool string, s emulator.AgentState) Agent {
	return Agent{
		Pool: pool, Name: s.Name, Version: s.Version, Online: s.Status == "online", Disabled: !s.Enabled,
		SystemCapabilities: s.SystemCapabilities, UserCapabilities: s.UserCapabilities, ID: s.ID, Job: s.AssignedRequest,
	}
}

// State returns the emulator's current state.
func (e *Emulator) State() State {
	return e.stateOf(e.inner.State())
}

// Wait waits until match accepts the state, and returns that state. The error is ctx's, or says that the emulator has
// stopped.
func (e *Emulator) Wait(ctx context.Context, match func(State) bool) (State, error) {
	var seen State
	_, err := e.inner.WaitState(ctx, func(s emulator.State) bool {
		seen = e.stateOf(s)
		return match(seen)
	})
	return seen, err
}

func (e *Emulator) stateOf(s emulator.State) State {
	var out State
	for _, p := range s.Pools {
		for _, a := range p.Agents {
			out.Agents = append(out.Agents, agentOf(p.Name, a))
		}
	}
	for _, j := range s.Jobs {
		out.Jobs = append(out.Jobs, e.completed(Job{ID: j.RequestID, Demands: j.Demands}, j))
	}
	for _, c := range e.inner.Calls() {
		out.Calls = append(out.Calls, Call{c.Method, c.Path, c.Query, c.Status, c.Who, c.Time})
	}
	return out
}
