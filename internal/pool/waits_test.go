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
	got := WhyJobsWait(s.Queue, s.Agents())
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
		need := newJobNeed(demands)
		lacking, together := need.unmet(agents)
		matching := slices.ContainsFunc(agents, need.matches)
		if matching && len(lacking) > 0 {
			t.Fatalf("%v lack, and one of %v matches", lacking, agents)
		}
		if !together {
			for _, d := range lacking {
				if slices.ContainsFunc(agents, azdo.ParseDemand(d).MetBy) {
					t.Fatalf("%s is met", d)
				}
			}
		}
		if len(agents) > 0 && !matching && len(lacking) == 0 {
			t.Fatalf("nothing lacks, and nobody could take it")
		}
	})
}

// TestMeets: what is known of a demand is azdo's; what is not known keeps no job waiting. A
// registration's version is no capability: the server gives no job to an agent for it.
func TestMeets(t *testing.T) {
	a, silent := someone(1, "x", "v=4.2.0-rc1", "x=z", "Agent.Version=5.282.3"), someone(2, "y")
	for line, want := range map[string]bool{
		"Agent.Version -gtVersion 4.26.0": true, "Agent.Version -gtVersion 5.283.0": false, "agent.version": true,
		"v -gtVersion 4.1.9": true, "v -gtVersion 4.3": false, "x -like y": true, "y -like y": false,
	} {
		if got := newJobNeed([]string{line}).matches(a); got != want {
			t.Errorf("%q: %v", line, got)
		}
		if newJobNeed([]string{line}).matches(silent) {
			t.Errorf("an agent without capabilities meets %q", line)
		}
	}
}

// TestWaitsAreNoTrouble: a placeholder says that an autoscaler starts an agent, and an agent that
// has a job and is disabled is about to leave: it says nothing about trouble.
func TestWaitsAreNoTrouble(t *testing.T) {
	off := false
	cordoned, leaving, busy, dead, placeholder := someone(1, "cordoned"), someone(2, "leaving"), someone(3, "busy"), someone(4, "dead"), someone(5, "placeholder-agent")
	cordoned.Enabled, leaving.Enabled = &off, &off
	leaving.AssignedRequest, busy.AssignedRequest = &azdo.JobRequest{RequestID: 9}, &azdo.JobRequest{RequestID: 10}
	dead.Status, placeholder.Status = "offline", "offline"
	for _, tt := range []struct {
		agents  []azdo.Agent
		reason  WaitReason
		trouble bool
		names   string
	}{
		{[]azdo.Agent{placeholder, leaving}, WaitsForBusy, false, "leaving"},
		{[]azdo.Agent{leaving}, WaitsForBusy, false, "leaving"},
		{[]azdo.Agent{dead, leaving}, WaitsForBusy, false, "leaving"},
		{[]azdo.Agent{placeholder, cordoned}, WaitsForOffline, false, "placeholder-agent cordoned"},
		{[]azdo.Agent{placeholder, cordoned, leaving}, WaitsForOffline, false, "placeholder-agent cordoned leaving"},
		{[]azdo.Agent{cordoned}, WaitsForDisabled, true, "cordoned"},
		{[]azdo.Agent{dead, leaving, cordoned}, WaitsForDisabled, true, "cordoned"},
		{[]azdo.Agent{cordoned, busy, leaving}, WaitsForBusy, false, "busy"},
		{[]azdo.Agent{dead, placeholder}, WaitsForOffline, false, "dead placeholder-agent"},
		{[]azdo.Agent{dead}, WaitsForOffline, true, "dead"},
	} {
		w := WhyJobWaits(azdo.JobRequest{}, tt.agents)
		if w.Reason != tt.reason || w.IsTrouble() != tt.trouble || strings.Join(w.Agents, " ") != tt.names {
			t.Errorf("%s: %+v, trouble %v", tt.names, w, w.IsTrouble())
		}
	}
}

// TestNobodyQueuesMuchWork: a thousand jobs, each with a demand of its own, are not all explained,
// but jobs with demands that are known already are, wherever they stand.
func TestNobodyQueuesMuchWork(t *testing.T) {
	s := Survey{Verdicts: []Verdict{{Agent: someone(1, "x", "docker")}}}
	add := func(demands ...string) {
		s.Queue = append(s.Queue, azdo.JobRequest{RequestID: int64(len(s.Queue)), Demands: demands})
	}
	add("docker")
	add(slices.Repeat([]string{"a set that is too large"}, maxExplained)...)
	for i := range 1000 {
		add(fmt.Sprint("one", i), fmt.Sprint("two", i))
	}
	add("docker")
	waits := WhyJobsWait(s.Queue, s.Agents())
	_, tooLarge := waits[1]
	if len(waits) != 2+(maxExplained-1)/2 || waits[0].Reason != WaitsThoughFree || waits[1002].Reason != WaitsThoughFree || tooLarge {
		t.Errorf("%d are explained; the first is %+v, the last %+v", len(waits), waits[0], waits[1002])
	}
}
