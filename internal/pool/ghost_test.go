package pool_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/pool"
)

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// change is one thing about an agent.
type change func(*azdo.Agent)

// dead is an agent of ours that has been offline for three hours, and changes.
func dead(name string, changes ...change) azdo.Agent {
	a := azdo.Agent{
		Name: name, Version: "5.282.3", Status: "offline",
		CreatedOn: azdo.Time{Time: noon.Add(-24 * time.Hour)}, StatusChangedOn: azdo.Time{Time: noon.Add(-3 * time.Hour)},
		UserCapabilities: map[string]string{"azptend.kind": "agent", "azptend.instance": "of " + name},
	}
	for _, c := range changes {
		c(&a)
	}
	return a
}

func online(a *azdo.Agent)    { a.Status = "online" }
func theirs(a *azdo.Agent)    { a.UserCapabilities = map[string]string{} }
func disabled(a *azdo.Agent)  { no := false; a.Enabled = &no }
func lent(a *azdo.Agent)      { a.UserCapabilities["azptend.removal"] = "keeper" }
func neverRan(a *azdo.Agent)  { a.StatusChangedOn = a.CreatedOn }
func undated(a *azdo.Agent)   { a.StatusChangedOn = azdo.Time{} }
func busy(a *azdo.Agent)      { a.AssignedRequest = &azdo.JobRequest{RequestID: 7} }
func placing(a *azdo.Agent)   { a.UserCapabilities["azptend.kind"] = "placeholder" }
func farFuture(a *azdo.Agent) { theirs(a); a.Version = "99.999.9" }

func since(d time.Duration) change {
	return func(a *azdo.Agent) { a.StatusChangedOn = azdo.Time{Time: noon.Add(-d)} }
}

func created(d time.Duration) change {
	return func(a *azdo.Agent) { a.CreatedOn = azdo.Time{Time: noon.Add(-d)} }
}

func can(name, value string) change {
	return func(a *azdo.Agent) {
		a.SystemCapabilities = maps.Clone(a.SystemCapabilities)
		if a.SystemCapabilities == nil {
			a.SystemCapabilities = map[string]string{}
		}
		a.SystemCapabilities[name] = value
	}
}

func ran(demands ...string) change {
	return func(a *azdo.Agent) { a.LastCompletedRequest = &azdo.JobRequest{Result: "succeeded", Demands: demands} }
}

// numbered gives each agent an id.
func numbered(agents ...azdo.Agent) []azdo.Agent {
	for i := range agents {
		agents[i].ID = i + 1
	}
	return agents
}

func waiting(demands ...string) azdo.JobRequest {
	return azdo.JobRequest{QueueTime: azdo.Time{Time: noon}, Demands: demands}
}

func TestOneAgent(t *testing.T) {
	anyOwner := pool.Rules{AnyOwner: true}
	for _, tt := range []struct {
		name  string
		agent azdo.Agent
		rules pool.Rules
		want  string
	}{
		{"a dead one", dead("a"), pool.Rules{}, "ghost: offline for 3h, registered by azptend"},
		{"disabled, too", dead("a", disabled), pool.Rules{}, "ghost: offline for 3h, registered by azptend"},
		{"older than it is", dead("a"), pool.Rules{OlderThan: 4 * time.Hour}, "stays: younger than 4h"},
		{"as old as that", dead("a"), pool.Rules{OlderThan: 3 * time.Hour}, "stays: younger than 3h"},
		{"the floor", dead("a", since(14*time.Minute)), pool.Rules{OlderThan: time.Second}, "stays: younger than 15m"},
		{"past the floor", dead("a", since(16*time.Minute)), pool.Rules{OlderThan: -time.Hour}, "ghost: offline for 16m, registered by azptend"},
		{"created later than its status changed", dead("a", created(time.Minute)), pool.Rules{}, "stays: younger than 15m"},
		{"of the future", dead("a", since(-time.Hour)), pool.Rules{}, "stays: younger than 15m"},
		{"without a date", dead("a", undated), pool.Rules{}, "stays: it is not known since when it is offline"},
		{"online", dead("a", online), pool.Rules{}, "stays: online"},
		{"of a status nobody knows", dead("a", func(a *azdo.Agent) { a.Status = "" }), pool.Rules{}, `stays: its status is ""`},
		{"with a job", dead("a", busy), pool.Rules{}, "stays: has a job"},
		{"named, with a job", dead("a", busy), pool.Rules{Names: []string{"a"}}, "stays: has a job"},
		{"our placeholder", dead("a", placing), anyOwner, "stays: placeholder (azptend's kind)"},
		{"our placeholder, named", dead("Ab", placing), pool.Rules{Names: []string{"x", "aB"}}, "ghost: offline for 3h, registered by azptend"},
		{"another's placeholder", dead("a", farFuture), anyOwner, "stays: placeholder of another tool (version 99.999.9)"},
		{"another's placeholder, named", dead("a", farFuture), pool.Rules{AnyOwner: true, Names: []string{"a"}}, "ghost: offline for 3h, without an owner tag"},
		{"another's placeholder, named as if it were ours", dead("a", farFuture), pool.Rules{Names: []string{"a"}}, "stays: it has no owner tag"},
		{"by its name", dead("Place-Holder_1", theirs), anyOwner, "stays: named like a placeholder"},
		{"our agent of such a name", dead("azp-template-x1"), pool.Rules{}, "ghost: offline for 3h, registered by azptend"},
		{"not ours", dead("a", theirs), pool.Rules{}, "stays: it has no owner tag"},
		{"not ours, and taken", dead("a", theirs), anyOwner, "ghost: offline for 3h, without an owner tag"},
		{"of another name", dead("linux-1"), pool.Rules{Match: "win-*"}, "stays: its name does not match win-*"},
		{"of the name", dead("Linux-1"), pool.Rules{Match: "linux-?"}, "ghost: offline for 3h, registered by azptend"},
		{"not named", dead("a"), pool.Rules{Names: []string{"b"}}, "stays: not named"},
		{"a keeper is asked", dead("a", lent, since(90*time.Second)), pool.Rules{OlderThan: 24 * time.Hour}, "ghost: offline for 1m, and a keeper is asked to remove it"},
		{"a keeper is asked, and its listener may be replacing itself", dead("a", lent, since(30*time.Second)), pool.Rules{}, "stays: younger than 15m"},
		{"a keeper is asked, and it is still to start", dead("a", lent, created(10*time.Minute), neverRan), pool.Rules{}, "stays: younger than 15m"},
		{"a keeper is asked, and its dates are a moment apart", dead("a", lent, created(10*time.Minute), since(10*time.Minute-300*time.Millisecond)), pool.Rules{},
			"stays: younger than 15m"},
		{"a keeper is asked, and it never started", dead("a", lent, neverRan), pool.Rules{}, "ghost: offline for 24h, registered by azptend"},
		{"a keeper is asked, online", dead("a", lent, online), pool.Rules{}, "stays: online"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.rules.Judge(numbered(tt.agent), nil, noon)
			if got[0].String() != tt.want {
				t.Errorf("it %q, want %q", got[0], tt.want)
			}
		})
	}
}

func TestWithoutItNothingMatches(t *testing.T) {
	docker := can("docker", "1")
	anyOwner := pool.Rules{AnyOwner: true}
	matched := func(ids ...int) azdo.JobRequest {
		r := waiting("docker")
		for _, id := range ids {
			r.MatchedAgents = append(r.MatchedAgents, azdo.Agent{ID: id})
		}
		return r
	}
	const ghost, only, waits = "ghost: offline for 3h, without an owner tag", "stays: only match for demand docker", "stays: only match for a job that waits, with demand docker"
	for _, tt := range []struct {
		name   string
		rules  pool.Rules
		agents []azdo.Agent
		queue  []azdo.JobRequest
		want   []string
	}{
		{"the only one", anyOwner, numbered(dead("a", theirs, docker, ran("docker")), dead("b", theirs)), nil, []string{only, ghost}},
		{"an online one matches as well", anyOwner, numbered(dead("a", theirs, docker, ran("docker")), dead("b", docker, online)), nil, []string{ghost, "stays: online"}},
		{"a placeholder does", anyOwner, numbered(dead("a", theirs, docker, ran("docker")), dead("b", docker, placing)), nil, []string{ghost, "stays: placeholder (azptend's kind)"}},
		{"a disabled one does not", anyOwner, numbered(dead("a", theirs, docker, ran("docker")), dead("b", docker, online, disabled)), nil, []string{only, "stays: online"}},
		{"of two, the one that lived last", anyOwner, numbered(dead("a", theirs, docker, ran("docker")), dead("b", theirs, docker, since(2*time.Hour), ran("docker"))), nil,
			[]string{ghost, only}},
		{"one that is dying is no match to rely on", anyOwner, numbered(dead("a", theirs, docker, ran("docker")), dead("b", theirs, docker, since(time.Minute))), nil,
			[]string{only, "stays: younger than 15m"}},
		{"one that is dying will be the one to stay", anyOwner, numbered(dead("a", theirs, docker, ran("docker")), dead("b", theirs, docker, since(time.Minute), ran("docker"))), nil,
			[]string{ghost, "stays: younger than 15m"}},
		{"all demands together", anyOwner, numbered(dead("a", theirs, docker, can("gpu", "a100"), ran("gpu -equals A100", "docker")), dead("b", docker, online)), nil,
			[]string{"stays: only match for demand docker, gpu -equals A100", "stays: online"}},
		{"named", pool.Rules{AnyOwner: true, Names: []string{"a"}}, numbered(dead("a", theirs, docker, ran("docker"))), nil, []string{ghost}},
		{"ours needs no guard against jobs to come", anyOwner, numbered(dead("a", docker, ran("docker"))), nil, []string{"ghost: offline for 3h, registered by azptend"}},
		{"ours, and a job waits", pool.Rules{}, numbered(dead("a", docker)), []azdo.JobRequest{waiting("docker")}, []string{waits}},
		{"a job of no demands waits", pool.Rules{}, numbered(dead("a"), dead("b", since(time.Hour))), []azdo.JobRequest{waiting()},
			[]string{"ghost: offline for 3h, registered by azptend", "stays: only match for a job that waits"}},
		{"the server's word", pool.Rules{}, numbered(dead("a"), dead("b", docker)), []azdo.JobRequest{matched(1, 9)}, []string{waits, "ghost: offline for 3h, registered by azptend"}},
		{"the server's word of one that runs", pool.Rules{}, numbered(dead("a", docker), dead("b", online)), []azdo.JobRequest{matched(1, 2)},
			[]string{"ghost: offline for 3h, registered by azptend", "stays: online"}},
		{"a job that was given away", pool.Rules{}, numbered(dead("a"), dead("b")),
			[]azdo.JobRequest{{AssignTime: azdo.Time{Time: noon}, ReservedAgent: &azdo.Agent{ID: 2}}}, []string{"ghost: offline for 3h, registered by azptend", "stays: has a job"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, v := range tt.rules.Judge(tt.agents, tt.queue, noon) {
				got = append(got, v.String())
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

// oneIn draws true one time in n.
func oneIn(rt *rapid.T, n int, what string) bool {
	return rapid.SampledFrom(slices.Insert(make([]bool, n-1), 0, true)).Draw(rt, what)
}

var demandSets = [][]string{{"docker"}, {"gpu -equals a100"}, {"docker", "gpu -equals a100"}, {"Agent.Version -gtVersion 4.10.0"}, {}}

func someAgent(rt *rapid.T) azdo.Agent {
	a := azdo.Agent{
		Name:             rapid.SampledFrom([]string{"a", "b", "linux-1", "linux-2", "placeholder-1"}).Draw(rt, "name"),
		Status:           rapid.SampledFrom([]string{"offline", "offline", "offline", "offline", "offline", "offline", "online", "Online", ""}).Draw(rt, "status"),
		Version:          rapid.SampledFrom([]string{"4.9.0", "4.10.0", "4.10.0", "99.0.1"}).Draw(rt, "version"),
		UserCapabilities: map[string]string{}, SystemCapabilities: map[string]string{},
	}
	minutes := rapid.SampledFrom([]int{-1, 1, 14, 15, 16, 17, 50, 60, 90, 120, 150, 180, 200})
	if m := minutes.Draw(rt, "created"); m >= 0 {
		created(time.Duration(m) * time.Minute)(&a)
	}
	if m := minutes.Draw(rt, "changed"); m >= 0 {
		since(time.Duration(m) * time.Minute)(&a)
	}
	kind := rapid.SampledFrom([]string{"", "", "agent", "agent", "placeholder"}).Draw(rt, "kind")
	if kind != "" {
		a.UserCapabilities["azptend.kind"] = kind
	}
	for pair, n := range map[string]int{"azptend.removal=keeper": 4, "docker=1": 2, "gpu=A100": 2} {
		if oneIn(rt, n, pair) {
			name, value, _ := strings.Cut(pair, "=")
			a.UserCapabilities[name] = value
		}
	}
	a.SystemCapabilities["Agent.Version"] = a.Version
	if oneIn(rt, 5, "disabled") {
		disabled(&a)
	}
	if oneIn(rt, 8, "busy") {
		busy(&a)
	}
	if oneIn(rt, 2, "ran") {
		ran(rapid.SampledFrom(demandSets).Draw(rt, "last demands")...)(&a)
	}
	return a
}

func someRequest(rt *rapid.T) azdo.JobRequest {
	r := waiting(rapid.SampledFrom(demandSets).Draw(rt, "demands")...)
	for _, id := range rapid.SliceOfN(rapid.IntRange(1, 6), 0, 3).Draw(rt, "matched") {
		r.MatchedAgents = append(r.MatchedAgents, azdo.Agent{ID: id})
	}
	if oneIn(rt, 3, "assigned") {
		r.AssignTime, r.ReservedAgent = azdo.Time{Time: noon}, &azdo.Agent{ID: rapid.IntRange(1, 6).Draw(rt, "reserved")}
	}
	return r
}

// somePool draws a pool, its queue and rules: small, so that agents get into each
// other's way.
func somePool(rt *rapid.T) ([]azdo.Agent, []azdo.JobRequest, pool.Rules) {
	agents := numbered(rapid.SliceOfN(rapid.Custom(someAgent), 4, 10).Draw(rt, "agents")...)
	queue := rapid.SliceOfN(rapid.Custom(someRequest), 0, 2).Draw(rt, "queue")
	rules := pool.Rules{
		OlderThan: time.Duration(rapid.SampledFrom([]int{0, 0, 15, 16, 50, 60, 100}).Draw(rt, "older than")) * time.Minute,
		AnyOwner:  rapid.Bool().Draw(rt, "any owner"),
		Match:     rapid.SampledFrom([]string{"", "", "", "*", "linux-*", "?"}).Draw(rt, "match"),
	}
	if oneIn(rt, 4, "names") {
		rules.Names = rapid.SliceOfN(rapid.SampledFrom([]string{"A", "b", "linux-1", "Placeholder-1"}), 1, 3).Draw(rt, "named")
	}
	return agents, queue, rules
}

func ghostsOf(verdicts []pool.Verdict) map[int]bool {
	ids := map[int]bool{}
	for _, v := range verdicts {
		if v.Ghost() {
			ids[v.Agent.ID] = true
		}
	}
	return ids
}

// TestWhatIsNeverAGhost says the rules again, each for itself.
func TestWhatIsNeverAGhost(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		agents, queue, rules := somePool(rt)
		named := func(a azdo.Agent) bool {
			return slices.ContainsFunc(rules.Names, func(n string) bool { return strings.EqualFold(n, a.Name) })
		}
		reserved := map[int]bool{}
		for _, r := range queue {
			if r.ReservedAgent != nil {
				reserved[r.ReservedAgent.ID] = true
			}
		}
		verdicts := rules.Judge(agents, queue, noon)
		if len(verdicts) != len(agents) {
			rt.Fatalf("%d verdicts for %d agents", len(verdicts), len(agents))
		}
		for i, v := range verdicts {
			a := agents[i]
			if v.Agent.ID != a.ID || v.Why == "" || v.Reason == "" {
				rt.Errorf("the verdict on %d is %+v", a.ID, v)
			}
			if !v.Ghost() {
				continue
			}
			_, holds := pool.PlaceholderMaker(a)
			_, marked := a.UserCapabilities["azptend.kind"]
			holds = holds || !marked && strings.Contains(a.Name, "placeholder")
			_, ours := a.UserCapabilities["azptend.kind"]
			later := slices.MaxFunc([]time.Time{a.CreatedOn.Time, a.StatusChangedOn.Time}, time.Time.Compare)
			asked := a.UserCapabilities["azptend.removal"] == "keeper" && a.StatusChangedOn.After(a.CreatedOn.Time)
			for what, wrong := range map[string]bool{
				"it is not offline":           a.Status != "offline",
				"it has a request":            a.AssignedRequest != nil || reserved[a.ID],
				"it is a placeholder":         holds && !named(a),
				"it is not ours":              !ours && !rules.AnyOwner,
				"it was not named":            len(rules.Names) > 0 && !named(a),
				"a date is missing":           a.CreatedOn.IsZero() || a.StatusChangedOn.IsZero(),
				"it was alive a moment ago":   noon.Sub(later) <= pool.MinOfflineRequested,
				"it is young":                 !asked && noon.Sub(later) <= max(rules.OlderThan, pool.MinOffline),
				"its name is of another form": rules.Match == "linux-*" && !strings.HasPrefix(a.Name, "linux-"),
			} {
				if wrong {
					rt.Errorf("%+v is a ghost (%s) although %s", a, v.Why, what)
				}
			}
		}
	})
}

// TestAGreaterAgeTakesNoMore: whoever is more patient loses nothing by it.
func TestAGreaterAgeTakesNoMore(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		agents, queue, rules := somePool(rt)
		less := ghostsOf(rules.Judge(agents, queue, noon))
		rules.OlderThan += time.Duration(rapid.IntRange(0, 200).Draw(rt, "more")) * time.Minute
		for id := range ghostsOf(rules.Judge(agents, queue, noon)) {
			if !less[id] {
				rt.Errorf("%d is a ghost only for those who wait longer", id)
			}
		}
	})
}

// TestTheOrderDoesNotMatter, of the agents or of the queue.
func TestTheOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		agents, queue, rules := somePool(rt)
		before := rules.Judge(agents, queue, noon)
		order := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "order"), 0))
		agents, queue = slices.Clone(agents), slices.Clone(queue)
		order.Shuffle(len(agents), func(i, j int) { agents[i], agents[j] = agents[j], agents[i] })
		order.Shuffle(len(queue), func(i, j int) { queue[i], queue[j] = queue[j], queue[i] })
		after := rules.Judge(agents, queue, noon)
		for _, v := range before {
			i := slices.IndexFunc(after, func(w pool.Verdict) bool { return w.Agent.ID == v.Agent.ID })
			if after[i].String() != v.String() {
				rt.Errorf("%d %q, and in another order %q", v.Agent.ID, v, after[i])
			}
		}
	})
}

// TestJobsThatWaitKeepTheirMatch: what an agent matched before, an agent matches
// after; and pruning again takes nothing more.
func TestJobsThatWaitKeepTheirMatch(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		agents, queue, rules := somePool(rt)
		rules.Names = nil
		ghosts := ghostsOf(rules.Judge(agents, queue, noon))
		left := slices.DeleteFunc(slices.Clone(agents), func(a azdo.Agent) bool { return ghosts[a.ID] })
		for _, r := range queue {
			if r.State() != azdo.JobQueued || len(r.MatchedAgents) == 0 {
				continue
			}
			matched := func(a azdo.Agent) bool {
				return a.Enabled == nil && slices.ContainsFunc(r.MatchedAgents, func(m azdo.Agent) bool { return m.ID == a.ID })
			}
			if slices.ContainsFunc(agents, matched) && !slices.ContainsFunc(left, matched) {
				rt.Errorf("nothing matches %v any more", r.Demands)
			}
		}
		if more := ghostsOf(rules.Judge(left, queue, noon)); len(more) > 0 {
			rt.Errorf("once they are gone, %v are ghosts too", more)
		}
	})
}
