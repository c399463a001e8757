package emulator

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// graphJSON is a subject of the graph (azure-devops-rest.md 4.1, 4.2).
type graphJSON struct {
	SubjectKind    string         `json:"subjectKind"`
	ApplicationID  string         `json:"applicationId,omitempty"`
	MetaType       string         `json:"metaType"`
	DirectoryAlias string         `json:"directoryAlias"`
	Domain         string         `json:"domain"`
	PrincipalName  string         `json:"principalName"`
	MailAddress    *string        `json:"mailAddress"`
	Origin         string         `json:"origin"`
	OriginID       string         `json:"originId"`
	DisplayName    string         `json:"displayName"`
	Links          map[string]any `json:"_links"`
	URL            string         `json:"url"`
	Descriptor     string         `json:"descriptor"`
}

func (e *Emulator) graphOf(c *request, id *identity) graphJSON {
	graph := e.hostURL(c.base, "vssps") + "_apis/Graph/"
	href := func(path string) map[string]string { return map[string]string{"href": graph + path} }
	out := graphJSON{
		SubjectKind: "servicePrincipal", ApplicationID: id.ClientID, MetaType: "application", DirectoryAlias: id.ObjectID,
		Domain: id.Tenant, PrincipalName: id.ClientID, Origin: "aad", OriginID: id.ObjectID, DisplayName: id.Name,
		URL: graph + "ServicePrincipals/" + id.subject, Descriptor: id.subject,
	}
	switch id.Kind {
	case KindManagedIdentity:
		out.MetaType = "managedIdentity"
	case KindUser:
		out.SubjectKind, out.MetaType, out.ApplicationID = "user", "member", ""
		out.PrincipalName, out.MailAddress, out.URL = id.Name, &id.Name, graph+"Users/"+id.subject
	}
	out.Links = map[string]any{"self": map[string]string{"href": out.URL}, "memberships": href("Memberships/" + id.subject),
		"membershipState": href("MembershipStates/" + id.subject), "storageKey": href("StorageKeys/" + id.subject)}
	return out
}

// knownIdentity finds who is, or was, a user of the organisation by its storage key; the directory's others have none.
func (e *Emulator) knownIdentity(storageKey string) *identity {
	for _, id := range e.identities {
		if id.known && strings.EqualFold(id.storageKey, storageKey) {
			return id
		}
	}
	return nil
}

func (e *Emulator) knownSubject(descriptor string) (*identity, error) {
	for _, id := range e.identities {
		if id.known && strings.EqualFold(id.subject, descriptor) {
			return id, nil
		}
	}
	return nil, errNoSubject(descriptor)
}

func errNoSubject(what string) *apiError {
	return &apiError{http.StatusNotFound, "GraphSubjectNotFoundException", nsWebAPI, fmt.Sprintf("VS860016: Could not find subject '%s' in the backing domain.", what)}
}

// sortedIdentities are those that keep accepts, in order of object id.
func (e *Emulator) sortedIdentities(keep func(*identity) bool) []*identity {
	var out []*identity
	for _, id := range e.identities {
		if keep(id) {
			out = append(out, id)
		}
	}
	slices.SortFunc(out, func(a, b *identity) int { return strings.Compare(a.ObjectID, b.ObjectID) })
	return out
}

// graphPage is how many users one page looks at. Small, and those that are no service principals are left out
// afterwards: so a page can be empty and another follow, of which the service's own FAQ warns (azure-devops-rest.md 4.2).
const graphPage = 3

func (e *Emulator) getServicePrincipals(c *request) (reply, error) {
	if err := c.who.mustBeIdentity(); err != nil {
		return reply{}, err
	}
	if descriptor := c.params["servicePrincipalDescriptor"]; descriptor != "" {
		id, err := e.knownSubject(descriptor)
		if err != nil {
			return reply{}, err
		}
		return jsonReply(http.StatusOK, e.graphOf(c, id)), nil
	}
	members := e.sortedIdentities(func(id *identity) bool { return id.Member })
	from, err := strconv.Atoi(cmp.Or(c.query("continuationToken"), "0"))
	if err != nil || from < 0 || from > len(members) {
		return reply{}, errBadRequest("The continuation token %q is not valid.", c.query("continuationToken"))
	}
	to := min(from+graphPage, len(members))
	page := []graphJSON{}
	for _, id := range members[from:to] {
		if id.Kind != KindUser {
			page = append(page, e.graphOf(c, id))
		}
	}
	out := jsonReply(http.StatusOK, listOf(page))
	if to < len(members) {
		out.header = http.Header{"X-Ms-Continuationtoken": {strconv.Itoa(to)}}
	}
	return out, nil
}

// addServicePrincipal adds an identity without a licence.
func (e *Emulator) addServicePrincipal(c *request) (reply, error) {
	if err := c.who.mustAdminister("Add Users"); err != nil {
		return reply{}, err
	}
	var in struct {
		OriginID string `json:"originId"`
	}
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	id, why := e.directoryPrincipal(strings.ToLower(in.OriginID))
	if why != "" {
		return reply{}, &apiError{http.StatusBadRequest, "GraphBadRequestException", nsWebAPI, why}
	}
	if !id.Member {
		e.addMember(id, LicenseNone)
	}
	return jsonReply(http.StatusCreated, e.graphOf(c, id)), nil
}

func (e *Emulator) deleteServicePrincipal(c *request) (reply, error) {
	if err := c.who.mustAdminister("Delete Users"); err != nil {
		return reply{}, err
	}
	id, err := e.knownSubject(c.params["servicePrincipalDescriptor"])
	if err != nil {
		return reply{}, err
	}
	e.removeMember(id)
	return noContent(), nil
}

func valueReply(v string) reply {
	return jsonReply(http.StatusOK, map[string]any{"value": v, "_links": map[string]any{}})
}

func (e *Emulator) getStorageKey(c *request) (reply, error) {
	if err := c.who.mustBeIdentity(); err != nil {
		return reply{}, err
	}
	id, err := e.knownSubject(c.params["subjectDescriptor"])
	if err != nil {
		return reply{}, err
	}
	return valueReply(id.storageKey), nil
}

func (e *Emulator) getDescriptor(c *request) (reply, error) {
	if err := c.who.mustBeIdentity(); err != nil {
		return reply{}, err
	}
	id := e.knownIdentity(c.params["storageKey"])
	if id == nil {
		return reply{}, errNoSubject(c.params["storageKey"])
	}
	return valueReply(id.subject), nil
}

// subjectQuery looks a text up among the users, and in the directory: but for what is only just made there, which is
// how adding it can be waited for (azure-devops-rest.md 4.1).
func (e *Emulator) subjectQuery(c *request) (reply, error) {
	if err := c.who.mustBeIdentity(); err != nil {
		return reply{}, err
	}
	var in struct {
		Query       string   `json:"query"`
		SubjectKind []string `json:"subjectKind"`
	}
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	if in.Query == "" {
		return reply{}, errBadRequest("Value cannot be null. Parameter name: query")
	}
	found := []graphJSON{}
	if slices.ContainsFunc(in.SubjectKind, func(kind string) bool { return strings.EqualFold(kind, "User") }) {
		for _, id := range e.sortedIdentities(func(id *identity) bool { return (id.Member || id.Fresh == 0) && id.meets(in.Query) }) {
			found = append(found, e.graphOf(c, id))
		}
	}
	return jsonReply(http.StatusOK, listOf(found)), nil
}

// meets reports whether a search for text finds the identity.
func (i *identity) meets(text string) bool {
	return strings.EqualFold(i.ObjectID, text) || strings.EqualFold(i.ClientID, text) ||
		strings.HasPrefix(strings.ToLower(i.Name), strings.ToLower(text))
}

// getIdentities is the older service, by its three ways to ask.
func (e *Emulator) getIdentities(c *request) (reply, error) {
	if err := c.who.mustBeIdentity(); err != nil {
		return reply{}, err
	}
	if key := c.params["identityId"]; key != "" {
		id := e.knownIdentity(key)
		if id == nil {
			return jsonReply(http.StatusOK, nil), nil
		}
		return jsonReply(http.StatusOK, e.userOf(principal{identity: id})), nil
	}
	keys, subjects, text := splitList(c.query("identityIds")), splitList(c.query("subjectDescriptors")), c.query("filterValue")
	if text != "" && !strings.EqualFold(c.query("searchFilter"), "General") {
		return reply{}, errBadRequest("The search filter %q is not known here.", c.query("searchFilter"))
	}
	found := []userJSON{}
	for _, id := range e.sortedIdentities(func(id *identity) bool { return id.known }) {
		if containsFold(keys, id.storageKey) || containsFold(subjects, id.subject) || text != "" && id.meets(text) {
			found = append(found, e.userOf(principal{identity: id}))
		}
	}
	return jsonReply(http.StatusOK, listOf(found)), nil
}

func splitList(s string) []string {
	return slices.DeleteFunc(strings.Split(s, ","), func(part string) bool { return part == "" })
}

func containsFold(all []string, want string) bool {
	return slices.ContainsFunc(all, func(s string) bool { return strings.EqualFold(s, want) })
}
