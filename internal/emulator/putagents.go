package emulator

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"
)

// AgentSpec is an agent to put into a pool in any state, without a listener. It has no key, so no listener can log on as it.
type AgentSpec struct {
	Pool               string            `json:"pool,omitempty"` // default: the first one
	Name               string            `json:"name"`
	Version            string            `json:"version,omitempty"` // default 5.282.3
	Disabled           bool              `json:"disabled,omitempty"`
	Online             bool              `json:"online,omitempty"` // it has a session that never expires; waiting jobs are assigned to it
	SystemCapabilities map[string]string `json:"systemCapabilities,omitempty"`
	UserCapabilities   map[string]string `json:"userCapabilities,omitempty"`
	// CreatedAgo and ChangedAgo are how long ago it was created and came into its status: in JSON durations such as
	// "3h". Negative, in JSON "unknown", is a date that the server does not tell.
	CreatedAgo time.Duration `json:"-"`
	ChangedAgo time.Duration `json:"-"`
	// Job is a job it runs and never finishes; LastJob is one it has finished, a minute before it came into its status.
	Job     *JobSpec      `json:"job,omitempty"`
	JobAgo  time.Duration `json:"-"` // how long ago Job was queued and given to it, like the two above
	LastJob *JobSpec      `json:"lastJob,omitempty"`
}

// wire is the agent in JSON.
func (s *AgentSpec) wire() any {
	type plain AgentSpec
	return &struct {
		*plain
		CreatedAgo *past `json:"createdAgo,omitzero"`
		ChangedAgo *past `json:"changedAgo,omitzero"`
		JobAgo     *past `json:"jobAgo,omitzero"`
	}{(*plain)(s), (*past)(&s.CreatedAgo), (*past)(&s.ChangedAgo), (*past)(&s.JobAgo)}
}

// MarshalJSON writes the times as "3h0m0s" or "unknown".
func (s AgentSpec) MarshalJSON() ([]byte, error) {
	return json.Marshal(s.wire())
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *AgentSpec) UnmarshalJSON(b []byte) error {
	return strictJSON(b, s.wire())
}

// PutAgents adds agents. An agent of the same name in the pool is replaced: the new one has a new id, and the old one's job
// is abandoned. Either all agents are put, or none.
func (e *Emulator) PutAgents(specs ...AgentSpec) ([]AgentState, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.settle()
	pools := make([]*pool, len(specs))
	for i := range specs {
		if err := e.checkSpec(&specs[i]); err != nil {
			return nil, err
		}
		pools[i] = e.poolNamed(specs[i].Pool)
	}
	out := []AgentState{}
	for i, s := range specs {
		out = append(out, e.putAgent(pools[i], s).state())
	}
	e.settle()
	return out, nil
}

func (e *Emulator) checkSpec(s *AgentSpec) error {
	s.Pool, s.Version = cmp.Or(s.Pool, e.opts.Pools[0]), cmp.Or(s.Version, packageVersion)
	_, versioned := versionNumbers(s.Version)
	switch {
	case e.poolNamed(s.Pool) == nil:
		return fmt.Errorf("cannot put agent %q: there is no pool %q", s.Name, s.Pool)
	case s.Name == "":
		return fmt.Errorf("cannot put an agent: it has no name")
	case !versioned:
		return fmt.Errorf("cannot put agent %q: the version %q is not of the form 5.282.3", s.Name, s.Version)
	}
	return nil
}

func (e *Emulator) putAgent(p *pool, s AgentSpec) *agent {
	if old := p.agentNamed(s.Name); old != nil {
		if old.job != nil {
			e.finish(old.job, "abandoned")
		}
		e.removeAgent(old)
	}
	now := e.Now() // one look at the clock for both dates
	a := &agent{
		pool: p, name: s.Name, version: s.Version, enabled: !s.Disabled, provisioning: "Provisioned", maxParallelism: 1,
		createdOn: ago(now, s.CreatedAgo), statusChangedOn: ago(now, s.ChangedAgo), system: s.SystemCapabilities, user: s.UserCapabilities,
	}
	e.addAgent(a)
	if s.LastJob != nil {
		j := e.putJob(a, *s.LastJob, now)
		e.finish(j, "succeeded")
		j.finishTime = ago(now, max(s.ChangedAgo, 0)+time.Minute)
	}
	if s.Online { // the session never expires
		e.openSession(&session{id: newGUID(), agent: a, owner: "put by hand", created: now, lastSeen: now, polls: 1})
	}
	if s.Job != nil {
		e.putJob(a, *s.Job, now.Add(-max(s.JobAgo, 0)))
	}
	return a
}

func ago(now time.Time, d time.Duration) time.Time {
	return choose(d < 0, time.Time{}, now.Add(-d))
}

// neverLapses is longer than any test.
const neverLapses = 10 * 365 * 24 * time.Hour

// putJob gives an agent a job that it runs since then, with no message about it.
func (e *Emulator) putJob(a *agent, spec JobSpec, at time.Time) *job {
	spec.Pool = a.pool.name
	j := e.newJob(a.pool, spec)
	e.emitJob(EventJobQueued, j)
	j.matched = []*agent{a}
	j.agent, a.job = a, j
	j.queueTime, j.assignTime, j.receiveTime, j.startTime, j.lockedUntil = at, at, at, at, at.Add(neverLapses)
	e.emitJob(EventJobAssigned, j)
	e.emitJob(EventJobReceived, j)
	e.emitJob(EventJobStarted, j)
	return j
}
