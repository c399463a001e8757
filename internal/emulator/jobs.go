package emulator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The states of a job.
const (
	JobQueued    = "queued"    // waits for an agent
	JobAssigned  = "assigned"  // its message is in an agent's inbox
	JobReceived  = "received"  // the agent has acknowledged it
	JobRunning   = "running"   // the agent has renewed its lock
	JobCompleted = "completed" // Result says how
)

// ErrNotFound is the error for a job, a hold or an event that does not exist.
var ErrNotFound = errors.New("not found")

// JobSpec is a job to queue: one script.
type JobSpec struct {
	Pool    string            `json:"pool"` // default: the first one
	Name    string            `json:"name"` // what the listener prints
	Script  string            `json:"script"`
	Demands []string          `json:"demands,omitempty"` // "docker", "Agent.OS -equals Linux", "Agent.Version -gtVersion 2.182.1"
	Env     map[string]string `json:"env,omitempty"`     // of the script's step
	// Force queues although no agent of the pool, even offline, meets the demands; the real service fails the run then
	// (azure-devops-rest.md 2.4).
	Force bool `json:"force,omitempty"`
}

// Job is the state of a job. The times of steps that it has not reached are zero, and absent from JSON.
type Job struct {
	RequestID   int64     `json:"requestId"`
	JobID       string    `json:"jobId"`
	Name        string    `json:"name"`
	Pool        string    `json:"pool"`
	State       string    `json:"state"`
	Result      string    `json:"result,omitempty"` // succeeded, failed, canceled, abandoned, ...
	Canceling   bool      `json:"canceling,omitempty"`
	Agent       string    `json:"agent,omitempty"`
	AgentID     int       `json:"agentId,omitempty"`
	Demands     []string  `json:"demands,omitempty"`
	QueueTime   time.Time `json:"queueTime"`
	AssignTime  time.Time `json:"assignTime,omitzero"`
	ReceiveTime time.Time `json:"receiveTime,omitzero"`
	StartTime   time.Time `json:"startTime,omitzero"`
	FinishTime  time.Time `json:"finishTime,omitzero"`
	LockedUntil time.Time `json:"lockedUntil,omitzero"`
}

func (j *job) public() Job {
	out := Job{
		RequestID: j.requestID, JobID: j.jobID, Name: j.spec.Name, Pool: j.pool.name, State: j.state(), Result: j.result,
		Canceling: j.canceled && j.result == "", Demands: slices.Clone(j.spec.Demands), QueueTime: j.queueTime,
		AssignTime: j.assignTime, ReceiveTime: j.receiveTime, StartTime: j.startTime, FinishTime: j.finishTime,
		LockedUntil: j.lockedUntil,
	}
	if j.agent != nil {
		out.Agent, out.AgentID = j.agent.name, j.agent.id
	}
	return out
}

// QueueJob queues a script for a pool. It is an error if no agent of the pool meets the demands.
func (e *Emulator) QueueJob(spec JobSpec) (Job, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	spec.Pool = cmp.Or(spec.Pool, e.opts.Pools[0])
	p := e.poolNamed(spec.Pool)
	if p == nil {
		return Job{}, fmt.Errorf("cannot queue a job: there is no pool %q", spec.Pool)
	}
	e.settle()
	if !spec.Force && !slices.ContainsFunc(p.agents, func(a *agent) bool { return a.satisfies(spec.Demands) }) {
		return Job{}, fmt.Errorf("cannot queue a job: No agent found in pool %s which satisfies the specified demands: %s (force queues it all the same)",
			p.name, strings.Join(spec.Demands, ", "))
	}
	j := e.newJob(p, spec)
	e.emitJob(EventJobQueued, j)
	e.settle()
	return j.public(), nil
}

// newJob is a job that is queued now.
func (e *Emulator) newJob(p *pool, spec JobSpec) *job {
	j := &job{
		requestID: int64(len(e.jobs) + 1), jobID: newGUID(), planID: newGUID(), timelineID: newGUID(), stepID: newGUID(),
		project: e.projectOf(p), spec: spec, pool: p, queueTime: e.Now(),
	}
	j.spec.Name = cmp.Or(spec.Name, fmt.Sprintf("Job %d", j.requestID))
	j.addJobRecord()
	e.jobs = append(e.jobs, j)
	return j
}

// assign gives waiting jobs, oldest first, to agents that are online, enabled and free.
func (e *Emulator) assign() {
	for _, j := range e.jobs {
		if j.agent != nil || j.result != "" {
			continue
		}
		if a := first(j.pool.agents, func(a *agent) bool {
			return a.session != nil && e.accepts(a) && a.job == nil && !a.shuttingDown && a.satisfies(j.spec.Demands)
		}); a != nil {
			e.assignTo(j, a)
		}
	}
}

// accepts says that jobs are assigned to the agent.
func (e *Emulator) accepts(a *agent) bool {
	return a.enabled || e.assumptions.DisableActsLate && e.Now().Before(a.disabledOn.Add(e.slow(staleFor)))
}

func (e *Emulator) assignTo(j *job, a *agent) {
	j.matched = j.matchedAgents()
	j.agent, a.job = a, j
	j.assignTime = e.Now()
	j.lockedUntil = j.assignTime.Add(e.lock(firstLock))
	e.emitJob(EventJobAssigned, j)
	e.send(a, msgJob, j, nil)
}

// matchedAgents returns the agents that could take the job: now, or once it is assigned, at that time.
func (j *job) matchedAgents() []*agent {
	if j.agent != nil {
		return j.matched
	}
	return filter(j.pool.agents, func(a *agent) bool { return a.satisfies(j.spec.Demands) })
}

// receive notes that the agent has the job (keda-and-kubernetes.md 1.6: not at assignment).
func (e *Emulator) receive(j *job) {
	if j.receiveTime.IsZero() && j.result == "" {
		j.receiveTime = e.Now()
		e.emitJob(EventJobReceived, j)
	}
}

// renew extends the job's lock; the first renewal starts the work (agent-protocol.md 5.6, 7.4).
func (e *Emulator) renew(j *job) {
	e.receive(j)
	kind := EventJobRenewed
	if j.startTime.IsZero() {
		j.startTime, kind = e.Now(), EventJobStarted
	}
	j.lockedUntil = e.Now().Add(e.lock(renewedLock))
	e.emitJob(kind, j)
}

// finish ends a job and frees its agent. Messages about it that were not acknowledged are dropped.
func (e *Emulator) finish(j *job, result string) {
	if j.result != "" {
		return
	}
	j.result, j.finishTime = result, e.Now()
	if a := j.agent; a != nil {
		a.job, a.last = nil, j
		a.inbox = slices.DeleteFunc(a.inbox, func(m *message) bool { return m.job == j })
	}
	e.emitJob(EventJobFinished, j)
}

// lookUpJob finds a job; its error wraps ErrNotFound.
func (e *Emulator) lookUpJob(requestID int64) (*job, error) {
	if j := e.jobNumbered(requestID); j != nil {
		return j, nil
	}
	return nil, fmt.Errorf("job request %d: %w", requestID, ErrNotFound)
}

func (e *Emulator) jobNumbered(requestID int64) *job {
	if requestID < 1 || requestID > int64(len(e.jobs)) {
		return nil
	}
	return e.jobs[requestID-1]
}

// Job returns the state of a job; the error wraps ErrNotFound.
func (e *Emulator) Job(requestID int64) (Job, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.settle()
	j, err := e.lookUpJob(requestID)
	if err != nil {
		return Job{}, err
	}
	return j.public(), nil
}

// JobLog is the job's lines so far, each ended by a newline: while it runs those of the live console; afterwards the
// uploaded logs if there are any, for what the console lost they have.
func (e *Emulator) JobLog(requestID int64) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	j, err := e.lookUpJob(requestID)
	if err != nil {
		return "", err
	}
	return j.logText(), nil
}

// CancelJob cancels: a job that waits ends at once; one that an agent has gets a JobCancellation message, and ends when
// the agent says so. Cancelling twice, or a job that has ended, changes nothing.
func (e *Emulator) CancelJob(requestID int64) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.settle()
	j, err := e.lookUpJob(requestID)
	if err != nil {
		return err
	}
	if j.canceled || j.result != "" {
		return nil
	}
	j.canceled = true
	e.emitJob(EventJobCanceling, j)
	if j.agent == nil {
		e.finish(j, "canceled")
	} else {
		e.send(j.agent, msgCancel, j, obj{"jobId": j.jobID, "timeout": "00:05:00"})
	}
	e.settle()
	return nil
}

// WaitJob waits until look, given a job and its log so far, says true, and returns what it was given. The error
// is ctx's, ErrClosed, or wraps ErrNotFound.
func (e *Emulator) WaitJob(ctx context.Context, requestID int64, look func(job Job, log string) bool) (Job, string, error) {
	var seen Job
	var log string
	var missing error
	err := e.await(ctx, func() {
		e.settle()
		var j *job
		if j, missing = e.lookUpJob(requestID); missing == nil {
			seen, log = j.public(), j.logText()
		}
	}, func() bool { return missing != nil || look(seen, log) })
	return seen, log, errors.Join(err, missing)
}
