package azdo

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
)

// Principal is a service principal or managed identity that is a user of the
// organisation (azure-devops-rest.md 4.1, 4.2).
type Principal struct {
	ObjectID      string `json:"originId"`      // in Entra ID
	ApplicationID string `json:"applicationId"` // client id, in Entra ID
	Name          string `json:"displayName"`
	Tenant        string `json:"domain"`
	Kind          string `json:"metaType"` // "application" or "managedIdentity"; other values are not known
	Descriptor    string `json:"descriptor"`
}

// maxPages is how many pages of a list are read. No organisation has as many.
const maxPages = 10_000

// FindPrincipal finds a service principal among the organisation's users by its object id. If
// there is none, found is false. If the id is a user's application id instead, it returns
// that user, with found false.
//
// The API cannot filter by id, so the whole list is read. An empty page is not its end
// (azure-devops-rest.md 4.2).
func (a *Account) FindPrincipal(ctx context.Context, objectID string) (p Principal, found bool, err error) {
	op := fmt.Sprintf("look up identity %s in the organisation", objectID)
	var other Principal
	token := ""
	for range maxPages {
		var page struct{ Value []Principal }
		query := maps.Clone(inPreview)
		if token != "" {
			query.Set("continuationToken", token)
		}
		next := ""
		err := a.client.do(ctx, request{
			op: op, method: http.MethodGet, base: a.graph, path: "_apis/graph/serviceprincipals", query: query, into: &page,
			onResponse: func(r *http.Response) { next = r.Header.Get("X-MS-ContinuationToken") },
		})
		if err != nil {
			return Principal{}, false, err
		}
		for _, p := range page.Value {
			if strings.EqualFold(p.ObjectID, objectID) {
				return p, true, nil
			}
			if strings.EqualFold(p.ApplicationID, objectID) {
				other = p
			}
		}
		if next == "" {
			return other, false, nil
		}
		token = next
	}
	return Principal{}, false, invalid(op, "the list does not end")
}

// StorageKey is a user's id in the organisation, which the APIs for roles and licences use
// (azure-devops-rest.md 4.2).
func (a *Account) StorageKey(ctx context.Context, descriptor string) (string, error) {
	var key struct{ Value string }
	op := "ask for the identity's storage key"
	err := a.client.do(ctx, request{
		op: op, method: http.MethodGet, base: a.graph, path: "_apis/graph/storagekeys/" + url.PathEscape(descriptor),
		query: inPreview, into: &key,
	})
	if err == nil && key.Value == "" {
		err = invalid(op, "it holds no key")
	}
	return key.Value, err
}

// SearchDirectory searches the organisation's directory for a text. The results need not be
// users of the organisation. It is used to explain a wrong id.
func (a *Account) SearchDirectory(ctx context.Context, text string) ([]Principal, error) {
	var list struct{ Value []Principal }
	err := a.client.do(ctx, request{
		op: "search the directory", method: http.MethodPost, base: a.graph, path: "_apis/graph/subjectquery",
		body:  map[string]any{"query": text, "subjectKind": []string{"User"}},
		query: inPreview, into: &list,
	})
	return list.Value, err
}
