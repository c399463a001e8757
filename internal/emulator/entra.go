package emulator

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Entra ID's own endpoints, for service principals and workload identities, below /{tenant}. The SDK insists on
// https (reference/identity.md 3): serve the emulator with TLS too, and set AZURE_AUTHORITY_HOST to it.

// FederationAudience is the audience of a workload's projected token.
const FederationAudience = "api://AzureADTokenExchange"

// entraTokenLife is the life of an application's token; the real one is drawn from 60 to 90 minutes (reference/identity.md 1.6).
const entraTokenLife = time.Hour

// clusterIssuer is the issuer of projected tokens that is trusted.
const clusterIssuer = "https://cluster.emulated/"

// entraResource returns the resource that a path of Entra ID names after the tenant; "" for other paths.
func entraResource(segments []string) string {
	if len(segments) < 3 {
		return ""
	}
	switch rest := strings.ToLower(strings.Join(segments[1:], "/")); rest {
	case "v2.0/.well-known/openid-configuration", "oauth2/v2.0/token", "discovery/instance":
		return rest
	}
	return ""
}

// serveEntra answers for Entra ID. mu is held.
func (e *Emulator) serveEntra(c *request) reply {
	tenant, what := c.segments[0], entraResource(c.segments)
	base := c.base + "/" + tenant
	switch {
	case what == "discovery/instance":
		return jsonReply(http.StatusOK, obj{"tenant_discovery_endpoint": discoveryOf(c, base), "api-version": "1.1",
			"metadata": []obj{{"preferred_network": c.http.Host, "preferred_cache": c.http.Host, "aliases": []string{c.http.Host}}}})
	case !e.isKnownTenant(tenant):
		return entraError(http.StatusBadRequest, "invalid_tenant", 90002, "Tenant '%s' not found. Check to make sure you have the correct tenant ID.", tenant)
	case what == "oauth2/v2.0/token":
		return e.entraExchange(c, tenant)
	}
	return jsonReply(http.StatusOK, obj{
		"issuer": base + "/v2.0", "authorization_endpoint": base + "/oauth2/v2.0/authorize", "token_endpoint": base + "/oauth2/v2.0/token",
		"jwks_uri": base + "/discovery/v2.0/keys", "response_types_supported": []string{"code"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "private_key_jwt", "client_secret_basic"},
	})
}

// discoveryOf returns the address of the tenant's metadata. Libraries ask below "common", whatever their tenant is. The
// authorization endpoint in their request names the tenant (KEDA showed it, docs/conformance.md).
func discoveryOf(c *request, base string) string {
	about, err := url.Parse(c.query("authorization_endpoint"))
	if err == nil && about.Host != "" {
		if segments := splitPath(about.Path); len(segments) > 0 {
			base = about.Scheme + "://" + about.Host + "/" + segments[0]
		}
	}
	return base + "/v2.0/.well-known/openid-configuration"
}

func (e *Emulator) isKnownTenant(tenant string) bool {
	return strings.EqualFold(tenant, e.Tenant) ||
		slices.ContainsFunc(e.sortedIdentities(), func(id *identity) bool { return strings.EqualFold(id.Tenant, tenant) })
}

// entraExchange is grant_type=client_credentials.
func (e *Emulator) entraExchange(c *request, tenant string) reply {
	form, err := url.ParseQuery(string(c.body))
	if c.http.Method != http.MethodPost || err != nil || form.Get("grant_type") != "client_credentials" {
		return entraError(http.StatusBadRequest, "invalid_request", 900144, "The request body must contain the parameter 'grant_type'.")
	}
	id := first(e.sortedIdentities(), func(i *identity) bool {
		return strings.EqualFold(i.ClientID, form.Get("client_id")) && strings.EqualFold(i.Tenant, tenant)
	})
	if id == nil {
		return entraError(http.StatusBadRequest, "unauthorized_client", 700016,
			"Application with identifier '%s' was not found in the directory '%s'.", form.Get("client_id"), tenant)
	}
	if code, text := e.entraProof(c, id, form); code != 0 {
		return entraError(http.StatusUnauthorized, "invalid_client", code, "%s", text)
	}
	if id.ConditionalAccess == PolicyAtEntra {
		return entraError(http.StatusBadRequest, "invalid_grant", 53003,
			"Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.")
	}
	var audience string
	for scope := range strings.FieldsSeq(form.Get("scope")) { // the SDK adds openid, offline_access, profile
		if name, is := strings.CutSuffix(scope, "/.default"); is {
			audience = audienceOf(name)
		}
	}
	if audience == "" {
		return entraError(http.StatusBadRequest, "invalid_scope", 70011, "The provided value for scope '%s' is not valid.", form.Get("scope"))
	}
	t, err := e.entraToken(id, audience, entraTokenLife)
	if err != nil {
		return entraError(http.StatusInternalServerError, "server_error", 90033, "A transient error has occurred.")
	}
	e.tokenIssued(c, id, "fresh")
	left := int(t.to.Sub(t.from).Seconds())
	return jsonReply(http.StatusOK, obj{"token_type": "Bearer", "expires_in": left, "ext_expires_in": left, "access_token": t.token})
}

// entraProof returns the code and text of the refusal of what an application proves itself with, 0 for what is good.
func (e *Emulator) entraProof(c *request, id *identity, form url.Values) (code int, text string) {
	secret, assertion := form.Get("client_secret"), form.Get("client_assertion")
	t, err := parseJWT(assertion)
	switch {
	case secret != "" && id.Secret == secret:
		return 0, ""
	case secret != "":
		return 7000215, "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '" + id.ClientID + "'."
	case form.Get("client_assertion_type") != assertionType:
		return 7000218, "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."
	case err != nil, assertion != strings.TrimSpace(assertion):
		return 50027, "JWT token is invalid or malformed."
	case t.claims.Issuer == clusterIssuer:
		return e.projectedProof(id, t)
	}
	return e.certificateProof(c, id, t)
}

// projectedProof judges a workload's token: the federated credential of the application names its subject.
func (e *Emulator) projectedProof(id *identity, t *jwt) (code int, text string) {
	now := e.Now()
	switch {
	case !t.verify(&e.key.PublicKey) || t.claims.Audience != FederationAudience:
		return 700211, "No matching federated identity record found for presented assertion issuer '" + clusterIssuer + "'."
	case id.Subject == "" || t.claims.Subject != id.Subject:
		return 700213, "No matching federated identity record found for presented assertion subject '" + t.claims.Subject + "'."
	case now.Before(unixTime(t.claims.NotBefore).Add(-clockSkew)) || !now.Before(unixTime(t.claims.Expires).Add(clockSkew)):
		return 700024, "Client assertion is not within its valid time range. Current time: " + now.Format(time.RFC3339) + "."
	}
	return 0, ""
}

// certificateProof judges an assertion that the application signed with its certificate's key. Its times are read by
// the clock that Advance does not move: the client's own clock does not move either.
func (e *Emulator) certificateProof(c *request, id *identity, t *jwt) (code int, text string) {
	block, _ := pem.Decode([]byte(id.Certificate))
	if block == nil {
		return 700027, "Client assertion contains an invalid signature. No certificate is registered."
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	sum := sha256.Sum256(block.Bytes)
	endpoint := c.base + "/" + c.segments[0] + "/oauth2/v2.0/token"
	now := e.opts.Now()
	switch {
	case err != nil, !t.head.names(sum[:]):
		return 700027, "Client assertion contains an invalid signature. The key was not found."
	case !t.isSignedBy(certificate):
		return 700027, "Client assertion contains an invalid signature."
	case t.claims.Issuer != id.ClientID, t.claims.Subject != id.ClientID, t.claims.Audience != endpoint:
		return 700023, "Client assertion audience claim does not match Realm issuer."
	case now.Add(clockSkew).Before(unixTime(t.claims.NotBefore)) || !now.Before(unixTime(t.claims.Expires)):
		return 700024, "Client assertion is not within its valid time range."
	}
	return 0, ""
}

// ProjectedToken is what a cluster would project for a subject: "system:serviceaccount:agents:pool".
func (e *Emulator) ProjectedToken(subject string) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.Now()
	return e.sign(map[string]any{"iss": clusterIssuer, "sub": subject, "aud": FederationAudience,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(), "jti": newGUID()})
}

// entraError is Entra ID's error form (reference/identity.md 1.2, where some of the codes are from; the others are recalled. Nobody
// should branch on them).
func entraError(status int, name string, code int, format string, args ...any) reply {
	trace, correlation := newGUID(), newGUID()
	return jsonReply(status, obj{
		"error": name, "error_codes": []int{code}, "trace_id": trace, "correlation_id": correlation,
		"error_description": fmt.Sprintf("AADSTS%d: %s Trace ID: %s Correlation ID: %s Timestamp: %s", code, fmt.Sprintf(format, args...), trace, correlation,
			time.Now().UTC().Format("2006-01-02 15:04:05Z")),
	})
}
