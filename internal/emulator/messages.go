package emulator

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// The types of messages (agent-protocol.md 7.3).
const (
	msgJob     = "PipelineAgentJobRequest"
	msgCancel  = "JobCancellation"
	msgRefresh = "AgentRefresh"
)

type messageJSON struct {
	ID   int64  `json:"messageId"`
	Kind string `json:"messageType"`
	IV   []byte `json:"iv"` // base64 in JSON, like the body
	Body []byte `json:"body"`
}

// send puts a message into an agent's inbox, where it stays until it is acknowledged by DELETE.
func (e *Emulator) send(a *agent, kind string, j *job, body obj) {
	e.lastMsg++
	a.inbox = append(a.inbox, &message{id: e.lastMsg, kind: kind, job: j, body: body})
	e.dirty = true
}

// pollMessage waits up to 50 s for the oldest message newer than lastMessageId; no message is an empty 200. A message
// that was not deleted comes again, unless lastMessageId says that the client has it (agent-protocol.md 7.3).
func (e *Emulator) pollMessage(c *request) (any, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.settle()
	s, err := e.ownSession(c)
	if err != nil {
		return nil, err
	}
	last, _ := strconv.ParseInt(c.query("lastMessageId"), 10, 64)
	poll := func(n int) { // wakes those who wait until this agent polls
		s.polls += n
		s.lastSeen, e.dirty = e.Now(), true
		e.settle()
	}
	poll(+1)
	defer poll(-1)
	end := e.Now().Add(e.slow(longPoll))
	timer := time.NewTimer(e.slow(longPoll))
	defer timer.Stop()
	for over := false; ; {
		if e.sessions[s.id] != s {
			if s.agent.removed {
				return nil, e.errAgentRemoved(s.agent.pool.id, s.agent.id)
			}
			return nil, errSessionExpired(s.id)
		}
		if m := e.nextMessage(s, last); m != nil {
			return e.deliver(c, s, m)
		}
		if over || !e.Now().Before(end) {
			return reply{status: http.StatusOK}, nil
		}
		changed := e.changed
		e.mu.Unlock()
		select {
		case <-changed:
		case <-timer.C:
			over = true
		case <-c.http.Context().Done(): // the client is gone, so the message stays
			e.mu.Lock()
			return reply{status: http.StatusOK}, nil
		case <-e.done:
			over = true
		}
		e.mu.Lock()
	}
}

func (e *Emulator) nextMessage(s *session, last int64) *message {
	hidesJobs := !s.agent.enabled && e.assumptions.DisabledHidesAssigned
	return first(s.agent.inbox, func(m *message) bool { return m.id > last && !(hidesJobs && m.kind == msgJob) })
}

// deliver encrypts a message with the session's key. The message of a job is made here: its URLs name the host that the
// listener talks to.
func (e *Emulator) deliver(c *request, s *session, m *message) (any, error) {
	body := m.body
	if m.kind == msgJob {
		var err error
		if body, err = e.jobMessage(c.base, m.job); err != nil {
			return nil, err
		}
	}
	plain, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("cannot encode message %d: %w", m.id, err)
	}
	iv, sealed := encrypt(s.cipher, plain)
	e.emitMessage(EventMessageDelivered, s.agent, m)
	return messageJSON{m.id, m.kind, iv, sealed}, nil
}

func (e *Emulator) emitMessage(kind string, a *agent, m *message) {
	ev := Event{Type: kind, Pool: a.pool.name, AgentID: a.id, Agent: a.name, Detail: m.kind}
	if m.job != nil {
		ev.RequestID, ev.JobID = m.job.requestID, m.job.jobID
	}
	e.record(ev)
}

// encrypt is AES-256-CBC with PKCS #7 padding under a fresh iv.
func encrypt(block cipher.Block, plain []byte) (iv, sealed []byte) {
	iv = make([]byte, aes.BlockSize)
	_, _ = rand.Read(iv)
	pad := aes.BlockSize - len(plain)%aes.BlockSize
	sealed = append(bytes.Clone(plain), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(sealed, sealed)
	return iv, sealed
}

// deleteMessage acknowledges. With the message of a job the agent has the job: it is received. Deleting what is not
// there succeeds, so that a repeated DELETE does.
func (e *Emulator) deleteMessage(c *request, s *session) (any, error) {
	id := int64(c.intParam("messageId"))
	m := first(s.agent.inbox, func(m *message) bool { return m.id == id })
	if m == nil {
		return noContent, nil
	}
	s.agent.inbox = without(s.agent.inbox, m)
	e.emitMessage(EventMessageDeleted, s.agent, m)
	if m.kind == msgJob {
		e.receive(m.job)
	}
	return noContent, nil
}

// reportUpdate stores what a listener says about the progress of its update. It says so five times in one update
// (agent-protocol.md, corrections). The answer without an update is an assumption: the agent, unchanged.
func (e *Emulator) reportUpdate(c *request) (any, error) {
	a, err := e.listener(c, c.intParam("agentId"))
	if err != nil {
		return nil, err
	}
	state := c.query("currentState")
	if state == "" {
		return nil, errBadRequest("Value cannot be null. Parameter name: currentState")
	}
	if a.update != nil {
		changed := *a.update // a stale answer keeps the one of its time
		changed.state = state
		a.update = &changed
		e.dirty = true
	}
	return e.agentJSON(c.base, a, include{}), nil
}

// refreshAgents asks one agent (?agentId=) or all of a pool to update (azure-devops-rest.md 2.3).
func (e *Emulator) refreshAgents(c *request, p *pool) (any, error) {
	agents := p.agents
	if want := c.query("agentId"); want != "" {
		id, _ := strconv.Atoi(want)
		a := p.agent(id)
		switch {
		case a == nil:
			return nil, errNoAgent(p.id, want)
		case a.update != nil:
			return nil, taskError(http.StatusConflict, "TaskAgentPendingUpdateExistsException", "Agent %s already has a pending update.", a.name)
		}
		agents = []*agent{a}
	}
	for _, a := range agents {
		if a.update != nil {
			continue
		}
		a.update = &pendingUpdate{target: packageVersion, source: a.version, requestTime: e.Now(), state: "Requested"}
		e.send(a, msgRefresh, nil, obj{"agentId": a.id, "timeout": "01:00:00", "targetVersion": packageVersion})
		e.emitAgent(EventAgentUpdate, a)
	}
	return reply{status: http.StatusOK}, nil
}
