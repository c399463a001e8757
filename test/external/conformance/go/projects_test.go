package goapi

import (
	"context"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/microsoft/azure-devops-go-api/azuredevops/v7"
	"github.com/microsoft/azure-devops-go-api/azuredevops/v7/core"
	"github.com/microsoft/azure-devops-go-api/azuredevops/v7/graph"
	"github.com/microsoft/azure-devops-go-api/azuredevops/v7/identity"
	"github.com/microsoft/azure-devops-go-api/azuredevops/v7/taskagent"

	"github.com/azptend/azptend/test/external/conformance/go/emulated"
)

// Terraform's provider reads these parts of a project: its process, its version control, its team,
// its scope in the graph.
func TestProject(t *testing.T) {
	ctx := context.Background()
	e := emulated.Start(t)
	admin := azuredevops.NewPatConnection(e.Org, e.PAT)
	projects, err := core.NewClient(ctx, admin)
	if err != nil {
		t.Fatal(err)
	}
	project, err := projects.GetProject(ctx, core.GetProjectArgs{ProjectId: ptr("Project"), IncludeCapabilities: ptr(true), IncludeHistory: ptr(false)})
	if err != nil {
		t.Fatal(err)
	}
	can := *project.Capabilities
	if can["processTemplate"]["templateTypeId"] != "adcc42ab-9882-485e-a3ed-7678f01f66bc" || can["versioncontrol"]["sourceControlType"] != "Git" {
		t.Errorf("its capabilities are %v", can)
	}
	id := uuid.MustParse(can["processTemplate"]["templateTypeId"])
	process, err := projects.GetProcessById(ctx, core.GetProcessByIdArgs{ProcessId: &id})
	if err != nil || *process.Name != can["processTemplate"]["templateName"] {
		t.Errorf("its process is %+v, %v", process, err)
	}
	if *project.DefaultTeam.Name != "Project Team" || project.LastUpdateTime.Time.IsZero() || *project.Visibility != core.ProjectVisibilityValues.Private {
		t.Errorf("the project is %+v", project)
	}
	scope, err := subjects(t, admin).GetDescriptor(ctx, graph.GetDescriptorArgs{StorageKey: project.Id})
	if err != nil || !strings.HasPrefix(*scope.Value, "scp.") {
		t.Errorf("its descriptor is %+v, %v", scope, err)
	}
}

// az devops searches for a person by the alias first, then by everything else.
func TestIdentityByFilter(t *testing.T) {
	ctx := context.Background()
	const oid = "55555555-5555-4555-8555-555555555555"
	e := emulated.Start(t, "Default")
	e.Put(t, emulated.Identity{ObjectID: oid, Name: "jane@example.com", Kind: "user", Member: true})
	admin := azuredevops.NewPatConnection(e.Org, e.PAT)
	identities, err := identity.NewClient(ctx, admin)
	if err != nil {
		t.Fatal(err)
	}
	for filter, value := range map[string]string{"DirectoryAlias": "jane", "General": "jane", "MailAddress": "jane@example.com"} {
		found, err := identities.ReadIdentities(ctx, identity.ReadIdentitiesArgs{SearchFilter: &filter, FilterValue: &value})
		if err != nil || len(*found) != 1 || *(*found)[0].ProviderDisplayName != "jane@example.com" {
			t.Errorf("%s %s finds %+v, %v", filter, value, found, err)
		}
	}
	none, err := identities.ReadIdentities(ctx, identity.ReadIdentitiesArgs{SearchFilter: ptr("DirectoryAlias"), FilterValue: ptr("nobody")})
	if err != nil || len(*none) != 0 {
		t.Errorf("nobody is %+v, %v", none, err)
	}

	pools, err := agentsOf(t, admin).GetAgentPools(ctx, taskagent.GetAgentPoolsArgs{})
	if err != nil || len(*pools) != 1 {
		t.Fatalf("the pools are %+v, %v", pools, err)
	}
	owner := *(*pools)[0].Owner.Id
	who, err := identities.ReadIdentities(ctx, identity.ReadIdentitiesArgs{IdentityIds: &owner})
	if err != nil || len(*who) != 1 || *(*who)[0].ProviderDisplayName != "Emulated Admin" {
		t.Errorf("the pool's owner %s is %+v, %v", owner, who, err)
	}
}
