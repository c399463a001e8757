package emulator

import (
	"cmp"
	"net/http"
	"strings"
	"unicode/utf8"
)

func (c *request) includes(e *Emulator) include {
	return include{
		capabilities: c.flag("includeCapabilities"), assigned: c.flag("includeAssignedRequest"),
		last: c.flag("includeLastCompletedRequest"), authorization: e.assumptions.GetShowsAuthorization,
	}
}

// getAgents is one agent, or a pool's agents: by name, by what they can.
func (e *Emulator) getAgents(c *request) (any, error) {
	if c.params["agentId"] != "" {
		a, err := e.shownAgent(c)
		if err != nil {
			return nil, err
		}
		return e.agentJSON(c.base, a, c.includes(e)), nil
	}
	p, err := e.visiblePool(c)
	if err != nil {
		return nil, err
	}
	name, wants := c.query("agentName"), splitDemands(c.query("demands"))
	agents := filter(e.shownAgents(p), func(a *agent) bool {
		return (name == "" || strings.EqualFold(name, a.name)) && a.satisfies(wants)
	})
	return listOf(c, agents, func(c *request, a *agent) agentJSON { return e.agentJSON(c.base, a, c.includes(e)) }), nil
}

// createAgent registers (agent-protocol.md 2.2, 2.3).
func (e *Emulator) createAgent(c *request, p *pool, in agentJSON) (any, error) {
	now := e.Now()
	a := &agent{pool: p, createdOn: now, statusChangedOn: now, enabled: true, provisioning: cmp.Or(in.ProvisioningState, "Provisioned"), maxParallelism: 1}
	if err := e.fillAgent(c, a, in); err != nil {
		return nil, err
	}
	if in.Enabled != nil && !e.assumptions.CreateIgnoresEnabled {
		a.enabled = *in.Enabled
	}
	if !e.assumptions.CreateDropsUserCapabilities {
		a.user = in.User
	}
	e.addAgent(a)
	return e.agentJSON(c.base, a, include{authorization: true}), nil
}

// addAgent puts a new agent into its pool.
func (e *Emulator) addAgent(a *agent) {
	e.lastAgent++
	a.id = e.lastAgent
	a.pool.agents = append(a.pool.agents, a)
	e.emitAgent(EventAgentAdded, a)
}

// replaceAgent is PUT: the id stays, the key is rotated, capabilities are replaced (agent-protocol.md 2.5).
func (e *Emulator) replaceAgent(c *request, a *agent, in agentJSON) (any, error) {
	if err := e.fillAgent(c, a, in); err != nil {
		return nil, err
	}
	switch {
	case in.Enabled != nil:
		a.enabled = *in.Enabled
	case e.assumptions.ReplaceEnables:
		a.enabled = true
	}
	if in.User != nil || !e.assumptions.ReplaceKeepsUserCapabilities {
		a.user = in.User
	}
	if s := a.session; s != nil && e.assumptions.ReplaceEndsSession {
		e.endSession(s, EventSessionDeleted)
	}
	e.emitAgent(EventAgentReplaced, a)
	return e.agentJSON(c.base, a, include{authorization: true}), nil
}

// checkAgent applies what the server is known to insist on (agent-protocol.md 2.2).
func (e *Emulator) checkAgent(a *agent, in agentJSON) error {
	_, isVersion := versionNumbers(in.Version)
	other := a.pool.agentNamed(in.Name)
	switch {
	case utf8.RuneCountInString(in.Name) > maxNameLength && e.assumptions.NamesLimited:
		return errBadRequest("The agent name %q is longer than %d characters.", in.Name, maxNameLength)
	case strings.TrimSpace(in.Name) == "":
		return errBadRequest("Value cannot be null. Parameter name: agent.Name")
	case in.Version == "":
		return errBadRequest("Value cannot be null. Parameter name: agent.Version")
	case !isVersion:
		return errBadRequest("The version %q is not of the form major.minor.patch.", in.Version)
	case a.id != 0 && in.ID != 0 && in.ID != a.id:
		return errAgentID(in.ID, a.id)
	case other != nil && other != a:
		status := choose(e.assumptions.NameTakenBadRequest, http.StatusBadRequest, http.StatusConflict)
		return taskError(status, "TaskAgentExistsException", "Pool %d already contains an agent with name %s.", a.pool.id, in.Name)
	}
	return nil
}

// fillAgent checks and sets what POST and PUT have in common.
func (e *Emulator) fillAgent(c *request, a *agent, in agentJSON) error {
	if err := e.checkAgent(a, in); err != nil {
		return err
	}
	if in.Authorization != nil && in.Authorization.PublicKey != nil {
		key, err := parsePublicKey(*in.Authorization.PublicKey)
		if err != nil {
			return err
		}
		a.key, a.publicKey = key, *in.Authorization.PublicKey
		if a.clientID == "" {
			a.clientID = newGUID()
		}
		a.authURL = e.hostURL(c.base, "vssps") + "_apis/oauth2/token/" + e.instanceID
	}
	a.name, a.version, a.osDescription, a.properties, a.system = in.Name, in.Version, in.OSDescription, in.Properties, in.System
	if in.MaxParallelism > 0 {
		a.maxParallelism = in.MaxParallelism
	}
	return nil
}

func errAgentID(body, path int) error {
	return errBadRequest("The agent id %d in the body does not match the id %d of the request.", body, path)
}

// patchable judges the id in a PATCH's body: it must be there (agent-protocol.md 2.5).
func (e *Emulator) patchable(in agentJSON, a *agent) error {
	switch {
	case in.ID == 0 && (e.assumptions.PatchWithoutID || e.assumptions.PatchRefusesID):
		return nil
	case in.ID != a.id:
		return errAgentID(in.ID, a.id)
	case e.assumptions.PatchRefusesID:
		return errBadRequest("The agent id is not to be in the body.")
	}
	return nil
}

// updateAgent is PATCH: enabled and maxParallelism.
func (e *Emulator) updateAgent(c *request, a *agent, in agentJSON) (any, error) {
	if err := e.patchable(in, a); err != nil {
		return nil, err
	}
	if in.MaxParallelism > 0 {
		a.maxParallelism = in.MaxParallelism
	}
	if in.Enabled != nil && *in.Enabled != a.enabled {
		a.enabled, a.disabledOn = *in.Enabled, e.Now()
		e.emitAgent(choose(a.enabled, EventAgentEnabled, EventAgentDisabled), a)
	}
	return e.agentJSON(c.base, a, include{authorization: e.assumptions.GetShowsAuthorization}), nil
}

// deleteAgent refuses while a job runs (agent-protocol.md 6).
func (e *Emulator) deleteAgent(c *request) (any, error) {
	deleted := reply{status: choose(e.assumptions.DeleteAnswers200, http.StatusOK, http.StatusNoContent)}
	a, err := e.managedAgent(c)
	if err != nil {
		missing := asReply(err).typeKey == "TaskAgentNotFoundException"
		return deleted, choose(missing && e.assumptions.DeleteMissingSucceeds, nil, err)
	}
	if a.job != nil {
		if !e.assumptions.DeleteRunningSucceeds {
			return nil, e.errJobRuns(a.name, a.pool.name)
		}
		e.finish(a.job, "abandoned")
	}
	e.removeAgent(a)
	return deleted, nil
}

// removeAgent takes a registration and its session away; its OAuth client is unknown from now on.
func (e *Emulator) removeAgent(a *agent) {
	if a.session != nil && !e.assumptions.SessionOutlivesAgent {
		e.endSession(a.session, EventSessionDeleted)
	}
	a.removed = true
	a.pool.agents = without(a.pool.agents, a)
	e.emitAgent(EventAgentRemoved, a)
}

func (e *Emulator) putUserCapabilities(c *request) (any, error) {
	if e.assumptions.NoUserCapabilities {
		return notFoundPage(), nil
	}
	a, err := e.managedAgent(c)
	if err != nil {
		return nil, err
	}
	var in map[string]string
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	a.user = in
	e.emitAgent(EventUserCapabilities, a)
	return e.agentJSON(c.base, a, include{capabilities: true}), nil
}
