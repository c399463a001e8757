package pool

import (
	"fmt"
	"testing"
	"time"
	_ "time/tzdata"

	"pgregory.net/rapid"

	"github.com/azptend/azptend/internal/azdo"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

var everyDay = [7]bool{true, true, true, true, true, true, true}

// TestWindows: a window follows the clock on the wall, over midnight and over both changes of
// daylight saving time.
func TestWindows(t *testing.T) {
	zurich := zone(t, "Europe/Zurich")
	work := Window{Count: 3, Days: [7]bool{time.Monday: true, time.Friday: true}, From: 7 * 60, To: 18*60 + 30, Zone: zurich}
	night := Window{Count: 1, Days: [7]bool{time.Friday: true}, From: 22 * 60, To: 6 * 60, Zone: zurich}
	whole := Window{Count: 1, Days: [7]bool{time.Sunday: true}, From: 0, To: 24 * 60, Zone: zurich}
	gap := Window{Count: 1, Days: everyDay, From: 2*60 + 30, To: 3*60 + 30, Zone: zurich}
	for _, tt := range []struct {
		window Window
		at     string // UTC
		want   bool
	}{
		{work, "2026-11-30T06:00:00Z", true}, // Monday, 07:00
		{work, "2026-11-30T05:59:59Z", false},
		{work, "2026-11-30T17:29:59Z", true}, // 18:29:59
		{work, "2026-11-30T17:30:00Z", false},
		{work, "2026-12-01T06:00:00Z", false}, // Tuesday
		{work, "2026-07-06T05:00:00Z", true},  // Monday in summer: 07:00 is an hour earlier in UTC
		{night, "2026-12-04T21:00:00Z", true}, // Friday, 22:00
		{night, "2026-12-05T04:59:00Z", true}, // Saturday, 05:59
		{night, "2026-12-05T05:00:00Z", false},
		{night, "2026-12-05T21:00:00Z", false}, // Saturday, 22:00
		{night, "2026-12-04T04:00:00Z", false}, // Friday, 05:00: it would have opened on Thursday
		{whole, "2026-12-05T23:00:00Z", true},  // Sunday, 00:00
		{whole, "2026-12-06T22:59:59Z", true},
		{whole, "2026-12-06T23:00:00Z", false},

		// On 2026-03-29, 02:00 becomes 03:00: there is no 02:30.
		{gap, "2026-03-29T00:59:59Z", false}, // 01:59:59
		{gap, "2026-03-29T01:00:00Z", true},  // 03:00
		{gap, "2026-03-29T01:30:00Z", false}, // 03:30
		// On 2026-10-25, 03:00 becomes 02:00: 02:30 comes twice.
		{gap, "2026-10-25T00:29:59Z", false}, // 02:29:59
		{gap, "2026-10-25T00:30:00Z", true},  // 02:30 for the first time
		{gap, "2026-10-25T01:00:00Z", false}, // 02:00 again
		{gap, "2026-10-25T01:30:00Z", true},
		{gap, "2026-10-25T02:30:00Z", false}, // 03:30
	} {
		at, err := time.Parse(time.RFC3339, tt.at)
		if err != nil {
			t.Fatal(err)
		}
		if got := tt.window.isOpen(at); got != tt.want {
			t.Errorf("%v at %s (%s): open is %v", tt.window, tt.at, at.In(zurich).Format("Mon 15:04:05"), got)
		}
	}
}

// TestWindowsOfAnyTime: of any windows, the greatest one that is open counts; an agent is never
// desired without a job, a warm place or room below the maximum.
func TestWindowsOfAnyTime(t *testing.T) {
	zones := []*time.Location{time.UTC, zone(t, "Europe/Zurich"), zone(t, "America/New_York"), zone(t, "Australia/Lord_Howe")}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		g := Group{Max: rapid.IntRange(1, 20).Draw(t, "max")}
		for i := range rapid.IntRange(0, 4).Draw(t, "windows") {
			w := Window{
				Count: rapid.IntRange(1, g.Max).Draw(t, fmt.Sprint("count ", i)), Zone: rapid.SampledFrom(zones).Draw(t, fmt.Sprint("zone ", i)),
				From: rapid.IntRange(0, 1439).Draw(t, fmt.Sprint("from ", i)), To: rapid.IntRange(1, 1440).Draw(t, fmt.Sprint("to ", i)),
			}
			for d := range w.Days {
				w.Days[d] = rapid.Bool().Draw(t, fmt.Sprint("day ", i, d))
			}
			g.Warm = append(g.Warm, w)
		}
		at := start.Add(time.Duration(rapid.IntRange(0, 366*24*3600).Draw(t, "at")) * time.Second)
		warm, some := g.WarmAt(at), false
		for _, w := range g.Warm {
			if w.isOpen(at) && w.Count > warm {
				t.Fatalf("%d warm, although a window of %d is open", warm, w.Count)
			}
			some = some || w.isOpen(at) && w.Count == warm
			// A window that opens and closes on the same day is closed at midnight.
			if local := at.In(w.Zone); w.From > 0 && w.From < w.To && local.Hour() == 0 && local.Minute() == 0 && w.isOpen(at) {
				t.Fatalf("%v is open at %v", w, local)
			}
		}
		if warm > 0 && !some {
			t.Fatalf("%d warm, and no window of that count is open", warm)
		}
		c := GroupCount{Waiting: rapid.IntRange(0, 30).Draw(t, "waiting"), Busy: rapid.IntRange(0, 30).Draw(t, "busy")}
		if got := g.Desired(c, at); got < 0 || got > g.Max || got > c.Waiting+c.Busy+warm || got < min(g.Max, c.Waiting+c.Busy) {
			t.Fatalf("%d desired of %+v, %d warm, at most %d", got, c, warm, g.Max)
		}
	})
}

// TestCanRun: which group can run a job, by its demands and by the server's word.
func TestCanRun(t *testing.T) {
	plain := Group{Name: "plain", Max: 5}
	docker := Group{Name: "docker", Max: 5, Agents: "docker-*", Capabilities: map[string]string{"docker": "true", "java": "17.0.2"}}
	windows := Group{Name: "windows", Max: 5, Capabilities: map[string]string{"Agent.OS": "Windows_NT", "agent.osarchitecture": "ARM64", "Agent.Version": "5.282.3"}}
	groups := []Group{plain, docker, windows}
	tagged := func(id int, group string, capabilities ...string) azdo.Agent {
		a := someone(id, "agent", capabilities...)
		a.UserCapabilities = map[string]string{"azptend.group": group, "azptend.kind": "agent"}
		return a
	}
	holder := func(id int, g Group) azdo.Agent {
		a := newPlaceholder(g.Placeholder("p"))
		a.ID, a.Status = id, "offline"
		return a
	}
	for _, tt := range []struct {
		name    string
		agents  []azdo.Agent
		demands []string
		matched []int
		want    string // group, or why there is none
	}{
		{"nothing demanded", nil, nil, nil, "plain"},
		{"a capability, by another case", nil, []string{"DOCKER"}, nil, "docker"},
		{"a value, by another case", nil, []string{"docker -equals TRUE"}, nil, "docker"},
		{"another value", nil, []string{"docker -equals no"}, nil, "no group has docker -equals no"},
		{"a version, by number and not by text", nil, []string{"java -gtVersion 9.9"}, nil, "docker"},
		{"a newer version", nil, []string{"java -gtVersion 17.1"}, nil, "no group has java -gtVersion 17.1"},
		{"what the server adds to most jobs", nil, []string{"Agent.Version -gtVersion 2.182.1"}, nil, "plain"},
		{"the agent's version, which a group may declare", nil, []string{"Agent.Version -gtVersion 6.0.0", "docker"}, nil, "docker"},
		{"a system", nil, []string{"Agent.OS -equals Windows_NT"}, nil, "windows"},
		{"an architecture", nil, []string{"Agent.OSArchitecture -equals ARM64"}, nil, "windows"},
		{"demands of two groups", nil, []string{"docker", "Agent.OS -equals Windows_NT"}, nil, "no group has all of docker, Agent.OS -equals Windows_NT at once"},
		{"a demand that nobody meets", nil, []string{"docker", "gpu"}, nil, "no group has gpu"},
		{"a demand with a name of an agent", nil, []string{"Agent.Name -equals vm-1"}, nil, "no group has Agent.Name -equals vm-1"},

		{"the image has more than the group declares", []azdo.Agent{tagged(1, "windows", "vs2022")}, []string{"vs2022"}, nil, "windows"},
		{"by the name, without a tag", []azdo.Agent{someone(1, "docker-x7", "git")}, []string{"git"}, nil, "docker"},
		{"the tag comes before the name", []azdo.Agent{func() azdo.Agent { a := tagged(1, "plain", "git"); a.Name = "docker-1"; return a }()}, []string{"git"}, nil, "plain"},
		{"an agent of an unknown group", []azdo.Agent{tagged(1, "gone", "git")}, []string{"git"}, nil, "no group has git"},
		{"an agent without a group", []azdo.Agent{someone(1, "vm", "git")}, []string{"git"}, nil, "no group has git"},

		{"the server names an agent", []azdo.Agent{tagged(1, "plain")}, []string{"odd -like x"}, []int{1}, "plain"},
		{"the server names a placeholder", []azdo.Agent{holder(1, plain), holder(2, windows), holder(3, docker)}, nil, []int{2}, "windows"},
		{"the server does not name the others' placeholders", []azdo.Agent{holder(1, plain), holder(2, docker)}, []string{"docker"}, []int{2}, "docker"},
		{"the server cannot name a placeholder that is missing", []azdo.Agent{holder(2, docker)}, nil, []int{2}, "plain"},
		{"the server names an agent that left", []azdo.Agent{holder(1, plain)}, []string{"docker"}, []int{77}, "docker"},
	} {
		q := azdo.JobRequest{RequestID: 1, Demands: tt.demands}
		for _, id := range tt.matched {
			q.MatchedAgents = append(q.MatchedAgents, azdo.Agent{ID: id})
		}
		done := Assign(groups, tt.agents, []azdo.JobRequest{q})
		got := done.Unmet[1]
		if g, found := done.Group[1]; found {
			got = groups[g].Name
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestManyDemands: jobs that all demand something else cost a bounded number of comparisons with
// agents. What a group declares is found for each of them.
func TestManyDemands(t *testing.T) {
	group := Group{Name: "linux", Agents: "*", Max: 9, Capabilities: map[string]string{"docker": ""}}
	agent := someone(1, "linux-1")
	var queue []azdo.JobRequest
	for i := range maxCompared + 10 {
		own := fmt.Sprint("undeclared-", i)
		agent.SystemCapabilities[own] = ""
		queue = append(queue, azdo.JobRequest{RequestID: int64(i), Demands: []string{own}})
	}
	queue = append(queue, azdo.JobRequest{RequestID: 1 << 20, Demands: []string{"docker"}})
	done := Assign([]Group{group}, []azdo.Agent{agent}, queue)
	if len(done.Group) != maxCompared+1 || len(done.Unmet) != 10 {
		t.Errorf("%d jobs have a group and %d have none", len(done.Group), len(done.Unmet))
	}
	if _, found := done.Group[1<<20]; !found {
		t.Error("a declared capability is not found after so many others")
	}
}

// TestChoice: where a job goes that several groups can run.
func TestChoice(t *testing.T) {
	member := func(id int, group string, change ...func(*azdo.Agent)) azdo.Agent {
		a := someone(id, group, "git")
		a.UserCapabilities = map[string]string{"azptend.group": group}
		for _, c := range change {
			c(&a)
		}
		return a
	}
	busy := func(a *azdo.Agent) { a.AssignedRequest = &azdo.JobRequest{RequestID: int64(1000 + a.ID)} }
	offline := func(a *azdo.Agent) { a.Status = "offline" }
	disabled := func(a *azdo.Agent) { no := false; a.Enabled = &no }
	small := Group{Name: "small", Max: 2}
	large := Group{Name: "large", Max: 3, Capabilities: map[string]string{"docker": "", "gpu": ""}}
	twin := Group{Name: "twin", Max: 3}
	for _, tt := range []struct {
		name   string
		groups []Group
		agents []azdo.Agent
		jobs   int      // without demands
		gpu    int      // with the demand gpu, queued after them
		want   []string // waiting, busy, idle, of each group
	}{
		{"the fewest capabilities beyond the demands", []Group{large, small}, nil, 1, 1, []string{"1 0 0", "1 0 0"}},
		{"of equal ones the first", []Group{twin, small}, nil, 1, 0, []string{"1 0 0", "0 0 0"}},
		{"an idle agent comes first", []Group{small, large}, []azdo.Agent{member(1, "large")}, 1, 0, []string{"0 0 0", "1 0 1"}},
		{"and takes one job", []Group{small, large}, []azdo.Agent{member(1, "large")}, 2, 0, []string{"1 0 0", "1 0 1"}},
		{"not one that is disabled", []Group{small, large}, []azdo.Agent{member(1, "large", disabled)}, 1, 0, []string{"1 0 0", "0 0 0"}},
		{"nor one that is offline", []Group{small, large}, []azdo.Agent{member(1, "large", offline)}, 1, 0, []string{"1 0 0", "0 0 0"}},
		{"a full group spills", []Group{small, large}, nil, 4, 0, []string{"2 0 0", "2 0 0"}},
		{"a group full of busy agents too", []Group{small, large}, []azdo.Agent{member(1, "small", busy), member(2, "small", busy, disabled)}, 1, 0, []string{"0 2 0", "1 0 0"}},
		{"an offline agent with a job is not busy", []Group{small, large}, []azdo.Agent{member(1, "small", busy, offline)}, 0, 0, []string{"0 0 0", "0 0 0"}},
		{"all are full: the job waits for the first", []Group{small, large}, nil, 9, 0, []string{"6 0 0", "3 0 0"}},
		{"a job that only one can run comes first, although it is younger", []Group{{Name: "small", Max: 9}, {Name: "large", Max: 1, Capabilities: large.Capabilities}}, []azdo.Agent{member(1, "large", func(a *azdo.Agent) { a.SystemCapabilities["gpu"] = "" })}, 1, 1, []string{"1 0 0", "1 0 1"}},
	} {
		var queue []azdo.JobRequest
		for i := range tt.jobs + tt.gpu {
			q := azdo.JobRequest{RequestID: int64(i + 1), QueueTime: azdo.Time{Time: time.Unix(int64(i), 0)}}
			if i >= tt.jobs {
				q.Demands = []string{"gpu"}
			}
			queue = append(queue, q)
		}
		for i, c := range Assign(tt.groups, tt.agents, queue).Counts {
			if got := fmt.Sprint(c.Waiting, c.Busy, c.Idle); got != tt.want[i] {
				t.Errorf("%s: group %s has %s, want %s", tt.name, tt.groups[i].Name, got, tt.want[i])
			}
		}
	}
}

// TestTwoLists: the queue is read before the agents, and jobs move in between. A job is counted
// once.
func TestTwoLists(t *testing.T) {
	agent := someone(1, "linux-1")
	groups := []Group{{Name: "linux", Agents: "linux-*", Max: 9}}
	now := azdo.Time{Time: time.Now()}
	waits := azdo.JobRequest{RequestID: 5}
	runs := azdo.JobRequest{RequestID: 5, AssignTime: now, ReservedAgent: &azdo.Agent{ID: 1}}
	busy := agent
	busy.AssignedRequest = &azdo.JobRequest{RequestID: 5}
	gone := agent
	gone.Status = "offline"
	for _, tt := range []struct {
		name  string
		queue azdo.JobRequest
		agent azdo.Agent
		want  GroupCount
	}{
		{"still waits", waits, agent, GroupCount{Waiting: 1, Idle: 1}},
		{"was assigned in between", waits, busy, GroupCount{Busy: 1}},
		{"runs", runs, busy, GroupCount{Busy: 1}},
		{"ended in between, or the agent's list lags", runs, agent, GroupCount{Busy: 1}},
		{"its agent is gone", runs, gone, GroupCount{}},
	} {
		if got := Assign(groups, []azdo.Agent{tt.agent}, []azdo.JobRequest{tt.queue}).Counts[0]; got != tt.want {
			t.Errorf("a job that %s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// TestEachJobOnce: of any pool, each waiting job is in exactly one group or in none, the counts are
// those of the groups, a group that cannot run a job does not have it, and none spills into a full
// group while another has room. The order of agents and jobs changes nothing.
func TestEachJobOnce(t *testing.T) {
	words := []string{"a", "b", "c", "a -equals 1", "b -gtVersion 2", "Agent.OS -equals Linux", "Agent.Version -gtVersion 2.1"}
	has := []string{"a", "a=1", "b=1", "b=10.1", "c"}
	rapid.Check(t, func(t *rapid.T) {
		var groups []Group
		for i := range rapid.IntRange(1, 4).Draw(t, "groups") {
			sampled := someone(0, "", rapid.SliceOfN(rapid.SampledFrom(has), 0, 3).Draw(t, fmt.Sprint("has ", i))...)
			groups = append(groups, Group{Name: fmt.Sprint("g", i), Max: rapid.IntRange(1, 5).Draw(t, fmt.Sprint("max ", i)), Capabilities: sampled.SystemCapabilities})
		}
		var agents []azdo.Agent
		for i := range rapid.IntRange(0, 6).Draw(t, "agents") {
			g := rapid.IntRange(0, len(groups)-1).Draw(t, fmt.Sprint("group ", i))
			a := someone(i+1, fmt.Sprint("agent", i))
			a.UserCapabilities = map[string]string{"azptend.group": groups[g].Name}
			for name, value := range groups[g].Capabilities {
				a.UserCapabilities[name] = value
			}
			a.Status = rapid.SampledFrom([]string{"online", "offline"}).Draw(t, fmt.Sprint("status ", i))
			a.SystemCapabilities = map[string]string{"Agent.OS": "Linux", "Agent.Version": "5.282.3"}
			if rapid.Bool().Draw(t, fmt.Sprint("busy ", i)) {
				a.AssignedRequest = &azdo.JobRequest{RequestID: int64(1000 + i)}
			}
			agents = append(agents, a)
		}
		var queue []azdo.JobRequest
		for i := range rapid.IntRange(0, 12).Draw(t, "jobs") {
			q := azdo.JobRequest{RequestID: int64(i + 1), Demands: rapid.SliceOfN(rapid.SampledFrom(words), 0, 2).Draw(t, fmt.Sprint("demands ", i))}
			q.QueueTime = azdo.Time{Time: time.Unix(int64(rapid.IntRange(0, 3).Draw(t, fmt.Sprint("queued ", i))), 0)}
			queue = append(queue, q)
		}

		done := Assign(groups, agents, queue)
		waiting := make([]int, len(groups))
		for _, q := range queue {
			g, assigned := done.Group[q.RequestID]
			why, unmet := done.Unmet[q.RequestID]
			if assigned == unmet || unmet && why == "" {
				t.Fatalf("job %v: group %v, unmet %q", q, assigned, why)
			}
			runnable := false
			for i := range groups {
				can := newJobNeed(q.Demands).isMetBy(groups[i].sample())
				runnable = runnable || can
				if assigned && g == i && !can {
					t.Fatalf("job %v is in group %v, which cannot run it", q, groups[i])
				}
			}
			if runnable != assigned {
				t.Fatalf("job %v: runnable %v, assigned %v", q, runnable, assigned)
			}
			if assigned {
				waiting[g]++
			}
		}
		for i, c := range done.Counts {
			if c.Waiting != waiting[i] {
				t.Fatalf("group %d counts %d waiting jobs and has %d", i, c.Waiting, waiting[i])
			}
		}
		for _, q := range queue {
			g, assigned := done.Group[q.RequestID]
			if !assigned || done.Counts[g].Waiting+done.Counts[g].Busy <= groups[g].Max || done.Counts[g].Idle > 0 {
				continue
			}
			for i, other := range groups {
				if c := done.Counts[i]; newJobNeed(q.Demands).isMetBy(other.sample()) && c.Waiting+c.Busy < other.Max {
					t.Fatalf("group %d is over its maximum, and group %d has room for job %v", g, i, q)
				}
			}
		}
		again := Assign(groups, rapid.Permutation(agents).Draw(t, "agents again"), rapid.Permutation(queue).Draw(t, "queue again"))
		for i := range groups {
			if again.Counts[i] != done.Counts[i] {
				t.Fatalf("in another order: %+v, not %+v", again.Counts[i], done.Counts[i])
			}
		}
	})
}

// TestWhyJobsWaitForGroups: what the page and doctor say of a waiting job.
func TestWhyJobsWaitForGroups(t *testing.T) {
	groups := []Group{{Name: "linux", Max: 1}, {Name: "gpu", Max: 5, Capabilities: map[string]string{"gpu": ""}}}
	vm := someone(1, "vm", "hsm")
	vm.AssignedRequest = &azdo.JobRequest{RequestID: 99}
	queue := []azdo.JobRequest{
		{RequestID: 1, Demands: []string{"gpu"}},
		{RequestID: 2, Demands: []string{"Agent.OS -equals Darwin"}},
		{RequestID: 3, Demands: []string{"hsm"}},
		{RequestID: 4, Demands: []string{"Agent.OS -equals Darwin", "gpu"}},
	}
	for i := range 9 {
		queue = append(queue, azdo.JobRequest{RequestID: int64(10 + i)})
	}
	waits, _ := WhyJobsWaitForGroups(groups, []azdo.Agent{vm}, queue)
	for id, want := range map[int64]Wait{
		1:  {Reason: WaitsForGroup, Why: "group gpu runs it"},
		2:  {Reason: WaitsForDemands, Why: "no group has Agent.OS -equals Darwin"},
		3:  {Reason: WaitsForBusy, Why: "all agents that could take it are busy"}, // an agent without a group
		4:  {Reason: WaitsForDemands, Why: "no group has Agent.OS -equals Darwin"},
		18: {Reason: WaitsForGroup, Why: "group linux runs it, at most 1 agent at once"},
	} {
		if got := waits[id]; got.Reason != want.Reason || got.Why != want.Why || got.IsTrouble() != (want.Reason == WaitsForDemands) {
			t.Errorf("job %d: %+v, want %+v", id, got, want)
		}
	}
}
