package azdo

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"
)

// errNoTenant says that an organisation names no tenant: it is not connected to
// Entra ID, or it is no Azure DevOps Services.
var errNoTenant = errors.New("the organisation names no Entra tenant")

var authorizationURI = regexp.MustCompile(`(?i)Bearer authorization_uri=https://[^/\s,]+/([0-9a-zA-Z.-]+)`)

// TenantOf asks an organisation which Entra tenant it is connected to, which it
// tells anybody (identity.md 5). Tokens of other tenants are refused by it.
func TenantOf(ctx context.Context, client *http.Client, organisation string) (string, error) {
	const op = "ask for the organisation's tenant"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(organisation, "/")+"/_apis/connectiondata", nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("X-TFS-FedAuthRedirect", "Suppress")
	resp, err := client.Do(req)
	if err != nil {
		return "", &Error{Op: op, Cause: plain(err)}
	}
	resp.Body.Close()
	for _, challenge := range resp.Header.Values("WWW-Authenticate") {
		if found := authorizationURI.FindStringSubmatch(challenge); found != nil {
			return found[1], nil
		}
	}
	return "", &Error{Op: op, Cause: errNoTenant}
}
