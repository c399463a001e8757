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

// EndpointKind is what is at an address, according to the answer to an anonymous request.
type EndpointKind string

// The kinds.
const (
	OrganisationFound   EndpointKind = "organisation"    // Azure DevOps, with this organisation or collection
	NoSuchOrganisation  EndpointKind = "no organisation" // Azure DevOps, or another server, without this name
	RedirectsElsewhere  EndpointKind = "elsewhere"       // it redirects to another address, which is not a sign-in page
	NotAzureDevOps      EndpointKind = "stranger"        // another server answers
	EndpointUnavailable EndpointKind = "broken"          // it cannot answer now
)

// Endpoint is what an organisation answers to an anonymous request (azure-devops-rest.md 0,
// "Tenant discovery").
type Endpoint struct {
	Kind   EndpointKind
	Status int
	Tenant string    // its Entra tenant; "" if it names none, as an Azure DevOps Server
	Date   time.Time // the server's time; zero if the answer has none
	Target string    // of RedirectsElsewhere
}

// NoTenant is the tenant of organisations with Microsoft accounts: no managed identity or
// service principal can be added to them (azure-devops-rest.md 0).
const NoTenant = "00000000-0000-0000-0000-000000000000"

// errNoTenant says that an organisation names no tenant: it is not connected to Entra ID, or
// it is not on Azure DevOps Services.
var errNoTenant = errors.New("the organisation names no Entra tenant")

var authorizationURI = regexp.MustCompile(`(?i)Bearer authorization_uri=https://[^/\s,]+/([0-9a-zA-Z.-]+)`)

// Probe sends an anonymous request to an organisation. It returns an error, an *Error without
// a status, only if there was no answer.
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
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be reused
	o := Endpoint{Status: resp.StatusCode, Tenant: tenantFrom(resp.Header)}
	o.Date, _ = http.ParseTime(resp.Header.Get("Date"))
	if o.Kind = endpointKindOf(resp, o.Tenant); o.Kind == RedirectsElsewhere {
		o.Target = redirectTarget(resp)
	}
	return o, nil
}

// tenantFrom finds the tenant in one of the two headers that may contain it.
func tenantFrom(h http.Header) string {
	for _, challenge := range h.Values("WWW-Authenticate") {
		if found := authorizationURI.FindStringSubmatch(challenge); found != nil {
			return found[1]
		}
	}
	return h.Get("X-VSS-ResourceTenant")
}

// endpointKindOf interprets the answer to an anonymous request. A refusal shows an
// organisation as well as a success does. An answer with a tenant is of Azure DevOps
// Services.
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

// TenantOf returns the Entra tenant that an organisation is connected to (reference/identity.md
// 5). It refuses tokens of other tenants.
func TenantOf(ctx context.Context, client *http.Client, organisation string) (string, error) {
	o, err := Probe(ctx, client, organisation)
	if err == nil && o.Tenant == "" {
		err = &Error{Op: "ask for the organisation's tenant", Cause: errNoTenant}
	}
	return o.Tenant, err
}
