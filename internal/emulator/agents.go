package emulator

import (
	"errors"
	"net/http"
	"slices"
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
func (e *Emulator) getAgents(c *request) (reply, error) {
	if c.params["agentId"] != "" {
		a, err := e.shownAgent(c)
		if err != nil {
			return reply{}, err
		}
		return jsonReply(http.StatusOK, e.agentJSON(c.base, a, c.includes(e))), nil
	}
	p, err := e.visiblePool(c)
	if err != nil {
		return reply{}, err
	}
	name, wants := c.query("agentName"), splitDemands(c.query("demands"))
	out := []agentJSON{}
	for _, a := range e.shownAgents(p) {
		if (name == "" || strings.EqualFold(name, a.name)) && a.satisfies(wants) {
			out = append(out, e.agentJSON(c.base, a, c.includes(e)))
		}
	}
	return jsonReply(http.StatusOK, listOf(out)), nil
}

// createAgent registers (agent-protocol.md 2.2, 2.3).
func (e *Emulator) createAgent(c *request) (reply, error) {
	p, err := e.managedPool(c)
	if err != nil {
		return reply{}, err
	}
	var in agentJSON
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	if err := e.checkAgent(in); err != nil {
		return reply{}, err
	}
	if p.agentNamed(in.Name) != nil {
		return reply{}, e.errAgentExists(p.id, in.Name)
	}
	now := e.now()
	a := &agent{pool: p, createdOn: now, statusChangedOn: now, enabled: true,
		provisioning: "Provisioned", maxParallelism: 1}
	if err := e.fillAgent(c, a, in); err != nil {
		return reply{}, err
	}
	if in.Enabled != nil && !e.assumptions.CreateIgnoresEnabled {
		a.enabled = *in.Enabled
	}
	a.system = in.System
	if !e.assumptions.CreateDropsUserCapabilities {
		a.user = in.User
	}
	if in.ProvisioningState != "" {
		a.provisioning = in.ProvisioningState
	}
	e.lastAgent++
	a.id = e.lastAgent
	p.agents = append(p.agents, a)
	e.emitAgent(EventAgentAdded, a)
	return jsonReply(http.StatusOK, e.agentJSON(c.base, a, include{authorization: true})), nil
}

// replaceAgent is PUT: the id stays, the key is rotated, capabilities are replaced (agent-protocol.md 2.5).
func (e *Emulator) replaceAgent(c *request) (reply, error) {
	a, err := e.poolAndAgent(c, bitManage)
	if err != nil {
		return reply{}, err
	}
	var in agentJSON
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	if err := e.checkAgent(in); err != nil {
		return reply{}, err
	}
	if in.ID != 0 && in.ID != a.id {
		return reply{}, errAgentID(in.ID, a.id)
	}
	if other := a.pool.agentNamed(in.Name); other != nil && other != a {
		return reply{}, e.errAgentExists(a.pool.id, in.Name)
	}
	if err := e.fillAgent(c, a, in); err != nil {
		return reply{}, err
	}
	switch {
	case in.Enabled != nil:
		a.enabled = *in.Enabled
	case e.assumptions.ReplaceEnables:
		a.enabled = true
	}
	a.system = in.System
	if in.User != nil || !e.assumptions.ReplaceKeepsUserCapabilities {
		a.user = in.User
	}
	if s := a.session; s != nil && e.assumptions.ReplaceEndsSession {
		e.endSession(s, EventSessionDeleted)
	}
	e.emitAgent(EventAgentReplaced, a)
	return jsonReply(http.StatusOK, e.agentJSON(c.base, a, include{authorization: true})), nil
}

// checkAgent applies what the server is known to insist on (agent-protocol.md 2.2).
func (e *Emulator) checkAgent(in agentJSON) error {
	if utf8.RuneCountInString(in.Name) > maxNameLength && e.assumptions.NamesLimited {
		return errBadRequest("The agent name %q is longer than %d characters.", in.Name, maxNameLength)
	}
	if strings.TrimSpace(in.Name) == "" {
		return errBadRequest("Value cannot be null. Parameter name: agent.Name")
	}
	if in.Version == "" {
		return errBadRequest("Value cannot be null. Parameter name: agent.Version")
	}
	if _, ok := versionNumbers(in.Version); !ok {
		return errBadRequest("The version %q is not of the form major.minor.patch.", in.Version)
	}
	return nil
}

// fillAgent sets what POST and PUT have in common.
func (e *Emulator) fillAgent(c *request, a *agent, in agentJSON) error {
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
	a.name, a.version, a.osDescription, a.properties = in.Name, in.Version, in.OSDescription, in.Properties
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
func (e *Emulator) updateAgent(c *request) (reply, error) {
	a, err := e.poolAndAgent(c, bitManage)
	if err != nil {
		return reply{}, err
	}
	var in agentJSON
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	if err := e.patchable(in, a); err != nil {
		return reply{}, err
	}
	if in.MaxParallelism > 0 {
		a.maxParallelism = in.MaxParallelism
	}
	if in.Enabled != nil && *in.Enabled != a.enabled {
		a.enabled, a.disabledOn = *in.Enabled, e.now()
		kind := EventAgentDisabled
		if a.enabled {
			kind = EventAgentEnabled
		}
		e.emitAgent(kind, a)
	}
	return jsonReply(http.StatusOK, e.agentJSON(c.base, a, include{authorization: e.assumptions.GetShowsAuthorization})), nil
}

// deleteAgent refuses while a job runs (agent-protocol.md 6).
func (e *Emulator) deleteAgent(c *request) (reply, error) {
	status := http.StatusNoContent
	if e.assumptions.DeleteAnswers200 {
		status = http.StatusOK
	}
	a, err := e.poolAndAgent(c, bitManage)
	if err != nil {
		if known := (*apiError)(nil); errors.As(err, &known) && known.typeKey == "TaskAgentNotFoundException" && e.assumptions.DeleteMissingSucceeds {
			return reply{status: status}, nil
		}
		return reply{}, err
	}
	if a.job != nil {
		if !e.assumptions.DeleteRunningSucceeds {
			return reply{}, e.errJobRuns(a.name, a.pool.name)
		}
		e.finish(a.job, "abandoned")
	}
	e.removeAgent(a)
	return reply{status: status}, nil
}

// removeAgent takes a registration and its session away; its OAuth client is unknown from now on.
func (e *Emulator) removeAgent(a *agent) {
	if a.session != nil && !e.assumptions.SessionOutlivesAgent {
		e.endSession(a.session, EventSessionDeleted)
	}
	a.removed = true
	a.pool.agents = slices.DeleteFunc(a.pool.agents, func(x *agent) bool { return x == a })
	e.emitAgent(EventAgentRemoved, a)
}

func (e *Emulator) putUserCapabilities(c *request) (reply, error) {
	if e.assumptions.NoUserCapabilities {
		return notFoundPage(), nil
	}
	a, err := e.poolAndAgent(c, bitManage)
	if err != nil {
		return reply{}, err
	}
	var in map[string]string
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	a.user = in
	e.emitAgent(EventUserCapabilities, a)
	return jsonReply(http.StatusOK, e.agentJSON(c.base, a, include{capabilities: true})), nil
}
