package emulator

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// graphJSON is a subject of the graph (azure-devops-rest.md 4.1, 4.2).
type graphJSON struct {
	SubjectKind    string          `json:"subjectKind"`
	ApplicationID  string          `json:"applicationId,omitempty"`
	MetaType       string          `json:"metaType"`
	DirectoryAlias string          `json:"directoryAlias"`
	Domain         string          `json:"domain"`
	PrincipalName  string          `json:"principalName"`
	MailAddress    *string         `json:"mailAddress"`
	Origin         string          `json:"origin"`
	OriginID       string          `json:"originId"`
	DisplayName    string          `json:"displayName"`
	Links          map[string]href `json:"_links"`
	URL            string          `json:"url"`
	Descriptor     string          `json:"descriptor"`
}

func (e *Emulator) graphOf(c *request, id *identity) graphJSON {
	graph := e.hostURL(c.base, "vssps") + "_apis/Graph/"
	out := graphJSON{
		SubjectKind: "servicePrincipal", ApplicationID: id.ClientID, MetaType: "application", DirectoryAlias: id.directoryAlias(),
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
	out.Links = map[string]href{"self": {out.URL}, "memberships": {graph + "Memberships/" + id.subject},
		"membershipState": {graph + "MembershipStates/" + id.subject}, "storageKey": {graph + "StorageKeys/" + id.subject}}
	return out
}

// knownIdentity finds a current or former user of the organisation by its storage key. Others have no storage key.
func (e *Emulator) knownIdentity(storageKey string) *identity {
	return first(e.sortedIdentities(), func(id *identity) bool { return id.known && strings.EqualFold(id.storageKey, storageKey) })
}

// subject finds the subject of the request's path for a caller that guard accepts.
func (e *Emulator) subject(guard func(*request) (*identity, error)) func(*request) (*identity, error) {
	return func(c *request) (*identity, error) {
		if _, err := guard(c); err != nil {
			return nil, err
		}
		descriptor := cmp.Or(c.params["servicePrincipalDescriptor"], c.params["subjectDescriptor"])
		id := first(e.sortedIdentities(), func(id *identity) bool { return id.known && strings.EqualFold(id.subject, descriptor) })
		if id == nil {
			return nil, errNoSubject(descriptor)
		}
		return id, nil
	}
}

func errNoSubject(what string) reply {
	return errWebAPI(http.StatusNotFound, "GraphSubjectNotFoundException", "VS860016: Could not find subject '%s' in the backing domain.", what)
}

// sortedIdentities returns all identities in order of object id.
func (e *Emulator) sortedIdentities() []*identity {
	return slices.SortedFunc(maps.Values(e.identities), func(a, b *identity) int { return strings.Compare(a.ObjectID, b.ObjectID) })
}

// graphPage is how many users one page looks at. Small, and those that are no service principals are left out
// afterwards: so a page can be empty and another follow, of which the service's own FAQ warns (azure-devops-rest.md 4.2).
const graphPage = 3

func (e *Emulator) getServicePrincipals(c *request, _ *identity) (any, error) {
	if c.params["servicePrincipalDescriptor"] != "" {
		id, err := e.subject(mayReadUsers)(c)
		if err != nil {
			return nil, err
		}
		return e.graphOf(c, id), nil
	}
	members := filter(e.sortedIdentities(), func(id *identity) bool { return id.Member })
	from, err := strconv.Atoi(cmp.Or(c.query("continuationToken"), "0"))
	if err != nil || from < 0 || from > len(members) {
		return nil, errBadRequest("The continuation token %q is not valid.", c.query("continuationToken"))
	}
	to := min(from+graphPage, len(members))
	page := filter(members[from:to], func(id *identity) bool { return id.Kind != KindUser })
	out := jsonReply(http.StatusOK, listOf(c, page, e.graphOf))
	if to < len(members) {
		out = out.setHeader("X-MS-ContinuationToken", strconv.Itoa(to))
	}
	return out, nil
}

// addServicePrincipal adds an identity without a licence.
func (e *Emulator) addServicePrincipal(c *request, _ *identity, in struct {
	OriginID string `json:"originId"`
}) (any, error) {
	id, why := e.directoryPrincipal(strings.ToLower(in.OriginID))
	if why != "" {
		return nil, errWebAPI(http.StatusBadRequest, "GraphBadRequestException", "%s", why)
	}
	if !id.Member {
		e.addMember(id, LicenseNone)
	}
	return jsonReply(http.StatusCreated, e.graphOf(c, id)), nil
}

func (e *Emulator) getStorageKey(_ *request, id *identity) (any, error) {
	return obj{"value": id.storageKey, "_links": obj{}}, nil
}

func (e *Emulator) getDescriptor(c *request, _ *identity) (any, error) {
	key := c.params["storageKey"]
	if id := e.knownIdentity(key); id != nil {
		return obj{"value": id.subject, "_links": obj{}}, nil
	}
	if p := first(e.projects, func(p *project) bool { return strings.EqualFold(p.id, key) }); p != nil {
		return obj{"value": p.descriptor(), "_links": obj{}}, nil
	}
	return nil, errNoSubject(key)
}

// descriptor names the project as a scope of the graph's groups. The GUID in it is not the project's id
// (azure-devops-rest.md 4.2).
func (p *project) descriptor() string {
	return "scp." + b64url.EncodeToString([]byte(p.scopeID))
}

type subjectQuery struct {
	Query       string   `json:"query"`
	SubjectKind []string `json:"subjectKind"`
}

// subjectQuery searches the users and the directory. It does not find fresh identities, so that clients can wait until an
// identity can be added (azure-devops-rest.md 4.1).
func (e *Emulator) subjectQuery(c *request, _ *identity, in subjectQuery) (any, error) {
	if in.Query == "" {
		return nil, errBadRequest("Value cannot be null. Parameter name: query")
	}
	asked := containsFold(in.SubjectKind, "User")
	return listOf(c, filter(e.sortedIdentities(), func(id *identity) bool {
		return asked && (id.Member || id.Fresh == 0) && id.meets(in.Query)
	}), e.graphOf), nil
}

// meets reports whether a search for text finds the identity.
func (i *identity) meets(text string) bool {
	return strings.EqualFold(i.ObjectID, text) || strings.EqualFold(i.ClientID, text) ||
		strings.HasPrefix(strings.ToLower(i.Name), strings.ToLower(text))
}

// directoryAlias is Entra ID's short name: of a person the part before the "@", of a service principal its object id
// (azure-devops-rest.md 4.1).
func (i *identity) directoryAlias() string {
	if i.Kind != KindUser {
		return i.ObjectID
	}
	alias, _, _ := strings.Cut(i.Name, "@")
	return alias
}

// uniqueName is the name to sign in with; a service principal has its object id in its place.
func (i *identity) uniqueName() string {
	return choose(i.Kind == KindUser, i.Name, i.ObjectID)
}

// identityFilters are what the older service can search by, as Microsoft documents it, and DirectoryAlias, which
// az devops asks for first. The organisation has no groups here, so LocalGroupName finds none (azure-devops-rest.md 4.2).
var identityFilters = map[string]func(id *identity, text string) bool{
	"general":        (*identity).meets,
	"directoryalias": func(id *identity, text string) bool { return strings.EqualFold(id.directoryAlias(), text) },
	"accountname":    func(id *identity, text string) bool { return strings.EqualFold(id.uniqueName(), text) },
	"mailaddress":    func(id *identity, text string) bool { return id.Kind == KindUser && strings.EqualFold(id.Name, text) },
	"displayname":    func(id *identity, text string) bool { return strings.EqualFold(id.Name, text) },
	"localgroupname": func(*identity, string) bool { return false },
}

// getIdentities is the older service, by its three ways to ask.
func (e *Emulator) getIdentities(c *request, _ *identity) (any, error) {
	if key := c.params["identityId"]; key != "" {
		id := e.knownIdentity(key)
		if id == nil {
			return nil, nil // sent as null
		}
		return e.identityJSON(c, id), nil
	}
	keys, subjects, text := splitList(c.query("identityIds")), splitList(c.query("subjectDescriptors")), c.query("filterValue")
	matches, known := identityFilters[strings.ToLower(c.query("searchFilter"))]
	if text != "" && !known {
		return nil, errBadRequest("The search filter %q is not known here.", c.query("searchFilter"))
	}
	return listOf(c, filter(e.sortedIdentities(), func(id *identity) bool {
		return id.known && (containsFold(keys, id.storageKey) || containsFold(subjects, id.subject) || text != "" && matches(id, text))
	}), e.identityJSON), nil
}

func (e *Emulator) identityJSON(_ *request, id *identity) userJSON {
	return e.userOf(principal{identity: id})
}
