package azdo

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// The areas that are served by other hosts than the organisation's (azure-devops-rest.md
// 1.2).
const (
	areaEntitlements = "68ddce18-2501-45f1-a17b-7931a9922690"
	areaGraph        = "bb1e7ec9-e901-4b68-999a-de7012b920f8"
)

// ErrAzureDevOpsServer says that the address is an Azure DevOps Server (on premises), which
// has neither Entra identities nor licences (azure-devops-rest.md 0).
var ErrAzureDevOpsServer = errors.New("it is an Azure DevOps Server, to which managed identities and service principals cannot be added")

// ErrForeignHost says that the organisation names an address to which azptend does not send
// its token.
var ErrForeignHost = errors.New("its address is neither on the organisation's own host nor one of Azure DevOps'")

// Account calls the APIs for an organisation's users and their licences. [Client.Account]
// makes it. It is safe for concurrent use.
type Account struct {
	client       *Client
	entitlements string // URL of the API for licences, no trailing slash
	graph        string // URL of the API for users
}

// Account finds the hosts of the APIs for users. The organisation returns them, so this
// works with its old address, its new one and an emulator. An Azure DevOps Server returns
// none: the error is ErrAzureDevOpsServer.
func (c *Client) Account(ctx context.Context) (*Account, error) {
	const op = "find the organisation's users"
	var list struct {
		Value []struct{ ID, LocationURL string }
	}
	err := c.get(ctx, op, "_apis/ResourceAreas", inPreview, &list)
	if err != nil {
		return nil, err
	}
	if len(list.Value) == 0 {
		return nil, fmt.Errorf("cannot %s: %w", op, ErrAzureDevOpsServer)
	}
	where := map[string]string{}
	for _, area := range list.Value {
		where[strings.ToLower(area.ID)] = strings.TrimRight(area.LocationURL, "/")
	}
	for _, area := range []string{areaEntitlements, areaGraph} {
		if where[area] == "" {
			return nil, fmt.Errorf("cannot %s: the organisation does not name the host of area %s", op, area)
		}
		if !mayReceiveToken(c.base, where[area]) {
			return nil, fmt.Errorf("cannot %s at %s: %w", op, oneLine(where[area]), ErrForeignHost)
		}
	}
	return &Account{client: c, entitlements: where[areaEntitlements], graph: where[areaGraph]}, nil
}

// mayReceiveToken says whether azptend may send its token to an address that a server
// returned: the host must be that of the organisation, or one of Azure DevOps with TLS.
func mayReceiveToken(organisation, address string) bool {
	o, err1 := url.Parse(organisation)
	t, err2 := url.Parse(address)
	if err1 != nil || err2 != nil || t.User != nil {
		return false
	}
	if strings.EqualFold(o.Scheme, t.Scheme) && strings.EqualFold(o.Host, t.Host) {
		return true
	}
	host := strings.ToLower(t.Hostname())
	return t.Scheme == "https" && (t.Port() == "" || t.Port() == "443") &&
		(host == "dev.azure.com" || strings.HasSuffix(host, ".dev.azure.com") || strings.HasSuffix(host, ".visualstudio.com"))
}
