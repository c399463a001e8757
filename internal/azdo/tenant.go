package azdo

import (
	"context"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// Face is what an address turns out to be when somebody unknown asks it.
type Face string

// The faces of an address.
const (
	FaceOrganisation Face = "organisation"    // Azure DevOps answers for an organisation or collection
	FaceNobody       Face = "no organisation" // Azure DevOps, or another server, knows nothing of this name
	FaceElsewhere    Face = "elsewhere"       // it leads to another address, which is no sign-in
	FaceStranger     Face = "stranger"        // whoever answers is not Azure DevOps
	FaceBroken       Face = "broken"          // it cannot answer now
)

// Organisation is what an organisation tells anybody who asks
// (azure-devops-rest.md 0, "Tenant discovery").
type Organisation struct {
	Face   Face
	Status int
	Tenant string    // the Entra tenant it is connected to; "" where it names none: a server of one's own
	Date   time.Time // the server's clock; zero where it tells none
	Target string    // where it leads, of FaceElsewhere
}

// noTenant is what organisations of Microsoft accounts name: Entra's tokens are of
// no use there (azure-devops-rest.md 0).
const noTenant = "00000000-0000-0000-0000-000000000000"

// WithoutEntra says that the organisation is one of Microsoft accounts, which no
// managed identity or service principal can be added to.
func (o Organisation) WithoutEntra() bool { return o.Tenant == noTenant }

// errNoTenant says that an organisation names no tenant: it is not connected to
// Entra ID, or it is no Azure DevOps Services.
var errNoTenant = errors.New("the organisation names no Entra tenant")

var authorizationURI = regexp.MustCompile(`(?i)Bearer authorization_uri=https://[^/\s,]+/([0-9a-zA-Z.-]+)`)

// Greet asks an organisation who it is, as nobody. The error is an *Error without
// a status: there was no answer.
func Greet(ctx context.Context, client *http.Client, organisation string) (Organisation, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(organisation, "/")+"/_apis/connectiondata", nil)
	if err != nil {
		return Organisation{}, err
	}
	req.Header.Set("X-TFS-FedAuthRedirect", "Suppress")
	resp, err := client.Do(req)
	if err != nil {
		return Organisation{}, &Error{Op: "reach the organisation", Cause: plain(err)}
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
	o := Organisation{Status: resp.StatusCode, Tenant: tenantIn(resp.Header)}
	o.Date, _ = http.ParseTime(resp.Header.Get("Date"))
	if o.Face = faceOf(resp, o.Tenant); o.Face == FaceElsewhere {
		o.Target = target(resp)
	}
	return o, nil
}

// tenantIn finds the tenant in the two places that it is named in.
func tenantIn(h http.Header) string {
	for _, challenge := range h.Values("WWW-Authenticate") {
		if found := authorizationURI.FindStringSubmatch(challenge); found != nil {
			return found[1]
		}
	}
	return h.Get("X-VSS-ResourceTenant")
}

// faceOf judges an answer to nobody: a refusal is as good as a welcome, for both
// come from an organisation. What names a tenant is Azure DevOps Services.
func faceOf(resp *http.Response, tenant string) Face {
	switch status := resp.StatusCode; {
	case status >= 500, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		return FaceBroken
	case tenant != "", status == http.StatusUnauthorized, isSignIn(resp) && status != http.StatusOK:
		return FaceOrganisation
	case status/100 == 3:
		return FaceElsewhere
	case status == http.StatusNotFound:
		return FaceNobody
	case isJSON(resp.Header):
		return FaceOrganisation
	}
	return FaceStranger
}

// TenantOf asks an organisation which Entra tenant it is connected to, which it
// tells anybody (identity.md 5). Tokens of other tenants are refused by it.
func TenantOf(ctx context.Context, client *http.Client, organisation string) (string, error) {
	o, err := Greet(ctx, client, organisation)
	if err == nil && o.Tenant == "" {
		err = &Error{Op: "ask for the organisation's tenant", Cause: errNoTenant}
	}
	return o.Tenant, err
}
