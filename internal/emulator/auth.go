package emulator

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// principal is the caller. Exactly one of the pointers is set; none for an anonymous call.
type principal struct {
	identity *identity
	pat      *PAT // how the identity proved itself, if by a PAT

	isAnonymous bool // unknown; sees only what is public
	unlicensed  bool // it has no licence, and without one sees no pool

	isAgent bool
	poolID  int
	agentID int
	agent   *agent // nil when it was removed since its token was issued

	job *job
}

// label is the principal in the records.
func (p principal) label() string {
	switch {
	case p.pat != nil:
		return "pat:" + p.pat.Name
	case p.identity != nil:
		return "identity:" + p.identity.Name
	case p.isAgent && p.agent != nil:
		return "agent:" + p.agent.name
	case p.isAgent:
		return "agent:" + strconv.Itoa(p.agentID) + " (removed)"
	case p.job != nil:
		return "job:" + strconv.FormatInt(p.job.requestID, 10)
	}
	return ""
}

// display is the principal in error messages.
func (p principal) display() string {
	switch {
	case p.identity != nil:
		return p.identity.Name
	case p.agent != nil:
		return p.agent.name
	case p.job != nil:
		return "Project Collection Build Service (" + p.job.project.id + ")"
	}
	return ""
}

// scheme is how a credential came.
type scheme int

const (
	schemeNone scheme = iota
	schemeBearer
	schemeBasic
	schemeUnknown
)

// parseAuthorization splits an Authorization header. Of Basic only the password counts: agents say "VstsAgent", KEDA
// nothing, terraform "_" (azure-devops-rest.md 0).
func parseAuthorization(h string) (scheme, string) {
	kind, rest, _ := strings.Cut(strings.TrimSpace(h), " ")
	rest = strings.TrimSpace(rest)
	switch {
	case kind == "":
		return schemeNone, ""
	case strings.EqualFold(kind, "Bearer"):
		return schemeBearer, rest
	case strings.EqualFold(kind, "Basic"):
		raw, err := base64.StdEncoding.DecodeString(rest)
		if err != nil {
			return schemeUnknown, ""
		}
		_, password, ok := strings.Cut(string(raw), ":")
		if !ok {
			return schemeUnknown, ""
		}
		return schemeBasic, password
	}
	return schemeUnknown, ""
}

// authenticate returns the caller, or the refusal. Rows of azure-devops-rest.md 5 are named at each refusal.
func (e *Emulator) authenticate(c *request) (principal, error) {
	kind, secret := parseAuthorization(c.http.Header.Get("Authorization"))
	if kind == schemeNone || secret == "" && kind != schemeUnknown {
		return e.unknownCaller(c, kind, textNoAccess("")) // no or blank token
	}
	if kind == schemeBasic {
		if p := e.pats[secret]; p != nil && !p.Revoked {
			return e.authenticatePAT(c, p)
		}
	}
	t, err := parseJWT(secret)
	if kind == schemeUnknown || err != nil || !t.verify(&e.key.PublicKey) {
		return e.unknownCaller(c, kind, "") // invalid token
	}
	now := float64(e.Now().Unix())
	if now >= t.claims.Expires || now+clockSkew.Seconds() < t.claims.NotBefore {
		if e.assumptions.ExpiredTokenSignIn {
			return principal{}, e.signIn(c, kind)
		}
		return principal{}, e.refuse(c, kind, "") // expired token
	}
	switch t.claims.Kind {
	case "agent":
		who := principal{isAgent: true, poolID: t.claims.PoolID, agentID: t.claims.AgentID}
		if p := e.pool(who.poolID); p != nil {
			who.agent = p.agent(who.agentID)
		}
		return who, nil
	case "job":
		if j := first(e.jobs, func(j *job) bool { return j.jobID == t.claims.JobID }); j != nil {
			return principal{job: j}, nil
		}
		return principal{}, e.refuse(c, kind, "")
	}
	return e.authenticateEntra(c, kind, t.claims)
}

func (e *Emulator) authenticatePAT(c *request, p *PAT) (principal, error) {
	if !p.Expires.IsZero() && !e.Now().Before(p.Expires) { // row "expired PAT"
		return principal{}, e.refuse(c, schemeBasic, "Access Denied: The Personal Access Token used has expired.")
	}
	id := e.identities[p.Owner]
	if why := e.membership(id); why != "" {
		return principal{}, e.refuse(c, schemeBasic, why)
	}
	if !p.allows(c.http.Method, c.route.scope) { // row "PAT lacks vso.agentpools(_manage)": 401, empty
		return principal{}, e.challenge(c, "")
	}
	id.lastAccess = e.Now()
	return principal{identity: id, pat: p, unlicensed: e.isUnlicensed(id)}, nil
}

// allows reports whether the PAT's scopes cover a method. A scope to manage or write includes reading.
func (p *PAT) allows(method, scope string) bool {
	scope = cmp.Or(scope, "vso.agentpools")
	read := method == http.MethodGet || method == http.MethodHead
	return len(p.Scopes) == 0 || slices.ContainsFunc(p.Scopes, func(s string) bool {
		return s == scope+"_manage" || s == scope+"_write" || s == scope && read
	})
}

func (e *Emulator) authenticateEntra(c *request, kind scheme, claims jwtClaims) (principal, error) {
	if claims.Audience != DevOpsResource && claims.Audience != "https://app.vssps.visualstudio.com" {
		return principal{}, e.refuse(c, kind, "") // row "token for wrong audience"
	}
	if !strings.EqualFold(claims.Tenant, e.policies.tenant(e.Tenant)) { // row "wrong tenant token"
		if e.assumptions.WrongTenantThrottled {
			return principal{}, errBlocked("Concurrency", "VSID"). // the 429 of azure-devops-rest.md 3
										setHeader("Retry-After", "619").setHeader("X-RateLimit-Limit", "4000").setHeader("X-RateLimit-Remaining", "0")
		}
		return principal{}, e.refuse(c, kind, "")
	}
	id := e.identities[strings.ToLower(claims.ObjectID)]
	if id == nil { // it was never put here, so the organisation does not know it
		id = &identity{Identity: Identity{ObjectID: claims.ObjectID, Tenant: claims.Tenant}}
	}
	if why := e.membership(id); why != "" {
		// The caller is known to Entra, so there is nothing to sign in to again: 401 with a body, redirect or not.
		return principal{}, e.challenge(c, why)
	}
	if id.ConditionalAccess == PolicyAtService { // row "conditional access / IP"
		return principal{}, errServer(http.StatusForbidden, "VS403463: The conditional access policy defined by your Microsoft Entra administrator has failed.")
	}
	id.lastAccess = e.Now() // which makes a licence that was pending an active one
	return principal{identity: id, unlicensed: e.isUnlicensed(id)}, nil
}

// isUnlicensed reports whether an identity sees no pool because it has no licence.
func (e *Emulator) isUnlicensed(id *identity) bool {
	return e.assumptions.UnlicensedSeesNothing && (id.License == "" || id.License == "none")
}

// membership is empty for an identity the organisation lets in, else the text of the 401.
func (e *Emulator) membership(id *identity) string {
	switch {
	case !id.Member: // the tenant twice, then the object id (azure-devops-rest.md 5)
		return fmt.Sprintf(`TF401444: Please sign-in at least once as %s\%s\%s in a web browser to enable access to the service.`,
			id.Tenant, id.Tenant, id.ObjectID)
	case id.Refused:
		return textNoAccess(id.storageKey)
	}
	return ""
}

// refuse answers a call without a usable credential: 401 for a client that suppresses the sign-in, else the sign-in
// itself: 203 with HTML for Basic, which is what KEDA and curl users see of a bad PAT, 302 for the rest.
func (e *Emulator) refuse(c *request, kind scheme, message string) reply {
	if strings.EqualFold(c.http.Header.Get("X-TFS-FedAuthRedirect"), "Suppress") {
		return e.challenge(c, message)
	}
	return e.signIn(c, kind)
}

// signIn leads to where a person signs in.
func (e *Emulator) signIn(c *request, kind scheme) reply {
	if kind == schemeBasic {
		return signInPage(http.StatusNonAuthoritativeInfo)
	}
	back := url.Values{"realm": {c.http.Host}, "reply_to": {c.base + c.http.URL.RequestURI()}, "hid": {newGUID()}}
	return signInPage(http.StatusFound).setHeader("Location", c.base+"/vssps/_signin?"+back.Encode()).setHeader("WWW-Authenticate", e.wwwAuthenticate(c))
}

// challenge is the 401 that names the tenant; an empty message leaves the body empty.
func (e *Emulator) challenge(c *request, message string) reply {
	r := reply{status: http.StatusUnauthorized}
	if message != "" {
		r = errUnauthorized(message)
	}
	return r.setHeader("WWW-Authenticate", e.wwwAuthenticate(c))
}

func (e *Emulator) wwwAuthenticate(c *request) string {
	return "Bearer authorization_uri=https://login.microsoftonline.com/" + e.policies.tenant(e.Tenant) +
		`, Basic realm="` + c.base + `/", TFS-Federated`
}

func signInPage(status int) reply {
	return htmlPage(status, "<!DOCTYPE html><html><head><title>Azure DevOps Services | Sign In</title></head>"+
		"<body>The emulator's sign-in page: your credential was not accepted.</body></html>\n")
}

// errBlocked is the refusal of a caller that uses too much of a resource.
func errBlocked(resource, namespace string) reply {
	return taskError(http.StatusTooManyRequests, "RequestBlockedException",
		"TF400733: The request has been canceled: Request was blocked due to exceeding usage of resource '%s' in namespace '%s'.", resource, namespace)
}

// agentToken is an access token for an agent's own OAuth client.
func (e *Emulator) agentToken(a *agent) (string, error) {
	return e.ownToken(agentLife, map[string]any{"sub": a.clientID, "emu_kind": "agent", "emu_pool": a.pool.id, "emu_agent": a.id})
}

// jobToken is the SystemVssConnection token of one job (agent-protocol.md 7.4).
func (e *Emulator) jobToken(j *job) (string, error) {
	return e.ownToken(jobLife, map[string]any{"sub": j.jobID, "emu_kind": "job", "emu_job": j.jobID})
}

func (e *Emulator) ownToken(life time.Duration, claims map[string]any) (string, error) {
	now := e.Now()
	claims["iss"], claims["jti"] = "app.vstoken.visualstudio.com", newGUID()
	claims["aud"] = "app.vstoken.visualstudio.com|vso:" + e.instanceID
	claims["nbf"], claims["exp"] = now.Unix(), now.Add(life).Unix()
	return e.sign(claims)
}
