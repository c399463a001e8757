package goapi

import (
	"context"
	"strconv"
	"testing"

	"github.com/microsoft/azure-devops-go-api/azuredevops/v7"
	"github.com/microsoft/azure-devops-go-api/azuredevops/v7/core"
	"github.com/microsoft/azure-devops-go-api/azuredevops/v7/pipelinepermissions"
	"github.com/microsoft/azure-devops-go-api/azuredevops/v7/taskagent"

	"github.com/azptend/azptend/test/external/conformance/go/emulated"
)

// An administrator adds a pool to a project and opens it to all pipelines of the project.
func TestPoolInAProject(t *testing.T) {
	ctx := context.Background()
	e := emulated.Start(t, "Default")
	admin := azuredevops.NewPatConnection(e.Org, e.PAT)
	client := agentsOf(t, admin)
	projects, err := core.NewClient(ctx, admin)
	if err != nil {
		t.Fatal(err)
	}
	listed, err := projects.GetProjects(ctx, core.GetProjectsArgs{})
	if err != nil || len(listed.Value) != 1 {
		t.Fatalf("the projects are %+v, %v", listed, err)
	}
	project := ptr(listed.Value[0].Id.String())
	pool, err := client.AddAgentPool(ctx, taskagent.AddAgentPoolArgs{Pool: &taskagent.TaskAgentPool{Name: ptr("linux")}})
	if err != nil {
		t.Fatal(err)
	}

	queue, err := client.AddAgentQueue(ctx, taskagent.AddAgentQueueArgs{Project: project,
		Queue: &taskagent.TaskAgentQueue{Name: ptr("linux"), Pool: &taskagent.TaskAgentPoolReference{Id: pool.Id}}})
	if err != nil || *queue.Pool.Id != *pool.Id || queue.ProjectId.String() != *project {
		t.Fatalf("the queue is %+v, %v", queue, err)
	}
	found, err := client.GetAgentQueues(ctx, taskagent.GetAgentQueuesArgs{Project: ptr("project"), QueueName: ptr("Linux"),
		ActionFilter: &taskagent.TaskAgentQueueActionFilterValues.Manage})
	if err != nil || len(*found) != 1 || *(*found)[0].Id != *queue.Id {
		t.Fatalf("found %+v, %v", found, err)
	}
	_, err = client.AddAgentQueue(ctx, taskagent.AddAgentQueueArgs{Project: project,
		Queue: &taskagent.TaskAgentQueue{Name: ptr("linux"), Pool: &taskagent.TaskAgentPoolReference{Id: pool.Id}}})
	refused(t, err, 409, "linux already exists")

	permissions, err := pipelinepermissions.NewClient(ctx, admin)
	if err != nil {
		t.Fatal(err)
	}
	of := pipelinepermissions.GetPipelinePermissionsForResourceArgs{Project: project, ResourceType: ptr("queue"), ResourceId: ptr(strconv.Itoa(*queue.Id))}
	closed, err := permissions.GetPipelinePermissionsForResource(ctx, of)
	if err != nil || closed.AllPipelines != nil || len(*closed.Pipelines) != 0 {
		t.Fatalf("before it is opened: %+v, %v", closed, err)
	}
	opened, err := permissions.UpdatePipelinePermisionsForResource(ctx, pipelinepermissions.UpdatePipelinePermisionsForResourceArgs{
		Project: of.Project, ResourceType: of.ResourceType, ResourceId: of.ResourceId,
		ResourceAuthorization: &pipelinepermissions.ResourcePipelinePermissions{
			AllPipelines: &pipelinepermissions.Permission{Authorized: ptr(true)},
			Pipelines:    &[]pipelinepermissions.PipelinePermission{{Id: ptr(5), Authorized: ptr(true)}}}})
	if err != nil || !*opened.AllPipelines.Authorized || *opened.AllPipelines.AuthorizedBy.DisplayName != "Emulated Admin" ||
		opened.AllPipelines.AuthorizedOn.Time.IsZero() || *(*opened.Pipelines)[0].Id != 5 {
		t.Fatalf("opened: %+v, %v", opened, err)
	}
	if err := client.DeleteAgentQueue(ctx, taskagent.DeleteAgentQueueArgs{Project: project, QueueId: queue.Id}); err != nil {
		t.Fatal(err)
	}
	_, err = client.GetAgentQueue(ctx, taskagent.GetAgentQueueArgs{Project: project, QueueId: queue.Id})
	refused(t, err, 404, "No agent queue found with identifier")
}
