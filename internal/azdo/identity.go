package azdo

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// preview is the API version of resources that are still in preview: they refuse a version
// without it (azure-devops-rest.md 0).
const preview = apiVersion + "-preview.1"

// inPreview is the query for such a resource. Clone it before adding to it.
var inPreview = url.Values{"api-version": {preview}}

// User is the server's view of the caller.
type User struct {
	ID         string     `json:"id"` // the storage key: its id in this organisation, not in Entra ID
	Name       string     `json:"providerDisplayName"`
	Descriptor string     `json:"descriptor"`
	Subject    string     `json:"subjectDescriptor"`
	Properties Properties `json:"properties"`
}

// anonymous is the user id for callers that the server does not recognise
// (azure-devops-rest.md 1.3).
const anonymous = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"

// Anonymous says whether the server did not recognise the caller. A success alone does not
// prove that it did.
func (u User) Anonymous() bool { return u.ID == "" || strings.EqualFold(u.ID, anonymous) }

// ObjectID is the id of a service principal or managed identity in Entra ID; "" for others.
// For a person, Account is the mail address.
func (u User) ObjectID() string {
	if !strings.Contains(u.Descriptor, "AadServicePrincipal;") {
		return ""
	}
	return u.Properties.Text("Account")
}

// Kind is the kind of account, for a message.
func (u User) Kind() string {
	switch {
	case strings.Contains(u.Descriptor, "AadServicePrincipal;"):
		return "service principal or managed identity"
	case strings.Contains(u.Descriptor, "ClaimsIdentity;"):
		return "user"
	}
	return "account"
}

// WhoAmI returns the server's view of the caller.
func (c *Client) WhoAmI(ctx context.Context) (User, error) {
	var data struct{ AuthenticatedUser User }
	err := c.get(ctx, "ask Azure DevOps who this is", "_apis/connectionData", inPreview, &data)
	return data.AuthenticatedUser, err
}

// Pools lists the pools for agents that the caller may view. The server leaves out the
// others (azure-devops-rest.md 2.1).
func (c *Client) Pools(ctx context.Context) ([]Pool, error) {
	var list struct{ Value []Pool }
	err := c.get(ctx, "list the agent pools", "_apis/distributedtask/pools", url.Values{"poolType": {"automation"}}, &list)
	return list.Value, err
}

// Permission is a permission on a pool (azure-devops-rest.md 4.3).
type Permission int

// The permissions on a pool.
const (
	MayView       Permission = 1
	MayManage     Permission = 2 // register, disable and remove agents
	MayListen     Permission = 4
	MayAdminister Permission = 8 // assign roles
	MayUse        Permission = 16
)

// HasPermission says whether the caller has all of these permissions on a pool.
func (c *Client) HasPermission(ctx context.Context, pool int, rights Permission) (bool, error) {
	var has bool
	err := c.get(ctx, fmt.Sprintf("read the permissions on pool %d", pool), poolPath(pool)+"/permissions/"+strconv.Itoa(int(rights)), inPreview, &has)
	return has, err
}
