package emulator

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"fmt"
	"net/http"
	"strings"
)

// sessionRequest is what a listener sends; it describes its agent anew each time (agent-protocol.md 7.2).
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

// listener is the agent on whose behalf a call of the listener's protocol is made.
func (e *Emulator) listener(c *request, agentID int) (*agent, error) {
	if c.who.isAgent && (c.who.agent == nil || c.who.agent.removed) { // its registration is gone (agent-protocol.md 6)
		if e.assumptions.RemovedAgentUnauthorized {
			return nil, errUnauthorized("TF400813: The user '%d' is not authorized to access this resource.", c.who.agentID)
		}
		return nil, errNoAgent(c.who.poolID, c.who.agentID)
	}
	p := e.pools[c.intParam("poolId")]
	if p == nil || !c.who.may(bitView, p) {
		return nil, e.errNoPool(c.who, c.params["poolId"])
	}
	if !c.who.may(bitListen, p) || c.who.isAgent && c.who.agentID != agentID {
		return nil, errNeeds(c.who.display(), "Listen", p.name)
	}
	a := p.agent(agentID)
	if a == nil {
		return nil, errNoAgent(p.id, agentID)
	}
	return a, nil
}

// createSession opens the one session an agent may have, with a fresh AES key that only the agent's key can open.
func (e *Emulator) createSession(c *request) (reply, error) {
	var in sessionRequest
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	a, err := e.listener(c, in.Agent.ID)
	if err != nil {
		return reply{}, err
	}
	if a.session != nil {
		return reply{}, errSessionConflict(a.name, a.session.owner)
	}
	if a.key == nil {
		return reply{}, errBadRequest("The agent %s has no public key.", a.name)
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	sealed, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, a.key, key, nil) // SHA-1 is the protocol's (agent-protocol.md 7.2)
	if err != nil {
		return reply{}, fmt.Errorf("cannot encrypt the session key: %w", err)
	}
	now := e.now()
	s := &session{id: newGUID(), agent: a, owner: in.OwnerName, key: key, created: now, lastSeen: now}
	e.sessions[s.id] = s
	a.session, a.statusChangedOn, a.shuttingDown = s, now, false
	if in.Agent.Version != "" {
		a.version = in.Agent.Version
	}
	if in.Agent.OSDescription != "" {
		a.osDescription = in.Agent.OSDescription
	}
	if in.System != nil { // the listener's scan overwrites what registration sent; user capabilities stay
		a.system = in.System
	}
	if e.assumptions.SessionDropsUserCapabilities {
		a.user = nil
	}
	if a.update != nil && a.update.target == a.version {
		a.update = nil
	}
	e.emitSession(EventSessionCreated, s)
	return jsonReply(http.StatusOK, sessionJSON{
		SessionID: s.id, OwnerName: s.owner, Agent: e.agentReference(c.base, a),
		EncryptionKey: &encryptionKeyJSON{true, sealed},
	}), nil
}

// ownSession is the session named id, if it is the caller's; gone sessions are expired ones.
func (e *Emulator) ownSession(c *request, id string) (*session, error) {
	s := e.sessions[strings.ToLower(id)]
	agentID := c.who.agentID
	if s != nil && s.agent.removed && c.who.isAgent && s.agent.id == agentID { // it outlives its agent
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

func (e *Emulator) deleteSession(c *request) (reply, error) {
	s, err := e.ownSession(c, c.params["sessionId"])
	if err != nil {
		return reply{}, err
	}
	e.endSession(s, EventSessionDeleted)
	return noContent(), nil
}

// endSession takes a session away, and the agent offline. Messages not acknowledged stay in the agent's inbox for its
// next session: they belong to the agent.
func (e *Emulator) endSession(s *session, why string) {
	delete(e.sessions, s.id)
	if s.agent.session == s {
		s.agent.session, s.agent.statusChangedOn = nil, e.now()
	}
	e.emitSession(why, s)
}
