package emulator

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
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
	IV   string `json:"iv"`
	Body string `json:"body"`
}

// send puts a message into an agent's inbox, where it stays until it is acknowledged by DELETE.
func (e *Emulator) send(a *agent, kind string, j *job, body func(base string) (any, error)) {
	e.lastMsg++
	a.inbox = append(a.inbox, &message{id: e.lastMsg, kind: kind, job: j, body: body})
	e.dirty = true
}

// pollMessage waits up to 50 s for the oldest message newer than lastMessageId; no message is an empty 200. A message
// that was not deleted comes again to who does not say that it has it (agent-protocol.md 7.3).
func (e *Emulator) pollMessage(c *request) (reply, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.settle()
	s, err := e.ownSession(c, c.query("sessionId"))
	if err != nil {
		return reply{}, err
	}
	last, _ := strconv.ParseInt(c.query("lastMessageId"), 10, 64)
	poll := func(n int) { // who waits for the state to say that this agent polls must look again
		s.polls += n
		s.lastSeen, e.dirty = e.now(), true
		e.settle()
	}
	poll(+1)
	defer poll(-1)
	end := e.now().Add(e.slow(longPoll))
	timer := time.NewTimer(e.slow(longPoll))
	defer timer.Stop()
	for over := false; ; {
		if e.sessions[s.id] != s {
			return reply{}, e.errSessionGone(s)
		}
		if m := e.nextMessage(s, last); m != nil {
			return e.deliver(c, s, m)
		}
		if over || !e.now().Before(end) {
			return reply{status: http.StatusOK}, nil
		}
		changed := e.changed
		e.mu.Unlock()
		select {
		case <-changed:
		case <-timer.C:
			over = true
		case <-c.http.Context().Done(): // nobody is there to be given a message
			e.mu.Lock()
			return reply{status: http.StatusOK}, nil
		case <-e.done:
			over = true
		}
		e.mu.Lock()
	}
}

func (e *Emulator) errSessionGone(s *session) error {
	a := s.agent
	switch {
	case a.removed && e.assumptions.RemovedAgentUnauthorized:
		return errUnauthorized("TF400813: The user '%d' is not authorized to access this resource.", a.id)
	case a.removed:
		return errNoAgent(a.pool.id, a.id)
	}
	return errSessionExpired(s.id)
}

func (e *Emulator) nextMessage(s *session, last int64) *message {
	for _, m := range s.agent.inbox {
		hidden := m.kind == msgJob && !s.agent.enabled && e.assumptions.DisabledHidesAssigned
		if m.id > last && !hidden {
			return m
		}
	}
	return nil
}

// deliver encrypts a message with the session's key.
func (e *Emulator) deliver(c *request, s *session, m *message) (reply, error) {
	body, err := m.body(c.base)
	if err != nil {
		return reply{}, err
	}
	plain, err := json.Marshal(body)
	if err != nil {
		return reply{}, fmt.Errorf("cannot encode message %d: %w", m.id, err)
	}
	iv, sealed, err := encrypt(s.key, plain)
	if err != nil {
		return reply{}, err
	}
	e.emitMessage(EventMessageDelivered, s.agent, m)
	return jsonReply(http.StatusOK, messageJSON{m.id, m.kind,
		base64.StdEncoding.EncodeToString(iv), base64.StdEncoding.EncodeToString(sealed)}), nil
}

func (e *Emulator) emitMessage(kind string, a *agent, m *message) {
	ev := Event{Type: kind, Pool: a.pool.name, AgentID: a.id, Agent: a.name, Detail: m.kind}
	if m.job != nil {
		ev.RequestID, ev.JobID = m.job.requestID, m.job.jobID
	}
	e.record(ev)
}

// encrypt is AES-256-CBC with PKCS #7 padding under a fresh iv.
func encrypt(key, plain []byte) (iv, sealed []byte, err error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot encrypt a message: %w", err)
	}
	iv = make([]byte, aes.BlockSize)
	_, _ = rand.Read(iv)
	pad := aes.BlockSize - len(plain)%aes.BlockSize
	sealed = append(bytes.Clone(plain), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(sealed, sealed)
	return iv, sealed, nil
}

// deleteMessage acknowledges. With the message of a job the agent has the job: it is received. Deleting what is not
// there succeeds, so that a repeated DELETE does.
func (e *Emulator) deleteMessage(c *request) (reply, error) {
	s, err := e.ownSession(c, c.query("sessionId"))
	if err != nil {
		return reply{}, err
	}
	id := int64(c.intParam("messageId"))
	i := slices.IndexFunc(s.agent.inbox, func(m *message) bool { return m.id == id })
	if i < 0 {
		return noContent(), nil
	}
	m := s.agent.inbox[i]
	s.agent.inbox = slices.Delete(s.agent.inbox, i, i+1)
	e.emitMessage(EventMessageDeleted, s.agent, m)
	if m.kind == msgJob {
		e.receive(m.job)
	}
	return noContent(), nil
}

// refreshAgents asks one agent (?agentId=) or all of a pool to update (azure-devops-rest.md 2.3).
func (e *Emulator) refreshAgents(c *request) (reply, error) {
	p, err := e.managedPool(c)
	if err != nil {
		return reply{}, err
	}
	agents := p.agents
	if want := c.query("agentId"); want != "" {
		id, _ := strconv.Atoi(want)
		a := p.agent(id)
		if a == nil {
			return reply{}, errNoAgent(p.id, want)
		}
		if a.update != nil {
			return reply{}, taskError(http.StatusConflict, "TaskAgentPendingUpdateExistsException",
				"Agent %s already has a pending update.", a.name)
		}
		agents = []*agent{a}
	}
	for _, a := range agents {
		if a.update != nil {
			continue
		}
		a.update = &pendingUpdate{target: packageVersion, source: a.version, requestTime: e.now()}
		e.send(a, msgRefresh, nil, func(string) (any, error) {
			return map[string]any{"agentId": a.id, "timeout": "01:00:00", "targetVersion": packageVersion}, nil
		})
		e.emitAgent(EventAgentUpdate, a)
	}
	return reply{status: http.StatusOK}, nil
}
