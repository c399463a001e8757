package emulator

import (
	"cmp"
	"maps"
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

func (e *Emulator) getRoleDefinitions(c *request, _ *identity) (any, error) {
	scope := strings.ToLower(c.params["scopeId"])
	return listOf(c, rolesOf(scope), func(_ *request, role string) roleJSON { return wireRole(scope, role) }), nil
}

// roleTarget is a pool, all pools or a queue, on which roles are assigned.
type roleTarget struct {
	scope     string
	name      string
	roles     func(*identity) (assigned, inherited string)
	assign    func(id *identity, role string) // "" removes it
	only      string                          // the role that any assignment comes to, if not ""
	mayView   bool
	mayManage bool
}

// roleTarget returns the target that the request's path names.
func (e *Emulator) roleTarget(c *request) (roleTarget, error) {
	scope, resource := strings.ToLower(c.params["scopeId"]), c.params["resourceId"]
	mayAll := c.who.mayCreatePools()
	switch {
	case scope == scopePool && resource != "0":
		id, _ := strconv.Atoi(resource)
		p := e.pool(id)
		if p == nil || !c.who.may(bitView, p) {
			return roleTarget{}, e.errNoPool(c.who, resource)
		}
		return poolRoles(scope, p.name, true, c.who.may(bitAdminister, p)), nil
	case scope == scopePool: // terraform#1592: an assignment at this place made a Reader of all pools
		t := poolRoles(scope, AllPools, mayAll, mayAll)
		t.only = RoleReader
		return t, nil
	case scope == scopePools && resource != "0":
		return roleTarget{}, errBadRequest("The resource %q is not valid in scope %s.", resource, scope)
	case scope == scopePools:
		return poolRoles(scope, AllPools, mayAll, mayAll), nil
	case scope == scopeQueue:
		return e.queueRoles(c, resource)
	}
	return roleTarget{}, errWebAPI(http.StatusNotFound, "SecurityRoleScopeNotFoundException", "The scope %s does not exist.", scope)
}

// poolRoles is the target of roles on a pool, or on all pools.
func poolRoles(scope, name string, mayView, mayManage bool) roleTarget {
	return roleTarget{scope: scope, name: name, mayView: mayView, mayManage: mayManage,
		roles: func(id *identity) (assigned, inherited string) {
			return id.roleOn(name), choose(name == AllPools, "", id.Roles[AllPools])
		},
		assign: func(id *identity, role string) { id.setRole(name, role) }}
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

// setRole replaces a role, in a new map, because the caller that put the identity still has the old one.
func (i *identity) setRole(pool, role string) {
	roles := Roles{}
	maps.Copy(roles, i.Roles)
	maps.DeleteFunc(roles, func(name, _ string) bool { return strings.EqualFold(name, pool) })
	if role != "" {
		roles[pool] = role
	}
	i.Roles = roles
}

func assignment(scope string, id *identity, role, access string) roleAssignment {
	return roleAssignment{roleIdentity{id.Name, id.storageKey, id.ObjectID}, wireRole(scope, role), access,
		strings.ToUpper(access[:1]) + access[1:]}
}

func (e *Emulator) getRoleAssignments(c *request, t roleTarget) (any, error) {
	if !t.mayView {
		return nil, errNeeds(c.who, "View", t.name)
	}
	out := []roleAssignment{}
	for _, id := range e.sortedIdentities() {
		assigned, inherited := t.roles(id)
		switch {
		case !id.known:
		case assigned != "":
			out = append(out, assignment(t.scope, id, assigned, "assigned"))
		case inherited != "":
			out = append(out, assignment(t.scope, id, inherited, "inherited"))
		}
	}
	return listOf(c, out, asItIs), nil
}

type roleIn struct {
	RoleName   string `json:"roleName"`
	UserID     string `json:"userId"`
	UniqueName string `json:"uniqueName"`
}

// putRoleAssignments assigns roles. Identities that the organisation does not know are ignored: the answer is 200 and
// counts the assignments (azure-devops-rest.md 4.3).
func (e *Emulator) putRoleAssignments(c *request) (any, error) {
	in, one := make([]roleIn, 1), c.params["identityId"]
	body := choose[any](one != "", &in[0], &in)
	if err := c.decode(body); err != nil {
		return nil, err
	}
	if one != "" {
		in[0].UserID = one
	}
	t, err := e.manageableTarget(c)
	if err != nil {
		return nil, err
	}
	out := []roleAssignment{}
	for _, want := range in {
		role := roleNamed(t.scope, want.RoleName)
		if role == "" {
			return nil, errBadRequest("The role %q does not exist in scope %s.", want.RoleName, t.scope)
		}
		id := e.roleHolder(want)
		if id == nil {
			continue
		}
		if id == c.who.identity {
			return nil, e.errOwnRole()
		}
		t.assign(id, cmp.Or(t.only, role))
		e.record(Event{Type: EventRoleAssigned, Pool: t.name, Identity: id.ObjectID, Detail: role})
		now, _ := t.roles(id)
		out = append(out, assignment(t.scope, id, now, "assigned"))
	}
	if one != "" && len(out) == 1 {
		return out[0], nil
	}
	return listOf(c, out, asItIs), nil
}

func (e *Emulator) roleHolder(in roleIn) *identity {
	return first(e.sortedIdentities(), func(i *identity) bool {
		if in.UserID == "" && in.UniqueName != "" {
			return i.Member && (strings.EqualFold(i.ObjectID, in.UniqueName) || strings.EqualFold(i.Name, in.UniqueName))
		}
		return i.Member && strings.EqualFold(i.storageKey, in.UserID)
	})
}

func (e *Emulator) manageableTarget(c *request) (roleTarget, error) {
	t, err := e.roleTarget(c)
	if err == nil && !t.mayManage {
		err = errNeeds(c.who, "Manage", t.name)
	}
	return t, err
}

// errOwnRole has the portal's text; what the API says is unverified (azure-devops-rest.md, "Unverified" e).
func (e *Emulator) errOwnRole() error {
	status := choose(e.assumptions.OwnRoleForbidden, http.StatusForbidden, http.StatusBadRequest)
	return errServer(status, "Cannot modify the role for self identity. Please try with a different identity.")
}

// patchRoleAssignments removes roles, by storage keys; with inheritPermissions it says whether roles on all pools count
// here, which the emulator ignores.
func (e *Emulator) patchRoleAssignments(c *request, t roleTarget) (any, error) {
	if c.query("inheritPermissions") != "" {
		return noContent, nil
	}
	var keys []string
	if err := c.decode(&keys); err != nil {
		return nil, err
	}
	return noContent, e.removeRoles(c, t, keys)
}

func (e *Emulator) deleteRoleAssignment(c *request, t roleTarget) (any, error) {
	return noContent, e.removeRoles(c, t, []string{c.params["identityId"]})
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
