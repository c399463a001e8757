package emulator

import (
	"encoding/json"
	"fmt"
	"time"
)

// AgentSpec is an agent to put into a pool in any state, without a listener. It has no key, so no listener can come
// online as it.
type AgentSpec struct {
	Pool               string            `json:"pool,omitempty"` // default: the first one
	Name               string            `json:"name"`
	Version            string            `json:"version,omitempty"` // default 5.282.3
	Disabled           bool              `json:"disabled,omitempty"`
	Online             bool              `json:"online,omitempty"` // it has a session, which never ends by itself; waiting jobs are assigned to it
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

type agentSpecAlias AgentSpec

type agentSpecWire struct {
	agentSpecAlias
	CreatedAgo string `json:"createdAgo,omitempty"`
	ChangedAgo string `json:"changedAgo,omitempty"`
	JobAgo     string `json:"jobAgo,omitempty"`
}

const unknownAgo = "unknown"

// MarshalJSON writes the times as "3h0m0s" or "unknown".
func (s AgentSpec) MarshalJSON() ([]byte, error) {
	text := func(d time.Duration) string {
		if d < 0 {
			return unknownAgo
		}
		return durationText(d)
	}
	return json.Marshal(agentSpecWire{agentSpecAlias(s), text(s.CreatedAgo), text(s.ChangedAgo), text(s.JobAgo)})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *AgentSpec) UnmarshalJSON(b []byte) error {
	w := agentSpecWire{agentSpecAlias: agentSpecAlias(*s)}
	if err := strictJSON(b, &w); err != nil {
		return err
	}
	*s = AgentSpec(w.agentSpecAlias)
	for _, f := range []struct {
		name, text string
		into       *time.Duration
	}{{"createdAgo", w.CreatedAgo, &s.CreatedAgo}, {"changedAgo", w.ChangedAgo, &s.ChangedAgo}, {"jobAgo", w.JobAgo, &s.JobAgo}} {
		if *f.into = -1; f.text == unknownAgo {
			continue
		}
		d, err := parseDuration(f.name, f.text)
		if err != nil {
			return err
		}
		*f.into = d
	}
	return nil
}

// PutAgents adds agents as they are described; one of the same name in the pool is replaced by another, with another
// id, and its job is abandoned. All are put, or none.
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
	if s.Pool == "" {
		s.Pool = e.opts.Pools[0]
	}
	if s.Version == "" {
		s.Version = "5.282.3"
	}
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
	now := e.now() // one look at the clock for both dates
	e.lastAgent++
	a := &agent{
		id: e.lastAgent, pool: p, name: s.Name, version: s.Version, enabled: !s.Disabled, provisioning: "Provisioned", maxParallelism: 1,
		createdOn: ago(now, s.CreatedAgo), statusChangedOn: ago(now, s.ChangedAgo), system: s.SystemCapabilities, user: s.UserCapabilities,
	}
	p.agents = append(p.agents, a)
	e.emitAgent(EventAgentAdded, a)
	if s.LastJob != nil {
		j := e.putJob(a, *s.LastJob, now)
		e.finish(j, "succeeded")
		j.finishTime = ago(now, max(s.ChangedAgo, 0)+time.Minute)
	}
	if s.Online { // polled for ever
		session := &session{id: newGUID(), agent: a, owner: "put by hand", created: e.now(), lastSeen: e.now(), polls: 1}
		e.sessions[session.id], a.session = session, session
		e.emitSession(EventSessionCreated, session)
	}
	if s.Job != nil {
		e.putJob(a, *s.Job, now.Add(-max(s.JobAgo, 0)))
	}
	return a
}

func ago(now time.Time, d time.Duration) time.Time {
	if d < 0 {
		return time.Time{}
	}
	return now.Add(-d)
}

// neverLapses is longer than anybody looks.
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
