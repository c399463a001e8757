package emulator

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Entra ID's own endpoints, for service principals and workload identities, below /{tenant}. The SDK insists on
// https (reference/identity.md 3): serve the emulator with TLS too, and set AZURE_AUTHORITY_HOST to it.

// FederationAudience is the audience of a workload's projected token.
const FederationAudience = "api://AzureADTokenExchange"

// entraTokenLife is the life of an application's token; the real one is drawn from 60 to 90 minutes (reference/identity.md 1.6).
const entraTokenLife = time.Hour

// clusterIssuer is the one cluster whose projected tokens are trusted.
const clusterIssuer = "https://cluster.emulated/"

// entraPath splits a path of Entra ID into the tenant and the resource.
func (e *Emulator) entraPath(segments []string) (tenant, what string, ok bool) {
	if len(segments) < 3 {
		return "", "", false
	}
	switch rest := strings.ToLower(strings.Join(segments[1:], "/")); rest {
	case "v2.0/.well-known/openid-configuration", "oauth2/v2.0/token", "discovery/instance":
		return segments[0], rest, true
	}
	return "", "", false
}

// serveEntra answers for Entra ID. mu is held.
func (e *Emulator) serveEntra(r *http.Request, tenant, what string, body []byte) (reply, string) {
	base := baseOf(r) + "/" + tenant
	switch {
	case what == "discovery/instance":
		return jsonReply(http.StatusOK, map[string]any{"tenant_discovery_endpoint": discoveryOf(r, base), "api-version": "1.1",
			"metadata": []any{map[string]any{"preferred_network": r.Host, "preferred_cache": r.Host, "aliases": []string{r.Host}}}}), ""
	case !e.isKnownTenant(tenant):
		return entraError(http.StatusBadRequest, "invalid_tenant", 90002, "Tenant '"+tenant+"' not found. Check to make sure you have the correct tenant ID."), ""
	case what == "oauth2/v2.0/token":
		return e.entraExchange(r, tenant, body)
	}
	return jsonReply(http.StatusOK, map[string]any{
		"issuer": base + "/v2.0", "authorization_endpoint": base + "/oauth2/v2.0/authorize", "token_endpoint": base + "/oauth2/v2.0/token",
		"jwks_uri": base + "/discovery/v2.0/keys", "response_types_supported": []string{"code"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "private_key_jwt", "client_secret_basic"},
	}), ""
}

// discoveryOf is where to go on. Libraries ask below "common", whatever their tenant is: which one is in the authorization
// endpoint that they ask about (KEDA showed it, docs/conformance.md).
func discoveryOf(r *http.Request, base string) string {
	about, err := url.Parse(queryValue(r.URL.Query(), "authorization_endpoint"))
	if err == nil && about.Host != "" {
		if segments := splitPath(about.Path); len(segments) > 0 {
			base = about.Scheme + "://" + about.Host + "/" + segments[0]
		}
	}
	return base + "/v2.0/.well-known/openid-configuration"
}

func (e *Emulator) isKnownTenant(tenant string) bool {
	if strings.EqualFold(tenant, e.tenantID) {
		return true
	}
	for _, id := range e.identities {
		if strings.EqualFold(id.Tenant, tenant) {
			return true
		}
	}
	return false
}

// entraExchange is grant_type=client_credentials.
func (e *Emulator) entraExchange(r *http.Request, tenant string, body []byte) (reply, string) {
	form, err := url.ParseQuery(string(body))
	if r.Method != http.MethodPost || err != nil || form.Get("grant_type") != "client_credentials" {
		return entraError(http.StatusBadRequest, "invalid_request", 900144, "The request body must contain the parameter 'grant_type'."), ""
	}
	var id *identity
	for _, i := range e.identities {
		if strings.EqualFold(i.ClientID, form.Get("client_id")) && strings.EqualFold(i.Tenant, tenant) {
			id = i
		}
	}
	if id == nil {
		return entraError(http.StatusBadRequest, "unauthorized_client", 700016,
			fmt.Sprintf("Application with identifier '%s' was not found in the directory '%s'.", form.Get("client_id"), tenant)), ""
	}
	if refusal := e.entraProof(r, id, form); refusal != nil {
		return *refusal, ""
	}
	if id.ConditionalAccess == PolicyAtEntra {
		return entraError(http.StatusBadRequest, "invalid_grant", 53003,
			"Access has been blocked by Conditional Access policies. The access policy does not allow token issuance."), ""
	}
	var audience string
	for scope := range strings.FieldsSeq(form.Get("scope")) { // the SDK adds openid, offline_access, profile
		if name, is := strings.CutSuffix(scope, "/.default"); is {
			audience = resources[strings.ToLower(name)]
		}
	}
	if audience == "" {
		return entraError(http.StatusBadRequest, "invalid_scope", 70011, "The provided value for scope '"+form.Get("scope")+"' is not valid."), ""
	}
	t, err := e.entraToken(id, audience, entraTokenLife)
	if err != nil {
		return entraError(http.StatusInternalServerError, "server_error", 90033, "A transient error has occurred."), ""
	}
	e.tokenIssued(id, false)
	left := int(t.to.Sub(t.from).Seconds())
	return jsonReply(http.StatusOK, map[string]any{"token_type": "Bearer", "expires_in": left, "ext_expires_in": left, "access_token": t.token}), id.Name
}

// entraProof says how to refuse what an application proves itself with, nil for what is good.
func (e *Emulator) entraProof(r *http.Request, id *identity, form url.Values) *reply {
	no := func(code int, text string) *reply {
		a := entraError(http.StatusUnauthorized, "invalid_client", code, text)
		return &a
	}
	if given := form.Get("client_secret"); given != "" {
		if id.Secret == "" || given != id.Secret {
			return no(7000215, "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '"+id.ClientID+"'.")
		}
		return nil
	}
	if form.Get("client_assertion_type") != assertionType {
		return no(7000218, "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.")
	}
	assertion := form.Get("client_assertion")
	if assertion != strings.TrimSpace(assertion) {
		return no(50027, "JWT token is invalid or malformed.")
	}
	t, err := decodeJWT(assertion)
	switch {
	case err != nil:
		return no(50027, "JWT token is invalid or malformed.")
	case t.claims.Issuer == clusterIssuer:
		return e.projectedProof(id, t, no)
	}
	return e.certificateProof(r, id, t, no)
}

// projectedProof judges a workload's token: the federated credential of the application names its subject.
func (e *Emulator) projectedProof(id *identity, t *jwt, no func(int, string) *reply) *reply {
	now := e.now()
	switch {
	case !t.verify(&e.key.private.PublicKey) || t.claims.Audience != FederationAudience:
		return no(700211, "No matching federated identity record found for presented assertion issuer '"+clusterIssuer+"'.")
	case id.Subject == "" || t.claims.Subject != id.Subject:
		return no(700213, "No matching federated identity record found for presented assertion subject '"+t.claims.Subject+"'.")
	case now.Before(unixTime(t.claims.NotBefore).Add(-clockSkew)) || !now.Before(unixTime(t.claims.Expires).Add(clockSkew)):
		return no(700024, "Client assertion is not within its valid time range. Current time: "+now.Format(time.RFC3339)+".")
	}
	return nil
}

// certificateProof judges an assertion that the application signed with its certificate's key. Its times are read by
// the clock that Advance does not move: the client's own clock does not move either.
func (e *Emulator) certificateProof(r *http.Request, id *identity, t *jwt, no func(int, string) *reply) *reply {
	block, _ := pem.Decode([]byte(id.Certificate))
	if block == nil {
		return no(700027, "Client assertion contains an invalid signature. No certificate is registered.")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	sum := sha256.Sum256(block.Bytes)
	endpoint := baseOf(r) + "/" + splitPath(r.URL.Path)[0] + "/oauth2/v2.0/token"
	now := e.opts.Now()
	switch {
	case err != nil, !t.head.names(sum[:]):
		return no(700027, "Client assertion contains an invalid signature. The key was not found.")
	case !t.isSignedBy(certificate):
		return no(700027, "Client assertion contains an invalid signature.")
	case t.claims.Issuer != id.ClientID, t.claims.Subject != id.ClientID, t.claims.Audience != endpoint:
		return no(700023, "Client assertion audience claim does not match Realm issuer.")
	case now.Add(clockSkew).Before(unixTime(t.claims.NotBefore)) || !now.Before(unixTime(t.claims.Expires)):
		return no(700024, "Client assertion is not within its valid time range.")
	}
	return nil
}

// ProjectedToken is what a cluster would project for a subject: "system:serviceaccount:agents:pool".
func (e *Emulator) ProjectedToken(subject string) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	return e.key.sign(map[string]any{"iss": clusterIssuer, "sub": subject, "aud": FederationAudience,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(), "jti": newGUID()})
}

// Tenant is the organisation's tenant.
func (e *Emulator) Tenant() string { return e.tenantID }

// entraError is Entra ID's error form (reference/identity.md 1.2, where some of the codes are from; the others are recalled. Nobody
// should branch on them).
func entraError(status int, name string, code int, text string) reply {
	trace, correlation := newGUID(), newGUID()
	body, _ := json.Marshal(map[string]any{
		"error": name, "error_codes": []int{code}, "trace_id": trace, "correlation_id": correlation,
		"error_description": fmt.Sprintf("AADSTS%d: %s Trace ID: %s Correlation ID: %s Timestamp: %s", code, text, trace, correlation,
			time.Now().UTC().Format("2006-01-02 15:04:05Z")),
	})
	return reply{status: status, contentType: jsonType, body: body}
}
