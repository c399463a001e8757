package emulator

import (
	"net/http"
	"strconv"
	"strings"
)

// imds is the metadata service's name for itself.
const imds = "IMDS/150.870.65.1854"

// serveMetadata is the instance metadata service of machines and Container Instances. That it appears late is a matter
// of its listener, that it is being updated (410, 404) or slow of a Fault. mu is held.
func (e *Emulator) serveMetadata(c *request) reply {
	switch path := strings.ToLower(strings.Join(c.segments[1:], "/")); path {
	case "identity/oauth2/token":
		return e.serveMetadataToken(c).setHeader("Server", imds)
	case "instance/compute", "instance/compute/name":
		return e.serveInstance(c, path)
	case "scheduledevents":
		return e.serveScheduledEvents(c)
	}
	return metadataProblem(http.StatusNotFound, "Not found")
}

// serveMetadataToken hands out a managed identity's token (reference/identity.md 1.2, 1.4). mu is held.
func (e *Emulator) serveMetadataToken(c *request) reply {
	version, resource := c.query("api-version"), c.query("resource")
	audience := audienceOf(strings.TrimSuffix(resource, "/"))
	id := e.metadataIdentity(c)
	switch {
	case c.http.Method != http.MethodGet:
		return oauthError(http.StatusMethodNotAllowed, "method_not_allowed", "The method is not allowed.")
	case !strings.EqualFold(c.http.Header.Get("Metadata"), "true"):
		return oauthError(http.StatusBadRequest, "bad_request_102", "Required metadata header not specified")
	case version < "2018-02-01": // dates in text compare as dates
		return oauthError(http.StatusBadRequest, "invalid_request", "The api-version "+version+" is not supported.")
	case audience == "":
		return oauthError(http.StatusBadRequest, "invalid_resource", "AADSTS50001: The resource principal named "+resource+" was not found in the tenant.")
	case id == nil:
		return oauthError(http.StatusBadRequest, "invalid_request", "Identity not found")
	}
	t, err := e.msiTokenFor(c, id, audience)
	if err != nil {
		return oauthError(http.StatusInternalServerError, "unknown", "Failed to retrieve the token.")
	}
	left := strconv.Itoa(int(t.to.Sub(e.Now()).Seconds()))
	return jsonReply(http.StatusOK, map[string]string{ // every number is a string
		"access_token": t.token, "client_id": id.ClientID, "resource": resource, "token_type": "Bearer",
		"expires_in": left, "ext_expires_in": left,
		"expires_on": strconv.FormatInt(t.to.Unix(), 10), "not_before": strconv.FormatInt(t.from.Unix(), 10),
	})
}

// metadataIdentity finds the identity; of the resource id only this service's own name for it counts.
func (e *Emulator) metadataIdentity(c *request) *identity {
	client, object, resource := c.query("client_id"), c.query("object_id"), c.query("msi_res_id")
	attached := e.attachedIdentities()
	if client+object+resource != "" {
		return first(attached, func(id *identity) bool {
			return client != "" && strings.EqualFold(id.ClientID, client) || object != "" && strings.EqualFold(id.ObjectID, object) ||
				resource != "" && strings.EqualFold(id.ResourceID, resource)
		})
	}
	system := first(attached, func(id *identity) bool { return id.SystemAssigned })
	if system == nil && len(attached) == 1 { // unlike App Service, a machine answers with its only identity (Entra docs, managed identities FAQ)
		return attached[0]
	}
	return system
}
