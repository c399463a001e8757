package pool

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/azptend/azptend/internal/azdo"
)

// someone is an agent that is online, with capabilities ("name" or "name=value").
func someone(id int, name string, capabilities ...string) azdo.Agent {
	a := azdo.Agent{ID: id, Name: name, Version: "5.282.3", Status: "online", SystemCapabilities: map[string]string{}}
	for _, c := range capabilities {
		name, value, _ := strings.Cut(c, "=")
		a.SystemCapabilities[name] = value
	}
	return a
}

// TestWhyJobsWait is about what a survey adds to WhyJobWaits, whose table is in package doctor.
func TestWhyJobsWait(t *testing.T) {
	busy, free := someone(1, "busy", "docker"), someone(2, "free", "docker")
	busy.AssignedRequest = &azdo.JobRequest{RequestID: 9}
	many := slices.Repeat([]azdo.Agent{{ID: 1}}, maxMatches)
	s := Survey{Verdicts: []Verdict{{Agent: busy}, {Agent: free}}, Queue: []azdo.JobRequest{
		{RequestID: 1, Demands: []string{"gpu", "docker"}},
		{RequestID: 2, Demands: []string{"docker"}, MatchedAgents: []azdo.Agent{{ID: 1}}},
		{RequestID: 3, Demands: []string{"docker"}, MatchedAgents: many}, // others were left out
		{RequestID: 4, Demands: []string{"docker"}},
		{RequestID: 5, AssignTime: azdo.Time{Time: time.Now()}},
	}}
	want := map[int64]WaitReason{1: WaitsForDemands, 2: WaitsForBusy, 3: WaitsThoughFree, 4: WaitsThoughFree}
	got := s.WhyJobsWait()
	for id, reason := range want {
		if got[id].Reason != reason || got[id].IsTrouble() != (id == 1) {
			t.Errorf("job %d: %+v, want %s", id, got[id], reason)
		}
	}
	if len(got) != len(want) || got[1].Why != "no agent has gpu" {
		t.Errorf("%+v", got)
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
