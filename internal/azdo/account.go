package azdo

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// The areas that other hosts than the organisation's own serve
// (azure-devops-rest.md 1.2).
const (
	areaEntitlements = "68ddce18-2501-45f1-a17b-7931a9922690"
	areaGraph        = "bb1e7ec9-e901-4b68-999a-de7012b920f8"
)

// ErrAzureDevOpsServer says that the address is a server of one's own, which knows neither
// Entra's identities nor licences (azure-devops-rest.md 0).
var ErrAzureDevOpsServer = errors.New("it is an Azure DevOps Server, to which managed identities and service principals cannot be added")

// ErrForeignHost says that the organisation names an address at which azptend does
// not show its token.
var ErrForeignHost = errors.New("its address is neither on the organisation's own host nor one of Azure DevOps'")

// Account is an organisation's users: who they are, their licences. It is made by
// [Client.Account], and is as safe for several goroutines as the client.
type Account struct {
	client       *Client
	entitlements string // where the licences are, no trailing slash
	graph        string // where the users are
}

// Account finds the hosts that an organisation's users are on. The organisation
// tells them itself, so that its old address, its new one and an emulator all do.
// A server of one's own names none: the error is ErrAzureDevOpsServer.
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

// mayReceiveToken says whether an address that a server told may get what the
// organisation's own gets: it is on the same host, or Azure DevOps' by its name
// and by TLS.
func mayReceiveToken(organisation, told string) bool {
	o, err1 := url.Parse(organisation)
	t, err2 := url.Parse(told)
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
