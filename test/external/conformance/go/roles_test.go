package goapi

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/microsoft/azure-devops-go-api/azuredevops/v7"
)

// roleAssignments makes the calls that the library lacks with the library's own client, like
// terraform-provider-azuredevops. Its Accept header has no media type either.
type roleAssignments struct {
	client *azuredevops.Client
	scope  string
	pool   string
}

type assignedRole struct {
	Identity struct{ ID uuid.UUID }
	Role     struct {
		Name             string
		AllowPermissions int
	}
	Access string
}

func rolesOnPool(c *azuredevops.Connection, pool string) roleAssignments {
	return roleAssignments{c.GetClientByUrl(c.BaseUrl), "distributedtask.agentpoolrole", pool}
}

func (r roleAssignments) send(t *testing.T, method string, body any) ([]assignedRole, error) {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	location := uuid.MustParse("9461c234-c84c-4ed2-b918-2f0f92ad0a35")
	resp, err := r.client.Send(context.Background(), method, location, "7.1-preview.1",
		map[string]string{"scopeId": r.scope, "resourceId": r.pool}, nil, bytes.NewReader(b), azuredevops.MediaTypeApplicationJson, "", nil)
	if err != nil || resp.StatusCode == http.StatusNoContent {
		return nil, err
	}
	var out []assignedRole
	return out, r.client.UnmarshalCollectionBody(resp, &out)
}

func (r roleAssignments) give(t *testing.T, id uuid.UUID, role string) ([]assignedRole, error) {
	t.Helper()
	return r.send(t, http.MethodPut, []map[string]string{{"userId": id.String(), "roleName": role}})
}

func (r roleAssignments) take(t *testing.T, id uuid.UUID) error {
	t.Helper()
	_, err := r.send(t, http.MethodPatch, []uuid.UUID{id})
	return err
}

// of returns the role of an identity, "" for none.
func (r roleAssignments) of(t *testing.T, id uuid.UUID) string {
	t.Helper()
	all, err := r.send(t, http.MethodGet, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if a.Identity.ID == id {
			return a.Role.Name + " " + a.Access
		}
	}
	return ""
}
