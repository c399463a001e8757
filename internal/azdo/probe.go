package azdo

import (
	"context"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/httpclient"
	"github.com/azptend/azptend/internal/retry"
)

// EndpointKind is what an address turns out to be when somebody unknown asks it.
type EndpointKind string

// The faces of an address.
const (
	OrganisationFound   EndpointKind = "organisation"    // Azure DevOps answers for an organisation or collection
	NoSuchOrganisation  EndpointKind = "no organisation" // Azure DevOps, or another server, knows nothing of this name
	RedirectsElsewhere  EndpointKind = "elsewhere"       // it leads to another address, which is no sign-in
	NotAzureDevOps      EndpointKind = "stranger"        // whoever answers is not Azure DevOps
	EndpointUnavailable EndpointKind = "broken"          // it cannot answer now
)

// Endpoint is what an organisation tells anybody who asks
// (azure-devops-rest.md 0, "Tenant discovery").
type Endpoint struct {
	Kind   EndpointKind
	Status int
	Tenant string    // the Entra tenant it is connected to; "" where it names none: a server of one's own
	Date   time.Time // the server's clock; zero where it tells none
	Target string    // where it leads, of FaceElsewhere
}

// NoTenant is what organisations of Microsoft accounts name. No managed identity or
// service principal can be added to them (azure-devops-rest.md 0).
const NoTenant = "00000000-0000-0000-0000-000000000000"

// errNoTenant says that an organisation names no tenant: it is not connected to
// Entra ID, or it is no Azure DevOps Services.
var errNoTenant = errors.New("the organisation names no Entra tenant")

var authorizationURI = regexp.MustCompile(`(?i)Bearer authorization_uri=https://[^/\s,]+/([0-9a-zA-Z.-]+)`)

// Probe asks an organisation who it is, as nobody. The error is an *Error without
// a status: there was no answer.
func Probe(ctx context.Context, client *http.Client, organisation string) (Endpoint, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(organisation, "/")+"/_apis/connectiondata", nil)
	if err != nil {
		return Endpoint{}, err
	}
	req.Header.Set("X-TFS-FedAuthRedirect", "Suppress")
	resp, err := client.Do(req)
	if err != nil {
		return Endpoint{}, &Error{Op: "reach the organisation", Cause: httpclient.WithoutURL(err)}
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
	o := Endpoint{Status: resp.StatusCode, Tenant: tenantFrom(resp.Header)}
	o.Date, _ = http.ParseTime(resp.Header.Get("Date"))
	if o.Kind = endpointKindOf(resp, o.Tenant); o.Kind == RedirectsElsewhere {
		o.Target = redirectTarget(resp)
	}
	return o, nil
}

// tenantFrom finds the tenant in the two places that it is named in.
func tenantFrom(h http.Header) string {
	for _, challenge := range h.Values("WWW-Authenticate") {
		if found := authorizationURI.FindStringSubmatch(challenge); found != nil {
			return found[1]
		}
	}
	return h.Get("X-VSS-ResourceTenant")
}

// endpointKindOf judges an answer to nobody: a refusal is as good as a welcome, for both
// come from an organisation. What names a tenant is Azure DevOps Services.
func endpointKindOf(resp *http.Response, tenant string) EndpointKind {
	switch status := resp.StatusCode; {
	case retry.IsTransientStatus(status):
		return EndpointUnavailable
	case tenant != "", status == http.StatusUnauthorized, isSignIn(resp) && status != http.StatusOK:
		return OrganisationFound
	case status/100 == 3:
		return RedirectsElsewhere
	case status == http.StatusNotFound:
		return NoSuchOrganisation
	case isJSON(resp.Header):
		return OrganisationFound
	}
	return NotAzureDevOps
}

// TenantOf asks an organisation which Entra tenant it is connected to, which it
// tells anybody (reference/identity.md 5). Tokens of other tenants are refused by it.
func TenantOf(ctx context.Context, client *http.Client, organisation string) (string, error) {
	o, err := Probe(ctx, client, organisation)
	if err == nil && o.Tenant == "" {
		err = &Error{Op: "ask for the organisation's tenant", Cause: errNoTenant}
	}
	return o.Tenant, err
}
