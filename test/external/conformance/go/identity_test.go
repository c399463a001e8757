package goapi

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/microsoft/azure-devops-go-api/azuredevops/v7"
	"github.com/microsoft/azure-devops-go-api/azuredevops/v7/location"
	"github.com/microsoft/azure-devops-go-api/azuredevops/v7/taskagent"

	"github.com/azptend/azptend/test/external/conformance/go/emulated"
)

// A program asks Azure DevOps for its own identity, with every kind of credential.
func TestWhoAmI(t *testing.T) {
	ctx := context.Background()
	e := emulated.Start(t)
	const known, unknown = "33333333-3333-4333-8333-333333333333", "44444444-4444-4444-8444-444444444444"
	e.Put(t, emulated.Identity{ObjectID: known, Name: "deployer", Kind: "servicePrincipal", Member: true})
	e.Put(t, emulated.Identity{ObjectID: unknown, Name: "stranger"})
	ask := func(c *azuredevops.Connection) (*location.ConnectionData, error) {
		return location.NewClient(ctx, c).GetConnectionData(ctx, location.GetConnectionDataArgs{})
	}

	me, err := ask(withToken(e.Org, e.Token(t, known, "")))
	if err != nil {
		t.Fatal(err)
	}
	user, tenant := me.AuthenticatedUser, e.Identity(t, known).Tenant
	if *user.ProviderDisplayName != "deployer" || !strings.HasPrefix(*user.SubjectDescriptor, "aadsp.") ||
		*user.Descriptor != `Microsoft.VisualStudio.Services.Claims.AadServicePrincipal;`+tenant+`\`+known {
		t.Errorf("a service principal is %q, %q, %q", *user.ProviderDisplayName, *user.SubjectDescriptor, *user.Descriptor)
	}
	if *user.Id != *me.AuthorizedUser.Id || user.Id.Version() != 6 {
		t.Errorf("its storage key is %v", user.Id)
	}
	if me, err = ask(azuredevops.NewPatConnection(e.Org, e.PAT)); err != nil || !strings.HasPrefix(*me.AuthenticatedUser.SubjectDescriptor, "aad.") {
		t.Errorf("the owner of the PAT is %+v, %v", me, err)
	}
	// az devops sends an Entra token as if it were a PAT.
	if me, err = ask(azuredevops.NewPatConnection(e.Org, e.Token(t, known, ""))); err != nil || *me.AuthenticatedUser.ProviderDisplayName != "deployer" {
		t.Errorf("a token in place of a PAT is %+v, %v", me, err)
	}

	_, err = ask(withToken(e.Org, e.Token(t, unknown, "")))
	refused(t, err, 401, `TF401444: Please sign-in at least once as `+tenant+`\`+tenant+`\`+unknown+` in a web browser`)
	_, err = ask(withToken(e.Org, e.Token(t, known, "https://management.azure.com/")))
	refused(t, err, 401, "Request returned status: 401 Unauthorized")
	_, err = ask(azuredevops.NewPatConnection(e.Org, "no-such-token"))
	refused(t, err, 401, "Request returned status: 401 Unauthorized")
	_, err = ask(azuredevops.NewAnonymousConnection(e.Org))
	refused(t, err, 401, "TF400813: The user '' is not authorized to access this resource.")
}

// Without X-TFS-FedAuthRedirect: Suppress, a bad credential gets the sign-in page. This library
// only notices the error when it parses the page. That is why azptend has its own HTTP client.
func TestSignInPage(t *testing.T) {
	e := emulated.Start(t)
	for name, c := range map[string]*azuredevops.Connection{
		"a PAT": azuredevops.NewPatConnection(e.Org, "no-such-token"), "a token": withToken(e.Org, "no-such-token"),
	} {
		c.SuppressFedAuthRedirect = false
		_, err := location.NewClient(context.Background(), c).GetConnectionData(context.Background(), location.GetConnectionDataArgs{})
		var syntax *json.SyntaxError
		if !errors.As(err, &syntax) || !strings.Contains(err.Error(), "invalid character '<'") {
			t.Errorf("%s that is bad: %v", name, err)
		}
	}
}

// A collection of Azure DevOps Server lists no resource areas: everything is below its own address.
func TestServerWithoutAreas(t *testing.T) {
	ctx := context.Background()
	e := emulated.Start(t, "Default", "linux")
	e.Break(t, emulated.Fault{Method: "GET", Path: "/_apis/ResourceAreas", Status: 200, Body: `{"count":0,"value":null}`})
	client := agentsOf(t, azuredevops.NewPatConnection(e.Org, e.PAT))
	pools, err := client.GetAgentPools(ctx, taskagent.GetAgentPoolsArgs{})
	same(t, "pools", names(t, pools, err), "Default", "linux")
}

// A throttled call fails with the service's own message, and immediately: the library ignores
// Retry-After.
func TestBusyService(t *testing.T) {
	ctx := context.Background()
	e := emulated.Start(t)
	client := agentsOf(t, azuredevops.NewPatConnection(e.Org, e.PAT))
	pools, err := client.GetAgentPools(ctx, taskagent.GetAgentPoolsArgs{})
	same(t, "pools", names(t, pools, err), "Default")
	e.Break(t, emulated.Fault{Path: "/pools", Times: 1, Status: 429, Headers: map[string]string{"Retry-After": "7"},
		Body: `{"$id":"1","message":"TF400733: The request has been canceled","typeKey":"RequestBlockedException"}`})
	_, err = client.GetAgentPools(ctx, taskagent.GetAgentPoolsArgs{})
	refused(t, err, 429, "TF400733")
	e.Break(t, emulated.Fault{Path: "/pools", Times: 1, Status: 503})
	_, err = client.GetAgentPools(ctx, taskagent.GetAgentPoolsArgs{})
	refused(t, err, 503, "Request returned status: 503")
	pools, err = client.GetAgentPools(ctx, taskagent.GetAgentPoolsArgs{})
	same(t, "pools afterwards", names(t, pools, err), "Default")
}
