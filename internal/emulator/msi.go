package emulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// DevOpsResource is Azure DevOps' application id, the resource to ask tokens for.
const DevOpsResource = "499b84ac-1321-427f-aa17-267ca6975798"

// resources are what the identity endpoint issues tokens for, by lower-case name, and the audience they get. The ones
// that are not Azure DevOps are there so that a token for the wrong audience can be had.
var resources = map[string]string{
	DevOpsResource:                        DevOpsResource,
	"https://app.vssps.visualstudio.com":  "https://app.vssps.visualstudio.com",
	"https://management.azure.com":        "https://management.azure.com",
	"https://management.core.windows.net": "https://management.core.windows.net",
	"https://vault.azure.net":             "https://vault.azure.net",
	"https://graph.microsoft.com":         "https://graph.microsoft.com",
	"https://storage.azure.com":           "https://storage.azure.com",
}

// msiToken is what the endpoint keeps for about a day; nothing forces a fresh one (reference/identity.md 1.1).
type msiToken struct {
	token    string
	from, to time.Time
}

// serveMSI is the identity endpoint of App Service and Container Apps (reference/identity.md 1.1, 1.2, 1.5). mu is held.
func (e *Emulator) serveMSI(r *http.Request) (reply, string) {
	if r.Method != http.MethodGet { // Container Apps answers POST with 405
		return reply{status: http.StatusMethodNotAllowed, header: kestrelHeader("Allow", http.MethodGet)}, ""
	}
	if r.Header.Get("X-IDENTITY-HEADER") != e.header {
		return reply{status: http.StatusForbidden, header: kestrelHeader()}, ""
	}
	q := r.URL.Query()
	if v := queryValue(q, "api-version"); v != "2019-08-01" {
		return msiError("The api-version '" + v + "' is not supported. The supported version is 2019-08-01."), ""
	}
	resource := queryValue(q, "resource")
	if resource == "" {
		return msiError("The query parameter 'resource' is required."), ""
	}
	audience, ok := resources[strings.TrimSuffix(strings.ToLower(resource), "/")]
	if !ok {
		return msiError("AADSTS500011: The resource principal named " + resource + " was not found in the tenant."), ""
	}
	id, problem := e.selectIdentity(q)
	if problem != "" {
		return msiError(problem), ""
	}
	t, cached, err := e.msiTokenFor(id, audience)
	if err != nil {
		return reply{status: http.StatusInternalServerError, header: kestrelHeader()}, ""
	}
	e.tokenIssued(id, cached)
	body, _ := json.Marshal(map[string]any{
		"access_token": t.token,
		"expires_on":   expiresOn(id.ExpiresForm, t.to),
		"not_before":   strconv.FormatInt(t.from.Unix(), 10),
		"resource":     resource,
		"token_type":   "Bearer",
		"client_id":    id.ClientID,
	})
	return reply{status: http.StatusOK, header: kestrelHeader(), contentType: jsonType, body: body}, id.Name
}

// selectIdentity finds the one identity that a request asks for. msi_res_id is not read: it is IMDS' name for
// mi_res_id, and App Service ignores it (reference/identity.md 1.2).
func (e *Emulator) selectIdentity(q map[string][]string) (*identity, string) {
	selectors := map[string]func(*identity) string{
		"client_id":    func(i *identity) string { return i.ClientID },
		"principal_id": func(i *identity) string { return i.ObjectID },
		"object_id":    func(i *identity) string { return i.ObjectID }, // the documented alias
		"mi_res_id":    func(i *identity) string { return i.ResourceID },
	}
	var used, want string
	for name := range selectors {
		if v := queryValue(q, name); v != "" {
			if used != "" {
				return nil, "Only one of client_id, principal_id, object_id and mi_res_id may be given."
			}
			used, want = name, v
		}
	}
	for _, id := range e.identities {
		if !id.Attached {
			continue
		}
		if used == "" && id.SystemAssigned || used != "" && strings.EqualFold(selectors[used](id), want) {
			return id, ""
		}
	}
	if used == "" {
		return nil, "Unable to load the proper Managed Identity. There is no system assigned identity; one of client_id, principal_id or mi_res_id must be given."
	}
	return nil, fmt.Sprintf("No User Assigned or Delegated Managed Identity found for specified %s.", map[string]string{
		"client_id": "ClientId", "principal_id": "PrincipalId", "object_id": "PrincipalId", "mi_res_id": "ResourceId"}[used])
}

// msiTokenFor is the token in the endpoint's cache, or a new one.
func (e *Emulator) msiTokenFor(id *identity, audience string) (msiToken, bool, error) {
	now := e.now()
	cacheKey := id.ObjectID + "|" + audience
	if t, ok := e.msiCache[cacheKey]; ok && now.Before(t.to.Add(-min(msiTokenSpare, t.to.Sub(t.from)/2))) {
		return t, true, nil
	}
	t, err := e.entraToken(id, audience, msiTokenLife)
	if err == nil {
		e.msiCache[cacheKey] = t
	}
	return t, false, err
}

// The forms of expires_on that App Service has had (reference/identity.md 1.1). The default is every modern endpoint's: the
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
	if id.TokenLife != 0 {
		life = id.TokenLife
	}
	now := e.now().Truncate(time.Second)
	claims := map[string]any{
		"aud": audience, "iss": "https://sts.windows.net/" + id.Tenant + "/",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(life).Unix(),
		"appid": id.ClientID, "appidacr": "2", "idp": "https://sts.windows.net/" + id.Tenant + "/", "idtyp": "app",
		"oid": id.ObjectID, "sub": id.ObjectID, "tid": id.Tenant, "uti": newSecret(11), "ver": "1.0",
	}
	if id.ResourceID != "" {
		claims["xms_mirid"] = id.ResourceID
	}
	token, err := e.key.sign(claims)
	return msiToken{token, now, now.Add(life)}, err
}

// IssueToken signs an Entra token for an identity as its tenant would, past the identity endpoint's cache. An empty
// audience is DevOpsResource.
func (e *Emulator) IssueToken(objectID, audience string) (string, error) {
	if audience == "" {
		audience = DevOpsResource
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	id := e.identities[strings.ToLower(objectID)]
	if id == nil {
		return "", fmt.Errorf("cannot issue a token: there is no identity %q", objectID)
	}
	t, err := e.entraToken(id, audience, msiTokenLife)
	return t.token, err
}

func kestrelHeader(pairs ...string) http.Header {
	h := http.Header{"Server": {"Kestrel"}}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

// msiError is App Service's error form (reference/identity.md 1.2).
func msiError(message string) reply {
	body, _ := json.Marshal(map[string]any{
		"statusCode": http.StatusBadRequest, "message": message, "correlationId": newGUID(),
	})
	return reply{status: http.StatusBadRequest, header: kestrelHeader(), contentType: jsonType, body: body}
}
