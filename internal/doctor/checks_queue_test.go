package doctor

import (
	"strings"
	"testing"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/pool"
)

func off() *bool { no := false; return &no }

func someone(id int, name string, capabilities ...string) azdo.Agent {
	a := azdo.Agent{ID: id, Name: name, Version: "5.282.3", Status: "online", SystemCapabilities: map[string]string{}}
	for _, c := range capabilities {
		name, value, _ := strings.Cut(c, "=")
		a.SystemCapabilities[name] = value
	}
	return a
}

func TestWhyAJobWaits(t *testing.T) {
	offline, disabled, busy, free := someone(1, "offline", "docker"), someone(2, "disabled", "docker"), someone(3, "busy", "docker"), someone(4, "free", "docker", "java=17")
	offline.Status, disabled.Enabled, busy.AssignedRequest = "offline", off(), &azdo.JobRequest{RequestID: 9}
	leaving, placeholder := disabled, offline
	leaving.Name, leaving.AssignedRequest, placeholder.Name = "leaving", busy.AssignedRequest, "placeholder-agent"
	for _, tt := range []struct {
		what    string
		demands []string
		matched []azdo.Agent
		agents  []azdo.Agent
		cause   *Cause
		says    string
	}{
		{"an empty pool", nil, nil, nil, JobsWaitNobody, "the pool has no agent"},
		{"a demand that nobody meets", []string{"gpu", "docker"}, nil, []azdo.Agent{free}, JobsWaitDemands, "no agent has gpu"},
		{"demands that nobody meets together", []string{"gpu", "docker"}, nil, []azdo.Agent{free, someone(5, "gpu", "gpu")}, JobsWaitDemands, "no agent has all of gpu, docker at once"},
		{"a value", []string{"java -equals 21"}, nil, []azdo.Agent{free}, JobsWaitDemands, "no agent has java -equals 21"},
		{"a version", []string{"Agent.Version -gtVersion 5.300.0"}, nil, []azdo.Agent{free}, JobsWaitDemands, "Agent.Version -gtVersion 5.300.0"},
		{"all are offline", []string{"docker"}, nil, []azdo.Agent{offline, someone(5, "other")}, JobsWaitOffline, "all agents that could take it are offline: offline"},
		{"all are disabled", []string{"docker"}, nil, []azdo.Agent{offline, disabled}, JobsWaitDisabled, "disabled"},
		{"an agent of --once has a job", []string{"docker"}, nil, []azdo.Agent{placeholder, leaving}, JobsWaitBusy, "all agents that could take it are busy: leaving"},
		{"an autoscaler starts one", []string{"docker"}, nil, []azdo.Agent{placeholder, disabled}, JobsWaitOffline, "all agents that could take it are offline or disabled: placeholder-agent, disabled"},
		{"all are busy", []string{"docker"}, nil, []azdo.Agent{offline, disabled, busy}, JobsWaitBusy, "all agents that could take it are busy: busy"},
		{"one is free", []string{"Docker"}, nil, []azdo.Agent{offline, disabled, busy, free}, JobsWait, "a free agent could take it: free"},
		{"the server's word counts", nil, []azdo.Agent{busy}, []azdo.Agent{busy, free}, JobsWaitBusy, "busy"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			q := azdo.JobRequest{RequestID: 7, JobName: "build", Demands: tt.demands, MatchedAgents: tt.matched}
			if p := explainWait(q, pool.WhyJobWaits(q, tt.agents)); p.Cause != tt.cause || !strings.Contains(p.What, tt.says) || !strings.HasPrefix(p.What, "job 7 (build) waits") {
				t.Errorf("%+v", p)
			}
		})
	}
}

func TestManyJobsWait(t *testing.T) {
	requests := make([]azdo.JobRequest, 30)
	problems := explainWaits(append(requests, azdo.JobRequest{AssignTime: azdo.Time{Time: time.Now()}}), nil, nil)
	if len(problems) != maxExplained || !strings.HasSuffix(problems[maxExplained-1].What, "(and 25 more jobs)") {
		t.Errorf("%d: %+v", len(problems), problems)
	}
}

// TestJobsOfGroups: with groups, a job waits for its group, or for a demand that no group meets.
func TestJobsOfGroups(t *testing.T) {
	groups := []pool.Group{{Name: "linux", Max: 3}}
	problems := explainWaits([]azdo.JobRequest{{RequestID: 1}, {RequestID: 2, Demands: []string{"gpu"}}}, nil, groups)
	if len(problems) != 2 || problems[0].Cause != JobsWaitGroup || problems[0].What != "job 1 waits: group linux runs it" ||
		problems[1].Cause != JobsWaitDemands || problems[1].What != "job 2 waits: no group has gpu" {
		t.Errorf("%+v", problems)
	}
}

// TestCountAsKEDA are the fixtures of keda-and-kubernetes.md 1.5, as far as they
// are about what this counts.
func TestCountAsKEDA(t *testing.T) {
	parent := azdo.Agent{Name: "template", Version: agentdir.PlaceholderVersionPrefix, Status: "offline"}
	now := azdo.Time{Time: time.Now()}
	requests := []azdo.JobRequest{
		{}, {MatchedAgents: []azdo.Agent{parent}},
		{ReceiveTime: now, MatchedAgents: []azdo.Agent{parent}}, // runs
		{AssignTime: now}, // is assigned: nobody has received it
		{Result: "succeeded", ReceiveTime: now},
	}
	want := `KEDA counts 4, or 3 without those that run (2.20, or scaleOnInFlight "false"), with parent template 2`
	if got := countAsKEDA(requests, placeholderNames([]azdo.Agent{parent, someone(1, "a")})); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if got := countAsKEDA(nil, nil); got != "KEDA counts 0" {
		t.Error(got)
	}
}
