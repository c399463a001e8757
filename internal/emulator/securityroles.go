package emulator

import (
	"net/http"
	"strconv"
	"strings"
)

// The scopes of roles (azure-devops-rest.md 4.3).
const (
	scopePool   = "distributedtask.agentpoolrole"       // one pool of the organisation
	scopePools  = "distributedtask.globalagentpoolrole" // all of them, resource "0"
	scopeQueue  = "distributedtask.agentqueuerole"      // a pool in a project, resource {projectId}_{queueId}
	scopeQueues = "distributedtask.globalagentqueuerole"
)

type roleJSON struct {
	DisplayName      string `json:"displayName"`
	Name             string `json:"name"`
	AllowPermissions int    `json:"allowPermissions"`
	DenyPermissions  int    `json:"denyPermissions"`
	Identifier       string `json:"identifier"`
	Description      string `json:"description"`
	Scope            string `json:"scope"`
}

type roleAssignment struct {
	Identity          roleIdentity `json:"identity"`
	Role              roleJSON     `json:"role"`
	Access            string       `json:"access"` // assigned or inherited
	AccessDisplayName string       `json:"accessDisplayName"`
}

type roleIdentity struct {
	DisplayName string `json:"displayName"`
	ID          string `json:"id"`
	UniqueName  string `json:"uniqueName"`
}

// rolesOf are the roles of a scope, the weakest first. Their names on the wire are unverified (azure-devops-rest.md,
// "Unverified" c).
func rolesOf(scope string) []string {
	switch strings.ToLower(scope) {
	case scopePool, scopePools:
		return []string{RoleReader, RoleServiceAccount, RoleAdministrator}
	case scopeQueue, scopeQueues:
		return []string{RoleReader, RoleUser, RoleAdministrator}
	}
	return nil
}

func wireRole(scope, role string) roleJSON {
	name := strings.ReplaceAll(role, " ", "")
	return roleJSON{DisplayName: role, Name: name, AllowPermissions: roleBits[role], Identifier: scope + "." + name,
		Description: role + " of agent pools", Scope: scope}
}

// roleNamed is the role that a name on the wire, or in the portal, means.
func roleNamed(scope, name string) string {
	for _, role := range rolesOf(scope) {
		if strings.EqualFold(role, name) || strings.EqualFold(strings.ReplaceAll(role, " ", ""), name) {
			return role
		}
	}
	return ""
}

func (e *Emulator) getRoleDefinitions(c *request) (reply, error) {
	if err := c.who.mustBeIdentity(); err != nil {
		return reply{}, err
	}
	out := []roleJSON{}
	for _, role := range rolesOf(c.params["scopeId"]) {
		out = append(out, wireRole(strings.ToLower(c.params["scopeId"]), role))
	}
	return jsonReply(http.StatusOK, listOf(out)), nil
}

// roleTarget is what roles are assigned on: it knows who has which.
type roleTarget struct {
	scope     string
	name      string
	roles     func(*identity) (assigned, inherited string)
	assign    func(id *identity, role string) // "" takes it away
	mayView   bool
	mayManage bool
}

// roleTarget is that of the request's path.
func (e *Emulator) roleTarget(c *request) (roleTarget, error) {
	scope, resource := strings.ToLower(c.params["scopeId"]), c.params["resourceId"]
	switch scope {
	case scopePool:
		if resource == "0" { // terraform#1592: an assignment at this place made a Reader of all pools
			return e.allPools(c, scope, RoleReader), nil
		}
		id, _ := strconv.Atoi(resource)
		p := e.pools[id]
		if p == nil || !c.who.may(bitView, p) {
			return roleTarget{}, e.errNoPool(c.who, resource)
		}
		return e.onePool(c, p), nil
	case scopePools:
		if resource != "0" {
			return roleTarget{}, errBadRequest("The resource %q is not valid in scope %s.", resource, scope)
		}
		return e.allPools(c, scope, ""), nil
	case scopeQueue:
		return e.queueRoles(c, resource)
	}
	return roleTarget{}, &apiError{http.StatusNotFound, "SecurityRoleScopeNotFoundException", nsWebAPI, "The scope " + scope + " does not exist."}
}

func (e *Emulator) onePool(c *request, p *pool) roleTarget {
	return roleTarget{scope: scopePool, name: p.name, mayView: true, mayManage: c.who.may(bitAdminister, p),
		roles:  func(id *identity) (string, string) { return id.roleOn(p.name), id.Roles[AllPools] },
		assign: func(id *identity, role string) { id.setRole(p.name, role) }}
}

// allPools is the target of roles on every pool; only, if set, is the role that comes of any assignment.
func (e *Emulator) allPools(c *request, scope, only string) roleTarget {
	may := c.who.mayCreatePools()
	return roleTarget{scope: scope, name: AllPools, mayView: may, mayManage: may,
		roles: func(id *identity) (string, string) { return id.Roles[AllPools], "" },
		assign: func(id *identity, role string) {
			if role != "" && only != "" {
				role = only
			}
			id.setRole(AllPools, role)
		}}
}

// roleOn is the role that was assigned on a pool; names do not differ by case.
func (i *identity) roleOn(pool string) string {
	for name, role := range i.Roles {
		if strings.EqualFold(name, pool) {
			return role
		}
	}
	return ""
}

// setRole writes a role down, in a map of its own: who put the identity has the old one in hand.
func (i *identity) setRole(pool, role string) {
	roles := Roles{}
	for name, had := range i.Roles {
		if !strings.EqualFold(name, pool) {
			roles[name] = had
		}
	}
	if role != "" {
		roles[pool] = role
	}
	i.Roles = roles
}

func assignment(scope string, id *identity, role, access string) roleAssignment {
	return roleAssignment{roleIdentity{id.Name, id.storageKey, id.ObjectID}, wireRole(scope, role), access,
		strings.ToUpper(access[:1]) + access[1:]}
}

func (e *Emulator) getRoleAssignments(c *request) (reply, error) {
	t, err := e.roleTarget(c)
	if err != nil {
		return reply{}, err
	}
	if !t.mayView {
		return reply{}, errNeeds(c.who.display(), "View", t.name)
	}
	out := []roleAssignment{}
	for _, id := range e.sortedIdentities(func(id *identity) bool { return id.known }) {
		switch assigned, inherited := t.roles(id); {
		case assigned != "":
			out = append(out, assignment(t.scope, id, assigned, "assigned"))
		case inherited != "":
			out = append(out, assignment(t.scope, id, inherited, "inherited"))
		}
	}
	return jsonReply(http.StatusOK, listOf(out)), nil
}

type roleIn struct {
	RoleName   string `json:"roleName"`
	UserID     string `json:"userId"`
	UniqueName string `json:"uniqueName"`
}

// putRoleAssignments gives roles. An identity that the organisation does not know is passed over in silence: the answer
// is 200 and counts what was done (azure-devops-rest.md 4.3).
func (e *Emulator) putRoleAssignments(c *request) (reply, error) {
	var in []roleIn
	if one := c.params["identityId"]; one != "" {
		var single roleIn
		if err := c.decode(&single); err != nil {
			return reply{}, err
		}
		single.UserID = one
		in = []roleIn{single}
	} else if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	t, err := e.manageableTarget(c)
	if err != nil {
		return reply{}, err
	}
	out := []roleAssignment{}
	for _, want := range in {
		role := roleNamed(t.scope, want.RoleName)
		if role == "" {
			return reply{}, errBadRequest("The role %q does not exist in scope %s.", want.RoleName, t.scope)
		}
		id := e.roleHolder(want)
		if id == nil {
			continue
		}
		if id == c.who.identity {
			return reply{}, e.errOwnRole()
		}
		t.assign(id, role)
		e.record(Event{Type: EventRoleAssigned, Pool: t.name, Identity: id.ObjectID, Detail: role})
		now, _ := t.roles(id)
		out = append(out, assignment(t.scope, id, now, "assigned"))
	}
	if c.params["identityId"] != "" && len(out) == 1 {
		return jsonReply(http.StatusOK, out[0]), nil
	}
	return jsonReply(http.StatusOK, listOf(out)), nil
}

func (e *Emulator) roleHolder(in roleIn) *identity {
	id := e.knownIdentity(in.UserID)
	if id == nil && in.UserID == "" && in.UniqueName != "" {
		for _, i := range e.identities {
			if strings.EqualFold(i.ObjectID, in.UniqueName) || strings.EqualFold(i.Name, in.UniqueName) {
				id = i
			}
		}
	}
	if id == nil || !id.Member {
		return nil
	}
	return id
}

func (e *Emulator) manageableTarget(c *request) (roleTarget, error) {
	t, err := e.roleTarget(c)
	if err == nil && !t.mayManage {
		err = errNeeds(c.who.display(), "Manage", t.name)
	}
	return t, err
}

// errOwnRole has the portal's text; what the API says is unverified (azure-devops-rest.md, "Unverified" e).
func (e *Emulator) errOwnRole() error {
	status := http.StatusBadRequest
	if e.assumptions.OwnRoleForbidden {
		status = http.StatusForbidden
	}
	return &apiError{status, "VssServiceException", nsCommon, "Cannot modify the role for self identity. Please try with a different identity."}
}

// patchRoleAssignments takes roles away, by storage keys; with inheritPermissions it says whether roles on all pools count
// here, which the emulator takes note of by doing nothing.
func (e *Emulator) patchRoleAssignments(c *request) (reply, error) {
	t, err := e.manageableTarget(c)
	if err != nil || c.query("inheritPermissions") != "" {
		return noContent(), err
	}
	var keys []string
	if err := c.decode(&keys); err != nil {
		return reply{}, err
	}
	return noContent(), e.removeRoles(c, t, keys)
}

func (e *Emulator) deleteRoleAssignment(c *request) (reply, error) {
	t, err := e.manageableTarget(c)
	if err != nil {
		return reply{}, err
	}
	return noContent(), e.removeRoles(c, t, []string{c.params["identityId"]})
}

func (e *Emulator) removeRoles(c *request, t roleTarget, keys []string) error {
	for _, key := range keys {
		id := e.knownIdentity(key)
		if id == nil {
			continue
		}
		if id == c.who.identity {
			return e.errOwnRole()
		}
		if had, _ := t.roles(id); had != "" {
			t.assign(id, "")
			e.record(Event{Type: EventRoleRemoved, Pool: t.name, Identity: id.ObjectID, Detail: had})
		}
	}
	return nil
}
