package doctor

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
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
		{"all are busy", []string{"docker"}, nil, []azdo.Agent{offline, disabled, busy}, JobsWaitBusy, "all agents that could take it are busy: busy"},
		{"one is free", []string{"Docker"}, nil, []azdo.Agent{offline, disabled, busy, free}, JobsWait, "a free agent could take it: free"},
		{"the server's word counts", nil, []azdo.Agent{busy}, []azdo.Agent{busy, free}, JobsWaitBusy, "busy"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			q := azdo.JobRequest{RequestID: 7, JobName: "build", Demands: tt.demands, MatchedAgents: tt.matched}
			if p := explainWait(q, tt.agents); p.Cause != tt.cause || !strings.Contains(p.What, tt.says) || !strings.HasPrefix(p.What, "job 7 (build) waits") {
				t.Errorf("%+v", p)
			}
		})
	}
}

func TestManyJobsWait(t *testing.T) {
	requests := make([]azdo.JobRequest, 30)
	problems := explainWaits(append(requests, azdo.JobRequest{AssignTime: azdo.Time{Time: time.Now()}}), nil)
	if len(problems) != maxExplained || !strings.HasSuffix(problems[maxExplained-1].What, "(and 25 more jobs)") {
		t.Errorf("%d: %+v", len(problems), problems)
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

// TestUnmet: what is said to be lacking is lacking, and nothing is lacking where
// an agent can take the job.
func TestUnmet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "a -equals 1", "b -equals 2", "c -gtVersion 1.2.3"}), 0, 4)
		demands := words.Draw(t, "demands")
		var agents []azdo.Agent
		for i := range rapid.IntRange(0, 3).Draw(t, "agents") {
			has := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "a=1", "b=2", "B=3", "c=1.2.3", "c=1.10.0"}), 0, 3).Draw(t, fmt.Sprint("agent ", i))
			agents = append(agents, someone(i+1, "x", has...))
		}
		lacking, together := unmetDemands(demands, agents)
		if could := matchingAgents(azdo.JobRequest{Demands: demands}, agents); len(could) > 0 && len(lacking) > 0 {
			t.Fatalf("%v lack, and %v could take it", lacking, could)
		}
		if !together {
			for _, d := range lacking {
				if slices.ContainsFunc(agents, func(a azdo.Agent) bool { return agentMeets(d, a) }) {
					t.Fatalf("%s is met", d)
				}
			}
		}
		if len(agents) > 0 && len(matchingAgents(azdo.JobRequest{Demands: demands}, agents)) == 0 && len(lacking) == 0 {
			t.Fatalf("nothing lacks, and nobody could take it")
		}
	})
}

// TestMeets: what is known of a demand is azdo's; the registration's version, and
// what is not known, keep no job waiting.
func TestMeets(t *testing.T) {
	a := someone(1, "x", "v=4.2.0-rc1", "x=z")
	for line, want := range map[string]bool{
		"Agent.Version -gtVersion 4.26.0": true, "Agent.Version -gtVersion 5.283.0": false, "agent.version": true,
		"v -gtVersion 4.1.9": true, "v -gtVersion 4.3": false, "x -like y": true, "y -like y": false,
	} {
		if got := agentMeets(line, a); got != want {
			t.Errorf("%q: %v", line, got)
		}
	}
}
