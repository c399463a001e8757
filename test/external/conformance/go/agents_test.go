package goapi

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"math/big"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"
	"github.com/microsoft/azure-devops-go-api/azuredevops/v7"
	"github.com/microsoft/azure-devops-go-api/azuredevops/v7/taskagent"

	"github.com/azptend/azptend/test/external/conformance/go/emulated"
)

// A registration tool adds an agent, finds it in every way, changes it and removes it.
func TestAgents(t *testing.T) {
	ctx := context.Background()
	e := emulated.Start(t)
	client := agentsOf(t, azuredevops.NewPatConnection(e.Org, e.PAT))
	pool := ptr(1)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	agent := taskagent.TaskAgent{
		Name: ptr("builder"), Version: ptr("5.282.3"), OsDescription: ptr("Debian"), MaxParallelism: ptr(1),
		Authorization: &taskagent.TaskAgentAuthorization{PublicKey: &taskagent.TaskAgentPublicKey{
			Exponent: ptr(big.NewInt(int64(key.E)).Bytes()), Modulus: ptr(key.N.Bytes())}},
		SystemCapabilities: &map[string]string{"Agent.OS": "Linux", "Agent.Version": "5.282.3"},
		UserCapabilities:   &map[string]string{"docker": "", "gpu": "a100"},
	}
	added, err := client.AddAgent(ctx, taskagent.AddAgentArgs{PoolId: pool, Agent: &agent})
	if err != nil {
		t.Fatal(err)
	}
	if added.Authorization == nil || *added.Authorization.ClientId == uuid.Nil || *added.Authorization.AuthorizationUrl == "" {
		t.Errorf("an agent that is added has no client id or address to get a token at: %+v", added.Authorization)
	}
	_, err = client.AddAgent(ctx, taskagent.AddAgentArgs{PoolId: pool, Agent: &agent})
	refused(t, err, 409, "Pool 1 already contains an agent with name builder.")

	find := func(args taskagent.GetAgentsArgs) *[]taskagent.TaskAgent {
		t.Helper()
		args.PoolId = pool
		found, err := client.GetAgents(ctx, args)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	plain := (*find(taskagent.GetAgentsArgs{AgentName: ptr("Builder")}))[0]
	if plain.SystemCapabilities != nil || plain.UserCapabilities != nil || plain.AssignedRequest != nil || plain.Authorization != nil {
		t.Errorf("the agent tells what was not asked for: %+v", plain)
	}
	if *plain.Status != taskagent.TaskAgentStatusValues.Offline || !*plain.Enabled || plain.CreatedOn.Time.IsZero() {
		t.Errorf("the new agent is %+v", plain)
	}
	full := (*find(taskagent.GetAgentsArgs{IncludeCapabilities: ptr(true), PropertyFilters: &[]string{"a", "b"}}))[0]
	if (*full.UserCapabilities)["gpu"] != "a100" || (*full.SystemCapabilities)["Agent.OS"] != "Linux" {
		t.Errorf("the capabilities are %v and %v", *full.SystemCapabilities, *full.UserCapabilities)
	}
	for _, c := range []struct {
		demands []string
		want    int
	}{{[]string{"docker", "gpu -equals a100"}, 1}, {[]string{"docker", "Agent.Version -gtVersion 4.100.0"}, 1}, {[]string{"docker", "gpu -equals h100"}, 0}} {
		if got := len(*find(taskagent.GetAgentsArgs{Demands: &c.demands})); got != c.want {
			t.Errorf("%d agents meet %q, want %d", got, c.demands, c.want)
		}
	}

	off, err := client.UpdateAgent(ctx, taskagent.UpdateAgentArgs{PoolId: pool, AgentId: added.Id, Agent: &taskagent.TaskAgent{Id: added.Id, Enabled: ptr(false)}})
	if err != nil || *off.Enabled {
		t.Fatalf("the agent that was disabled is %+v, %v", off, err)
	}
	if a, _ := e.Agent(t, "builder"); a.Enabled {
		t.Error("the emulator has it enabled")
	}
	_, err = client.UpdateAgent(ctx, taskagent.UpdateAgentArgs{PoolId: pool, AgentId: added.Id, Agent: &taskagent.TaskAgent{Id: ptr(99), Enabled: ptr(true)}})
	refused(t, err, 400, "does not match")
	replaced, err := client.ReplaceAgent(ctx, taskagent.ReplaceAgentArgs{PoolId: pool, AgentId: added.Id, Agent: &agent})
	if err != nil || *replaced.Id != *added.Id || *replaced.Authorization.ClientId != *added.Authorization.ClientId {
		t.Fatalf("the agent that was replaced is %+v, %v", replaced, err)
	}

	if err := client.DeleteAgent(ctx, taskagent.DeleteAgentArgs{PoolId: pool, AgentId: added.Id}); err != nil {
		t.Fatal(err)
	}
	_, err = client.GetAgent(ctx, taskagent.GetAgentArgs{PoolId: pool, AgentId: added.Id})
	refused(t, err, 404, "No agent found for pool 1 with identifier 1.")
	if _, there := e.Agent(t, "builder"); there {
		t.Error("the emulator still has it")
	}
}

// A client watches a busy agent of azptend: it sees the agent's job, cannot remove the agent
// meanwhile, and may disable it.
func TestAgentAtWork(t *testing.T) {
	ctx := context.Background()
	e := emulated.Start(t)
	client := agentsOf(t, azuredevops.NewPatConnection(e.Org, e.PAT))
	e.RunAgent(t, "worker")
	goOn := filepath.Join(t.TempDir(), "go-on")
	job := e.Queue(t, emulated.Job{Name: "long", Script: "while [ ! -e " + goOn + " ]; do sleep 0.05; done"})
	e.WaitJob(t, job, "job.started")

	look := func() taskagent.TaskAgent {
		t.Helper()
		found, err := client.GetAgents(ctx, taskagent.GetAgentsArgs{PoolId: ptr(1), AgentName: ptr("worker"),
			IncludeAssignedRequest: ptr(true), IncludeLastCompletedRequest: ptr(true), IncludeCapabilities: ptr(true)})
		if err != nil || len(*found) != 1 {
			t.Fatalf("found %v, %v", found, err)
		}
		return (*found)[0]
	}
	busy := look()
	r := busy.AssignedRequest
	if *busy.Status != taskagent.TaskAgentStatusValues.Online || r == nil || r.ReceiveTime == nil || r.FinishTime != nil ||
		r.Result != nil || *r.RequestId != uint64(job) || *r.ReservedAgent.Name != "worker" || r.LockedUntil == nil {
		t.Fatalf("the agent at work is %+v with the request %+v", busy, r)
	}
	if (*busy.UserCapabilities)["azptend.instance"] == "" {
		t.Errorf("the agent does not carry azptend's mark: %v", *busy.UserCapabilities)
	}
	refused(t, client.DeleteAgent(ctx, taskagent.DeleteAgentArgs{PoolId: ptr(1), AgentId: busy.Id}), 400, "is running a job for pool")
	// The agent is sent back as it was read, including its request and its times.
	busy.MaxParallelism = ptr(2)
	if whole, err := client.UpdateAgent(ctx, taskagent.UpdateAgentArgs{PoolId: ptr(1), AgentId: busy.Id, Agent: &busy}); err != nil ||
		*whole.MaxParallelism != 2 || !*whole.Enabled {
		t.Fatalf("the agent that was sent back is %+v, %v", whole, err)
	}
	if _, err := client.UpdateAgent(ctx, taskagent.UpdateAgentArgs{PoolId: ptr(1), AgentId: busy.Id,
		Agent: &taskagent.TaskAgent{Id: busy.Id, Enabled: ptr(false)}}); err != nil {
		t.Fatal(err)
	}

	if err := os.WriteFile(goOn, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	e.WaitJob(t, job, "job.finished")
	idle := look()
	if last := idle.LastCompletedRequest; idle.AssignedRequest != nil || *idle.Enabled || last == nil ||
		*last.Result != taskagent.TaskResultValues.Succeeded || last.FinishTime == nil {
		t.Fatalf("the agent after its job is %+v with the last request %+v", idle, last)
	}
}
