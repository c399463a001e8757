package emulator

import (
	"cmp"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"fmt"
	"net/http"
	"strings"
)

// sessionRequest is what a listener sends; it describes its agent each time (agent-protocol.md 7.2).
type sessionRequest struct {
	OwnerName string            `json:"ownerName"`
	Agent     agentJSON         `json:"agent"`
	System    map[string]string `json:"systemCapabilities"`
}

type sessionJSON struct {
	SessionID     string             `json:"sessionId"`
	OwnerName     string             `json:"ownerName"`
	Agent         agentJSON          `json:"agent"`
	EncryptionKey *encryptionKeyJSON `json:"encryptionKey,omitempty"`
}

type encryptionKeyJSON struct {
	Encrypted bool   `json:"encrypted"`
	Value     []byte `json:"value"` // base64 in JSON
}

// listener returns the agent on whose behalf a call of the listener's protocol is made.
func (e *Emulator) listener(c *request, agentID int) (*agent, error) {
	if c.who.isAgent && (c.who.agent == nil || c.who.agent.removed) {
		return nil, e.errAgentRemoved(c.who.poolID, c.who.agentID)
	}
	p, err := e.visiblePool(c)
	if err != nil {
		return nil, err
	}
	if !c.who.may(bitListen, p) || c.who.isAgent && c.who.agentID != agentID {
		return nil, errNeeds(c.who, "Listen", p.name)
	}
	a := p.agent(agentID)
	if a == nil {
		return nil, errNoAgent(p.id, agentID)
	}
	return a, nil
}

// errAgentRemoved is the error for an agent whose registration was removed (agent-protocol.md 6).
func (e *Emulator) errAgentRemoved(poolID, agentID int) error {
	if e.assumptions.RemovedAgentUnauthorized {
		return errUnauthorized(textNoAccess(agentID))
	}
	return errNoAgent(poolID, agentID)
}

// createSession opens the one session an agent may have, with a fresh AES key that only the agent's key can open.
func (e *Emulator) createSession(c *request) (any, error) {
	var in sessionRequest
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	a, err := e.listener(c, in.Agent.ID)
	if err != nil {
		return nil, err
	}
	if a.session != nil {
		return nil, taskError(http.StatusConflict, "TaskAgentSessionConflictException",
			"The task agent %s already has an active session for owner %s.", a.name, a.session.owner)
	}
	if a.key == nil {
		return nil, errBadRequest("The agent %s has no public key.", a.name)
	}
	block, sealed, err := sessionKey(a.key)
	if err != nil {
		return nil, fmt.Errorf("cannot make the session key: %w", err)
	}
	now := e.Now()
	a.statusChangedOn, a.shuttingDown = now, false
	a.version, a.osDescription = cmp.Or(in.Agent.Version, a.version), cmp.Or(in.Agent.OSDescription, a.osDescription)
	if in.System != nil { // the listener's scan overwrites what registration sent; user capabilities stay
		a.system = in.System
	}
	if e.assumptions.SessionDropsUserCapabilities {
		a.user = nil
	}
	if a.update != nil && a.update.target == a.version {
		a.update = nil
	}
	s := &session{id: newGUID(), agent: a, owner: in.OwnerName, cipher: block, created: now, lastSeen: now}
	e.openSession(s)
	return sessionJSON{
		SessionID: s.id, OwnerName: s.owner, Agent: e.agentReference(c.base, a),
		EncryptionKey: &encryptionKeyJSON{true, sealed},
	}, nil
}

// sessionKey makes the key of a session's messages, and encrypts it for the agent. SHA-1 is the protocol's
// (agent-protocol.md 7.2).
func sessionKey(of *rsa.PublicKey) (block cipher.Block, sealed []byte, err error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	if sealed, err = rsa.EncryptOAEP(sha1.New(), rand.Reader, of, key, nil); err == nil {
		block, err = aes.NewCipher(key)
	}
	return block, sealed, err
}

// openSession brings the session's agent online.
func (e *Emulator) openSession(s *session) {
	e.sessions[s.id], s.agent.session = s, s
	e.emitSession(EventSessionCreated, s)
}

// ownSession returns the session that the request names, if it is the caller's; gone sessions are expired ones.
func (e *Emulator) ownSession(c *request) (*session, error) {
	id := c.query("sessionId")
	if c.route.resource == "sessions" {
		id = c.params["sessionId"]
	}
	s := e.sessions[strings.ToLower(id)]
	agentID := c.who.agentID
	if s != nil && s.agent.removed && c.who.isAgent && s.agent.id == agentID { // the session outlives its agent
		return s, nil
	}
	if s != nil && !c.who.isAgent {
		agentID = s.agent.id
	}
	if _, err := e.listener(c, agentID); err != nil {
		return nil, err
	}
	if s == nil || s.agent.pool.id != c.intParam("poolId") || s.agent.id != agentID {
		return nil, errSessionExpired(id)
	}
	return s, nil
}

func (e *Emulator) deleteSession(_ *request, s *session) (any, error) {
	e.endSession(s, EventSessionDeleted)
	return noContent, nil
}

// endSession takes a session away, and the agent offline. Messages not acknowledged stay in the agent's inbox for its
// next session: they belong to the agent.
func (e *Emulator) endSession(s *session, why string) {
	delete(e.sessions, s.id)
	if s.agent.session == s {
		s.agent.session, s.agent.statusChangedOn = nil, e.Now()
	}
	e.emitSession(why, s)
}
