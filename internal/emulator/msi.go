package emulator

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// DevOpsResource is Azure DevOps' application id, the resource to ask tokens for.
const DevOpsResource = "499b84ac-1321-427f-aa17-267ca6975798"

// resources are what the identity endpoints issue tokens for. The ones that are not Azure DevOps are there so that a test
// can have a token for the wrong audience.
var resources = []string{DevOpsResource, "https://app.vssps.visualstudio.com", "https://management.azure.com", "https://management.core.windows.net",
	"https://vault.azure.net", "https://graph.microsoft.com", "https://storage.azure.com"}

// audienceOf returns the audience of a token for a resource; "" if there is no such resource.
func audienceOf(resource string) string {
	return first(resources, func(r string) bool { return r == strings.ToLower(resource) })
}

// msiToken is a token in the endpoint's cache, for about a day; nothing forces a fresh one (reference/identity.md 1.1).
type msiToken struct {
	token    string
	from, to time.Time
}

// serveMSI is the identity endpoint of App Service and Container Apps (reference/identity.md 1.1, 1.2, 1.5). mu is held.
func (e *Emulator) serveMSI(c *request) reply {
	return e.appServiceToken(c).setHeader("Server", "Kestrel")
}

func (e *Emulator) appServiceToken(c *request) reply {
	version, resource := c.query("api-version"), c.query("resource")
	audience := audienceOf(strings.TrimSuffix(resource, "/"))
	switch {
	case c.http.Method != http.MethodGet: // Container Apps answers POST with 405
		return reply{status: http.StatusMethodNotAllowed}.setHeader("Allow", http.MethodGet)
	case c.http.Header.Get("X-IDENTITY-HEADER") != e.header:
		return reply{status: http.StatusForbidden}
	case version != "2019-08-01":
		return msiError("The api-version '" + version + "' is not supported. The supported version is 2019-08-01.")
	case resource == "":
		return msiError("The query parameter 'resource' is required.")
	case audience == "":
		return msiError("AADSTS500011: The resource principal named " + resource + " was not found in the tenant.")
	}
	id, problem := e.selectIdentity(c)
	if problem != "" {
		return msiError(problem)
	}
	t, err := e.msiTokenFor(c, id, audience)
	if err != nil {
		return reply{status: http.StatusInternalServerError}
	}
	return jsonReply(http.StatusOK, obj{
		"access_token": t.token,
		"expires_on":   expiresOn(id.ExpiresForm, t.to),
		"not_before":   strconv.FormatInt(t.from.Unix(), 10),
		"resource":     resource,
		"token_type":   "Bearer",
		"client_id":    id.ClientID,
	})
}

// selectIdentity finds the one identity that a request asks for. msi_res_id is not read: it is the name that IMDS has for
// mi_res_id, and App Service ignores it (reference/identity.md 1.2).
func (e *Emulator) selectIdentity(c *request) (*identity, string) {
	kind, want := "", ""
	for _, name := range []string{"client_id", "principal_id", "object_id", "mi_res_id"} {
		if v := c.query(name); v != "" {
			if want != "" {
				return nil, "Only one of client_id, principal_id, object_id and mi_res_id may be given."
			}
			kind, want = name, v
		}
	}
	attached := e.attachedIdentities()
	if want == "" {
		if id := first(attached, func(id *identity) bool { return id.SystemAssigned }); id != nil {
			return id, ""
		}
		return nil, "Unable to load the proper Managed Identity. There is no system assigned identity; one of client_id, principal_id or mi_res_id must be given."
	}
	shown, of := "PrincipalId", func(id *identity) string { return id.ObjectID } // object_id is the documented alias
	switch kind {
	case "client_id":
		shown, of = "ClientId", func(id *identity) string { return id.ClientID }
	case "mi_res_id":
		shown, of = "ResourceId", func(id *identity) string { return id.ResourceID }
	}
	if id := first(attached, func(id *identity) bool { return strings.EqualFold(of(id), want) }); id != nil {
		return id, ""
	}
	return nil, "No User Assigned or Delegated Managed Identity found for specified " + shown + "."
}

// attachedIdentities returns the identities that the machine has.
func (e *Emulator) attachedIdentities() []*identity {
	return filter(e.sortedIdentities(), func(id *identity) bool { return id.Attached })
}

// msiTokenFor is the token in the endpoint's cache, or a new one.
func (e *Emulator) msiTokenFor(c *request, id *identity, audience string) (msiToken, error) {
	now := e.Now()
	cacheKey := id.ObjectID + "|" + audience
	t, cached := e.msiCache[cacheKey]
	if cached = cached && now.Before(t.to.Add(-min(msiTokenSpare, t.to.Sub(t.from)/2))); !cached {
		var err error
		if t, err = e.entraToken(id, audience, msiTokenLife); err != nil {
			return t, err
		}
		e.msiCache[cacheKey] = t
	}
	e.tokenIssued(c, id, choose(cached, "cached", "fresh"))
	return t, nil
}

// tokenIssued records a token; detail says whether the endpoint had it already.
func (e *Emulator) tokenIssued(c *request, id *identity, detail string) {
	c.caller = id.Name
	e.record(Event{Type: EventTokenIssued, Identity: id.ObjectID, Detail: detail})
}

// The forms of expires_on in the history of App Service (reference/identity.md 1.1). The default is the current form: the
// epoch as a string.
const (
	ExpiresNumber  = "number"
	ExpiresLinux   = "linux2017"
	ExpiresWindows = "windows2017"
	ExpiresRFC3339 = "rfc3339"
)

func expiresOn(form string, at time.Time) any {
	switch form {
	case ExpiresNumber:
		return at.Unix()
	case ExpiresLinux:
		return at.Format("01/02/2006 15:04:05 -07:00")
	case ExpiresWindows:
		return at.Format("1/2/2006 3:04:05 PM -07:00")
	case ExpiresRFC3339:
		return at.Format(time.RFC3339)
	}
	return strconv.FormatInt(at.Unix(), 10)
}

// entraToken signs a version 1 access token with the claims of reference/identity.md 5; life is the default one.
func (e *Emulator) entraToken(id *identity, audience string, life time.Duration) (msiToken, error) {
	life = cmp.Or(id.TokenLife, life)
	now := e.Now().Truncate(time.Second)
	claims := map[string]any{
		"aud": audience, "iss": "https://sts.windows.net/" + id.Tenant + "/",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(life).Unix(),
		"appid": id.ClientID, "appidacr": "2", "idp": "https://sts.windows.net/" + id.Tenant + "/", "idtyp": "app",
		"oid": id.ObjectID, "sub": id.ObjectID, "tid": id.Tenant, "uti": newSecret(11), "ver": "1.0",
	}
	if id.ResourceID != "" {
		claims["xms_mirid"] = id.ResourceID
	}
	token, err := e.sign(claims)
	return msiToken{token, now, now.Add(life)}, err
}

// IssueToken signs an Entra token for an identity as its tenant would, past the identity endpoint's cache. An empty
// audience is DevOpsResource.
func (e *Emulator) IssueToken(objectID, audience string) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	id := e.identities[strings.ToLower(objectID)]
	if id == nil {
		return "", fmt.Errorf("cannot issue a token: there is no identity %q", objectID)
	}
	t, err := e.entraToken(id, cmp.Or(audience, DevOpsResource), msiTokenLife)
	return t.token, err
}

// msiError is App Service's error form (reference/identity.md 1.2).
func msiError(message string) reply {
	return jsonReply(http.StatusBadRequest, obj{"statusCode": http.StatusBadRequest, "message": message, "correlationId": newGUID()})
}
