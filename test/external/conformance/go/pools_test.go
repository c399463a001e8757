package goapi

import (
	"context"
	"testing"

	"github.com/microsoft/azure-devops-go-api/azuredevops/v7"
	"github.com/microsoft/azure-devops-go-api/azuredevops/v7/taskagent"

	"github.com/azptend/azptend/test/external/conformance/go/emulated"
)

func names(t *testing.T, pools *[]taskagent.TaskAgentPool, err error) []string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, p := range *pools {
		out = append(out, *p.Name)
	}
	return out
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: got %q, want %q", what, got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%s: got %q, want %q", what, got, want)
		}
	}
}

// An administrator lists pools, creates one, and deletes it again.
func TestPools(t *testing.T) {
	ctx := context.Background()
	e := emulated.Start(t, "Default", "linux", "Linux arm64")
	client := agentsOf(t, azuredevops.NewPatConnection(e.Org, e.PAT))
	list := func(args taskagent.GetAgentPoolsArgs) []string {
		pools, err := client.GetAgentPools(ctx, args)
		return names(t, pools, err)
	}

	same(t, "all pools", list(taskagent.GetAgentPoolsArgs{}), "Default", "linux", "Linux arm64")
	same(t, "by name, exactly", list(taskagent.GetAgentPoolsArgs{PoolName: ptr("LINUX")}), "linux")
	same(t, "a name with a space", list(taskagent.GetAgentPoolsArgs{PoolName: ptr("Linux arm64")}), "Linux arm64")
	same(t, "those to manage", list(taskagent.GetAgentPoolsArgs{ActionFilter: &taskagent.TaskAgentPoolActionFilterValues.Manage}),
		"Default", "linux", "Linux arm64")
	same(t, "deployment pools", list(taskagent.GetAgentPoolsArgs{PoolType: &taskagent.TaskAgentPoolTypeValues.Deployment}))
	byID, err := client.GetAgentPoolsByIds(ctx, taskagent.GetAgentPoolsByIdsArgs{PoolIds: &[]int{3, 1, 77}})
	same(t, "by ids", names(t, byID, err), "Default", "Linux arm64")

	// The service ignores autoUpdate false when it creates a pool: it must be set again.
	made, err := client.AddAgentPool(ctx, taskagent.AddAgentPoolArgs{Pool: &taskagent.TaskAgentPool{
		Name: ptr("windows"), AutoUpdate: ptr(false), AutoProvision: ptr(false), PoolType: &taskagent.TaskAgentPoolTypeValues.Automation}})
	if err != nil {
		t.Fatal(err)
	}
	if !*made.AutoUpdate || *made.AutoProvision || *made.IsHosted || *made.Size != 0 || *made.Options != taskagent.TaskAgentPoolOptionsValues.None {
		t.Errorf("the pool made is %+v", *made)
	}
	changed, err := client.UpdateAgentPool(ctx, taskagent.UpdateAgentPoolArgs{PoolId: made.Id, Pool: &taskagent.TaskAgentPool{AutoUpdate: ptr(false)}})
	if err != nil || *changed.AutoUpdate || *changed.Name != "windows" {
		t.Fatalf("the pool changed is %+v, %v", changed, err)
	}
	_, err = client.AddAgentPool(ctx, taskagent.AddAgentPoolArgs{Pool: &taskagent.TaskAgentPool{Name: ptr("Windows")}})
	refused(t, err, 409, "Agent pool Windows already exists.")

	if err := client.DeleteAgentPool(ctx, taskagent.DeleteAgentPoolArgs{PoolId: made.Id}); err != nil {
		t.Fatal(err)
	}
	_, err = client.GetAgentPool(ctx, taskagent.GetAgentPoolArgs{PoolId: made.Id})
	refused(t, err, 404, "No agent pool found with identifier 4.")
}

// Visible pools and allowed actions depend on the role. A pool without permission looks like one
// that does not exist.
func TestPoolsByRole(t *testing.T) {
	ctx := context.Background()
	e := emulated.Start(t, "Default", "linux")
	of := func(objectID string, roles map[string]string) taskagent.Client {
		e.Put(t, emulated.Identity{ObjectID: objectID, Name: "tool", Member: true, Roles: roles})
		return agentsOf(t, withToken(e.Org, e.Token(t, objectID, "")))
	}
	reader := of("11111111-1111-4111-8111-111111111111", map[string]string{"linux": "Reader"})
	nobody := of("22222222-2222-4222-8222-222222222222", nil)

	pools, err := reader.GetAgentPools(ctx, taskagent.GetAgentPoolsArgs{})
	same(t, "what a reader sees", names(t, pools, err), "linux")
	pools, err = reader.GetAgentPools(ctx, taskagent.GetAgentPoolsArgs{ActionFilter: &taskagent.TaskAgentPoolActionFilterValues.Manage})
	same(t, "what a reader manages", names(t, pools, err))
	_, err = reader.UpdateAgentPool(ctx, taskagent.UpdateAgentPoolArgs{PoolId: ptr(2), Pool: &taskagent.TaskAgentPool{AutoUpdate: ptr(false)}})
	refused(t, err, 403, "Access denied. tool needs Manage permissions for pool linux to perform the action.")
	_, err = reader.AddAgentPool(ctx, taskagent.AddAgentPoolArgs{Pool: &taskagent.TaskAgentPool{Name: ptr("mine")}})
	refused(t, err, 403, "Access denied. tool needs Manage permissions to perform the action.")

	pools, err = nobody.GetAgentPools(ctx, taskagent.GetAgentPoolsArgs{PoolName: ptr("linux")})
	same(t, "what one without a role sees", names(t, pools, err))
	_, err = nobody.GetAgents(ctx, taskagent.GetAgentsArgs{PoolId: ptr(2)})
	refused(t, err, 404, "No agent pool found with identifier 2.")
}
