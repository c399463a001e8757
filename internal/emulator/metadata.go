package emulator

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// isMetadataPath finds the metadata service's paths, as they are below 169.254.169.254.
func isMetadataPath(segments []string) bool {
	return len(segments) > 0 && strings.EqualFold(segments[0], "metadata")
}

// serveMetadata is the instance metadata service of machines and Container Instances. That it appears late is a matter
// of its listener, that it is being updated (410, 404) or slow of a Fault. mu is held.
func (e *Emulator) serveMetadata(r *http.Request, segments []string, body []byte) (reply, string) {
	switch path := strings.ToLower(strings.Join(segments[1:], "/")); path {
	case "identity/oauth2/token":
		return e.serveMetadataToken(r)
	case "instance/compute", "instance/compute/name":
		return e.serveInstance(r, path), ""
	case "scheduledevents":
		return e.serveScheduledEvents(r, body), ""
	}
	return metadataProblem(http.StatusNotFound, "Not found"), ""
}

// serveMetadataToken hands out a managed identity's token (reference/identity.md 1.2, 1.4). mu is held.
func (e *Emulator) serveMetadataToken(r *http.Request) (reply, string) {
	if r.Method != http.MethodGet {
		return metadataError(http.StatusMethodNotAllowed, "method_not_allowed", "The method is not allowed."), ""
	}
	if !strings.EqualFold(r.Header.Get("Metadata"), "true") {
		return metadataError(http.StatusBadRequest, "bad_request_102", "Required metadata header not specified"), ""
	}
	q := r.URL.Query()
	if v := queryValue(q, "api-version"); v < "2018-02-01" { // dates in text compare as dates
		return metadataError(http.StatusBadRequest, "invalid_request", "The api-version "+v+" is not supported."), ""
	}
	resource := queryValue(q, "resource")
	audience, ok := resources[strings.TrimSuffix(strings.ToLower(resource), "/")]
	if !ok {
		return metadataError(http.StatusBadRequest, "invalid_resource", "AADSTS50001: The resource principal named "+resource+" was not found in the tenant."), ""
	}
	id := e.metadataIdentity(q)
	if id == nil {
		return metadataError(http.StatusBadRequest, "invalid_request", "Identity not found"), ""
	}
	t, cached, err := e.msiTokenFor(id, audience)
	if err != nil {
		return metadataError(http.StatusInternalServerError, "unknown", "Failed to retrieve the token."), ""
	}
	e.tokenIssued(id, cached)
	left := strconv.Itoa(int(t.to.Sub(e.now()).Seconds()))
	body, _ := json.Marshal(map[string]string{ // every number a string
		"access_token": t.token, "client_id": id.ClientID, "resource": resource, "token_type": "Bearer",
		"expires_in": left, "ext_expires_in": left,
		"expires_on": strconv.FormatInt(t.to.Unix(), 10), "not_before": strconv.FormatInt(t.from.Unix(), 10),
	})
	return reply{status: http.StatusOK, header: http.Header{"Server": {"IMDS/150.870.65.1854"}}, contentType: jsonType, body: body}, id.Name
}

// metadataIdentity finds the identity; of the resource id only this service's own name for it counts.
func (e *Emulator) metadataIdentity(q map[string][]string) *identity {
	client, object, resource := queryValue(q, "client_id"), queryValue(q, "object_id"), queryValue(q, "msi_res_id")
	var system, only *identity
	attached := 0
	for _, id := range e.identities {
		if !id.Attached {
			continue
		}
		switch {
		case client != "" && strings.EqualFold(id.ClientID, client),
			object != "" && strings.EqualFold(id.ObjectID, object),
			resource != "" && strings.EqualFold(id.ResourceID, resource):
			return id
		}
		attached++
		only = id
		if id.SystemAssigned {
			system = id
		}
	}
	switch {
	case client+object+resource != "":
		return nil
	case system != nil:
		return system
	case attached == 1: // unlike App Service, a machine answers with its only identity (Entra docs, managed identities FAQ)
		return only
	}
	return nil
}

func metadataError(status int, code, description string) reply {
	r := jsonReply(status, map[string]string{"error": code, "error_description": description})
	r.header = http.Header{"Server": {"IMDS/150.870.65.1854"}}
	return r
}

// tokenIssued records a token, and whether the endpoint had it already.
func (e *Emulator) tokenIssued(id *identity, cached bool) {
	detail := "fresh"
	if cached {
		detail = "cached"
	}
	e.record(Event{Type: EventTokenIssued, Identity: id.ObjectID, Detail: detail})
}
