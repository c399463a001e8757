package azdo

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// preview is asked for by the resources that never left their preview, which
// refuse a plain version (azure-devops-rest.md 0).
const preview = apiVersion + "-preview.1"

// inPreview is the query of such a resource. Clone it before you add to it.
var inPreview = url.Values{"api-version": {preview}}

// User is who the server takes a caller for.
type User struct {
	ID         string     `json:"id"` // the storage key: its id in this organisation, not in Entra ID
	Name       string     `json:"providerDisplayName"`
	Descriptor string     `json:"descriptor"`
	Subject    string     `json:"subjectDescriptor"`
	Properties Properties `json:"properties"`
}

// anonymous is the id of those whom the server does not know, to whom it shows
// what is public (azure-devops-rest.md 1.3).
const anonymous = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"

// Anonymous says that the server did not recognise the caller at all: an answer
// alone is no proof that it did.
func (u User) Anonymous() bool { return u.ID == "" || strings.EqualFold(u.ID, anonymous) }

// ObjectID is a service principal's or managed identity's id in Entra ID; "" for
// others. The account is a user's mail address, where it is a user.
func (u User) ObjectID() string {
	if !strings.Contains(u.Descriptor, "AadServicePrincipal;") {
		return ""
	}
	return u.Properties.Text("Account")
}

// Kind is what sort of account it is, for a sentence.
func (u User) Kind() string {
	switch {
	case strings.Contains(u.Descriptor, "AadServicePrincipal;"):
		return "service principal or managed identity"
	case strings.Contains(u.Descriptor, "ClaimsIdentity;"):
		return "user"
	}
	return "account"
}

// WhoAmI asks the server whom it takes the caller for.
func (c *Client) WhoAmI(ctx context.Context) (User, error) {
	var data struct{ AuthenticatedUser User }
	err := c.get(ctx, "ask Azure DevOps who this is", "_apis/connectionData", inPreview, &data)
	return data.AuthenticatedUser, err
}

// Pools lists the pools that can hold our agents and that the caller may view:
// what it may not is left out without a word (azure-devops-rest.md 2.1).
func (c *Client) Pools(ctx context.Context) ([]Pool, error) {
	var list struct{ Value []Pool }
	err := c.get(ctx, "list the agent pools", "_apis/distributedtask/pools", url.Values{"poolType": {"automation"}}, &list)
	return list.Value, err
}

// Permission is a right on a pool (azure-devops-rest.md 4.3).
type Permission int

// The rights on a pool.
const (
	MayView       Permission = 1
	MayManage     Permission = 2 // register, disable and remove agents
	MayListen     Permission = 4
	MayAdminister Permission = 8 // give roles
	MayUse        Permission = 16
)

// HasPermission says whether the caller has these rights on a pool, all of them.
func (c *Client) HasPermission(ctx context.Context, pool int, rights Permission) (bool, error) {
	var has bool
	err := c.get(ctx, fmt.Sprintf("read the permissions on pool %d", pool), poolPath(pool)+"/permissions/"+strconv.Itoa(int(rights)), inPreview, &has)
	return has, err
}
