package emulator

import (
	"context"
	"errors"
	"time"
)

// The types of events.
const (
	EventTokenIssued       = "token.issued"       // by the identity endpoint; Identity says whose, Detail whether from its cache
	EventAgentToken        = "agent.token"        // an agent's client assertion was accepted
	EventAgentAdded        = "agent.added"        // POST
	EventAgentReplaced     = "agent.replaced"     // PUT
	EventAgentEnabled      = "agent.enabled"      // PATCH
	EventAgentDisabled     = "agent.disabled"     // PATCH
	EventAgentRemoved      = "agent.removed"      // DELETE
	EventAgentShutting     = "agent.shuttingDown" // its listener said that it takes no more jobs
	EventAgentUpdate       = "agent.update"       // an AgentRefresh message was put in its inbox
	EventUserCapabilities  = "agent.capabilities" // user capabilities were replaced
	EventSessionCreated    = "session.created"
	EventSessionDeleted    = "session.deleted"
	EventSessionExpired    = "session.expired"
	EventMessageDelivered  = "message.delivered" // handed out, acknowledged or not; Detail is its type
	EventMessageDeleted    = "message.deleted"   // acknowledged; Detail is its type
	EventJobQueued         = "job.queued"
	EventJobAssigned       = "job.assigned"
	EventJobReceived       = "job.received" // its message was acknowledged, or its lock renewed before that
	EventJobStarted        = "job.started"  // the first renewal of its lock
	EventJobRenewed        = "job.renewed"  // each later one
	EventJobCanceling      = "job.canceling"
	EventJobFinished       = "job.finished"      // Result says how
	EventScheduled         = "machine.announced" // the metadata service announces an event; Detail is its type
	EventScheduledApproved = "machine.approved"  // somebody approved it
	EventScheduledStarted  = "machine.started"   // by approval, or because its time has come
	EventPoolAdded         = "pool.added"
	EventPoolRemoved       = "pool.removed"
	EventMemberAdded       = "member.added"    // to the organisation; Detail is the licence
	EventMemberLicensed    = "member.licensed" // its licence changed; Detail is the new one
	EventMemberRemoved     = "member.removed"
	EventRoleAssigned      = "role.assigned" // Pool is the pool's name, or "*"; Detail is the role
	EventRoleRemoved       = "role.removed"
	EventQueueAdded        = "queue.added" // a pool into a project; Detail is the project
	EventQueueRemoved      = "queue.removed"
	EventQueueOpened       = "queue.opened" // to all pipelines of the project
	EventQueueClosed       = "queue.closed"
)

// Event is one thing that happened, in the order it happened.
type Event struct {
	Seq       uint64    `json:"seq"` // counts from 1
	Type      string    `json:"type"`
	Time      time.Time `json:"time"`
	Pool      string    `json:"pool,omitempty"`
	AgentID   int       `json:"agentId,omitempty"`
	Agent     string    `json:"agent,omitempty"`
	Session   string    `json:"session,omitempty"`
	RequestID int64     `json:"requestId,omitempty"`
	JobID     string    `json:"jobId,omitempty"`
	Result    string    `json:"result,omitempty"`
	Identity  string    `json:"identity,omitempty"` // the object id it is about
	Detail    string    `json:"detail,omitempty"`
}

// ErrClosed is what waiting methods return once the emulator is closed.
var ErrClosed = errors.New("the emulator is closed")

// record writes an event; mu is held.
func (e *Emulator) record(ev Event) {
	ev.Seq = uint64(len(e.events) + 1)
	ev.Time = e.Now()
	e.events = append(e.events, ev)
	e.dirty = true
	e.opts.Log.Debug("Event", "type", ev.Type, "pool", ev.Pool, "agent", ev.Agent, "request", ev.RequestID)
}

func (e *Emulator) emitAgent(kind string, a *agent) {
	e.record(Event{Type: kind, Pool: a.pool.name, AgentID: a.id, Agent: a.name})
}

func (e *Emulator) emitSession(kind string, s *session) {
	e.record(Event{Type: kind, Pool: s.agent.pool.name, AgentID: s.agent.id, Agent: s.agent.name, Session: s.id})
}

func (e *Emulator) emitJob(kind string, j *job) {
	ev := Event{Type: kind, Pool: j.pool.name, RequestID: j.requestID, JobID: j.jobID, Result: j.result}
	if j.agent != nil {
		ev.AgentID, ev.Agent = j.agent.id, j.agent.name
	}
	e.record(ev)
}

// Events returns the events after the one numbered after (0: from the start), and waits until there is one. The error
// is ctx's, or ErrClosed.
func (e *Emulator) Events(ctx context.Context, after uint64) ([]Event, error) {
	var out []Event
	err := e.await(ctx, func() {
		if after < uint64(len(e.events)) {
			out = append(out, e.events[after:]...)
		}
	}, func() bool { return len(out) > 0 })
	return out, err
}

// WaitEvent waits for the first event after the one numbered after that match accepts.
func (e *Emulator) WaitEvent(ctx context.Context, after uint64, match func(Event) bool) (Event, error) {
	for {
		events, err := e.Events(ctx, after)
		if err != nil {
			return Event{}, err
		}
		for _, ev := range events {
			if match(ev) {
				return ev, nil
			}
			after = ev.Seq
		}
	}
}

// await looks, with mu held, until what was seen is enough, which is judged without it; it waits for changes in between.
func (e *Emulator) await(ctx context.Context, look func(), enough func() bool) error {
	for {
		e.mu.Lock()
		look()
		changed := e.changed
		e.mu.Unlock()
		if enough() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-e.done:
			return ErrClosed
		}
	}
}
