package azdo

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// The scopes of roles: on one pool, and on all pools, whose only resource is 0
// (azure-devops-rest.md 4.3).
const (
	poolRoles     = "distributedtask.agentpoolrole"
	allPoolsRoles = "distributedtask.globalagentpoolrole"
)

// Role is a role on a pool.
type Role struct {
	Name        string `json:"name"`        // in the API
	DisplayName string `json:"displayName"` // in the portal
	Allow       int    `json:"allowPermissions"`
}

// Is says whether name is one of the role's names.
func (r Role) Is(name string) bool {
	return strings.EqualFold(r.Name, name) || strings.EqualFold(r.DisplayName, name)
}

// String is the role's name in the portal.
func (r Role) String() string { return cmp.Or(r.DisplayName, r.Name) }

// RoleAssignment is a role of an identity on a pool.
type RoleAssignment struct {
	Identity struct {
		ID   string `json:"id"` // the storage key
		Name string `json:"displayName"`
	} `json:"identity"`
	Role   Role   `json:"role"`
	Access string `json:"access"` // "assigned" on this pool, or "inherited" from all pools
}

// PoolRoles lists the possible roles on pools.
func (c *Client) PoolRoles(ctx context.Context) ([]Role, error) {
	var list struct{ Value []Role }
	err := c.get(ctx, "list the roles on agent pools", "_apis/securityroles/scopes/"+poolRoles+"/roledefinitions", inPreview, &list)
	return list.Value, err
}

// RoleAssignments lists the roles that identities have on a pool.
func (c *Client) RoleAssignments(ctx context.Context, pool int) ([]RoleAssignment, error) {
	var list struct{ Value []RoleAssignment }
	err := c.get(ctx, fmt.Sprintf("list the roles on pool %d", pool), assignmentsPath(pool), inPreview, &list)
	return list.Value, err
}

// AllPoolsAssignments lists the roles that identities have on all pools.
func (c *Client) AllPoolsAssignments(ctx context.Context) ([]RoleAssignment, error) {
	var list struct{ Value []RoleAssignment }
	err := c.do(ctx, request{
		op: "list the roles on all pools", method: http.MethodGet, query: inPreview, into: &list,
		path: "_apis/securityroles/scopes/" + allPoolsRoles + "/roleassignments/resources/0",
	})
	return list.Value, err
}

// AssignRole assigns a role on a pool to a user, by its storage key. For an unknown user the
// service answers 200 and does nothing: then the error is a *RefusedError
// (azure-devops-rest.md 4.3).
func (c *Client) AssignRole(ctx context.Context, pool int, key, role string) error {
	op := fmt.Sprintf("give identity %s the role %s on pool %d", key, role, pool)
	var list struct{ Value []RoleAssignment }
	err := c.do(ctx, request{
		op: op, method: http.MethodPut, path: assignmentsPath(pool), into: &list,
		body:  []map[string]string{{"roleName": role, "userId": key}},
		query: inPreview,
	})
	if err != nil {
		return err
	}
	for _, a := range list.Value {
		if strings.EqualFold(a.Identity.ID, key) {
			return nil
		}
	}
	return &RefusedError{Op: op, Reason: "no reason, but it did nothing: it does not know that identity"}
}

// RemoveRole removes a user's role on a pool. An inherited role stays.
func (c *Client) RemoveRole(ctx context.Context, pool int, key string) error {
	return c.do(ctx, request{
		op: fmt.Sprintf("take the role of identity %s on pool %d", key, pool), method: http.MethodPatch, path: assignmentsPath(pool),
		body: []string{key}, query: inPreview,
	})
}

func assignmentsPath(pool int) string {
	return "_apis/securityroles/scopes/" + poolRoles + "/roleassignments/resources/" + strconv.Itoa(pool)
}

// AddPool creates a pool. The server ignores autoUpdate false here: set it afterwards with
// [Client.SetAutoUpdate] (azure-devops-rest.md 2.1).
func (c *Client) AddPool(ctx context.Context, name string) (Pool, error) {
	op := fmt.Sprintf("create agent pool %q", name)
	var p Pool
	err := c.do(ctx, request{
		op: op, method: http.MethodPost, path: "_apis/distributedtask/pools", into: &p,
		body: map[string]any{"name": name, "poolType": "automation", "autoProvision": false, "autoUpdate": true},
	})
	if err == nil && p.ID == 0 {
		err = invalid(op, "it names no pool")
	}
	return p, err
}

// SetAutoUpdate sets whether the server asks the pool's agents to update themselves.
func (c *Client) SetAutoUpdate(ctx context.Context, pool int, on bool) error {
	return c.do(ctx, request{
		op: fmt.Sprintf("set the updates of pool %d", pool), method: http.MethodPatch,
		path: poolPath(pool), body: map[string]any{"id": pool, "autoUpdate": on},
	})
}
