package main

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/internal/supervisor"
)

// fitting is KEDA as docs/scale.md recommends it.
func fitting(most int) scaler {
	return scaler{Strategy: byDefault, InFlight: true, Unfinished: true, Max: most}
}

// TestArithmetic checks KEDA's numbers of keda-and-kubernetes.md 1.5 and 1.7.
func TestArithmetic(t *testing.T) {
	for name, tt := range map[string]struct {
		scaler                    scaler
		waiting, running          int
		unfinished, pending, want int
	}{
		"default counts what runs":              {scaler{Strategy: byDefault, InFlight: true, Max: 100}, 2, 2, 2, 0, 2},
		"#7878: 2.20 with default makes nobody": {scaler{Strategy: byDefault, Max: 100}, 2, 2, 2, 0, 0},
		"accurate with 2.20":                    {scaler{Strategy: accurate, Max: 100}, 2, 2, 2, 0, 2},
		"accurate does not make them twice":     {scaler{Strategy: accurate, Max: 100}, 2, 2, 4, 2, 0},
		"#7747: accurate counts what runs":      {scaler{Strategy: accurate, InFlight: true, Max: 100}, 0, 2, 2, 0, 2},
		"no more than the most":                 {scaler{Strategy: byDefault, InFlight: true, Max: 3}, 9, 2, 2, 0, 1},
		"no more than the most, accurate":       {scaler{Strategy: accurate, Max: 3}, 9, 2, 2, 0, 1},
		"fewer than there are":                  {scaler{Strategy: byDefault, InFlight: true, Max: 9}, 0, 1, 4, 0, 0},
		"#6819: no more than 200 are listed":    {scaler{Strategy: byDefault, InFlight: true, Max: 1000}, 300, 100, 150, 0, 50},
		"all unfinished are listed":             {scaler{Strategy: byDefault, InFlight: true, Unfinished: true, Max: 1000}, 300, 100, 150, 0, 250},
	} {
		if got := tt.scaler.create(tt.scaler.count(tt.waiting, tt.running), tt.unfinished, tt.pending); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}

// TestModel checks that with any setting every job runs once, that there are never more
// agents than allowed with the right pairing of strategy and in-flight jobs, and that the
// calls are those of the runs.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := setting{
			Jobs: rapid.Float64Range(10, 400).Draw(t, "jobs"), Group: rapid.IntRange(1, 40).Draw(t, "group"), During: time.Hour,
			Seed: rapid.Uint64().Draw(t, "seed"), Poll: time.Duration(rapid.IntRange(5, 60).Draw(t, "poll")) * time.Second,
			Idle: time.Duration(rapid.IntRange(1, 10).Draw(t, "idle")) * time.Minute, Scaler: fitting(rapid.IntRange(3, 100).Draw(t, "max")),
			Parallel: rapid.SampledFrom([]int{0, 2, 20}).Draw(t, "parallel"), Identities: rapid.IntRange(1, 3).Draw(t, "identities"),
			Cost: rapid.SampledFrom([]float64{0, 0.1, 1}).Draw(t, "cost"), Shared: rapid.Bool().Draw(t, "shared"),
			LongLived: rapid.SampledFrom([]int{0, 0, 8}).Draw(t, "long-lived"), Keep: rapid.SampledFrom([]time.Duration{0, 30 * time.Second}).Draw(t, "keep"),
			Groups: rapid.IntRange(1, 3).Draw(t, "groups"), Keepers: rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "keepers"),
		}
		// Otherwise KEDA's polls alone could be over the limit, and it ignores Retry-After.
		s.Poll *= time.Duration(s.Groups)
		if s.Keepers == 0 {
			s.Scaler.Strategy = rapid.SampledFrom([]strategy{byDefault, accurate}).Draw(t, "strategy")
		}
		s.Scaler.InFlight = s.Scaler.Strategy == byDefault
		o, err := simulate(s)
		if err != nil {
			t.Fatal(err)
		}
		if want := len(newRandom(s.Seed).arrivals(s.Jobs, s.Group, s.During)); o.Jobs != want {
			t.Errorf("%d jobs came and %d ran", want, o.Jobs)
		}
		if s.LongLived == 0 && o.Peak > s.Scaler.Max*s.Groups {
			t.Errorf("%d agents, of at most %d", o.Peak, s.Scaler.Max*s.Groups)
		}
		if s.Keepers > 0 && o.Calls[kedaIdentity].sum() > 0 {
			t.Errorf("KEDA made %d calls to Azure DevOps", o.Calls[kedaIdentity].sum())
		}
		if s.LongLived == 0 && o.GaveUp == 0 && o.Refused == 0 {
			if o.Started != o.Jobs+o.IdleOuts {
				t.Errorf("%d agents, for %d jobs and %d without", o.Started, o.Jobs, o.IdleOuts)
			}
			want := tally{presenceCheck: o.PresenceChecks}
			for c, n := range onceRun.total() {
				want[c] += n * o.Jobs
			}
			for c, n := range idleRun.total() {
				want[c] += n * o.IdleOuts
			}
			if why := o.Calls[agentsIdentity].differs(want); why != "" && o.Started > 0 {
				t.Errorf("the calls are not those of the runs: %s", why)
			}
		}
	})
}

// TestPresenceChecks: azptend checks once an hour whether a long-lived agent is still in
// its pool. An agent makes no other calls after its start.
func TestPresenceChecks(t *testing.T) {
	const agents = 50
	o, err := simulate(setting{Jobs: 5, Group: 1, During: 8 * time.Hour, Seed: 1, LongLived: agents})
	if err != nil {
		t.Fatal(err)
	}
	least, most := agents*int((o.Length-time.Minute)/supervisor.MaxPresenceInterval), agents*int(o.Length/supervisor.MinPresenceInterval)
	if o.PresenceChecks < least || o.PresenceChecks > most {
		t.Errorf("%d checks in %s, want %d to %d", o.PresenceChecks, o.Length, least, most)
	}
	want := tally{presenceCheck: o.PresenceChecks}
	for _, part := range [][]call{longLivedRun.Start, longLivedRun.Ready} {
		for _, c := range part {
			want[c] += agents
		}
	}
	if why := o.Calls[agentsIdentity].differs(want); why != "" {
		t.Errorf("the calls are not those of the starts and of the checks: %s", why)
	}
}

// TestRefusedPresenceCheck: a refused check is not repeated until the next hour.
func TestRefusedPresenceCheck(t *testing.T) {
	meter, err := emulator.NewMeter(emulator.RateLimit{Budget: 200, Cost: 1})
	if err != nil {
		t.Fatal(err)
	}
	w := &simulation{random: newRandom(1), epoch: time.Unix(0, 0), meter: meter, rates: map[string][]time.Duration{}}
	w.out = outcome{Calls: map[string]tally{}, Window: map[string]int{}}
	for w.out.Refused == 0 {
		w.charge("agents 0", agentsIdentity, postAgent)
	}
	a := &agent{w: w, identity: "agents 0", running: true, watched: true}
	a.checkPresence()
	a.gone = true // before the next check
	w.run(func() bool { return false })
	if n := w.out.Calls[agentsIdentity][presenceCheck]; n != 1 || w.out.Refused != 2 {
		t.Errorf("%d checks, %d calls refused, want 1 and 2", n, w.out.Refused)
	}
}

// TestSameSeed: the same seed gives the same numbers, and another seed gives others.
func TestSameSeed(t *testing.T) {
	s := setting{Jobs: 200, Group: 10, During: time.Hour, Poll: 30 * time.Second, Idle: 5 * time.Minute, Scaler: fitting(100), Cost: 1, Keep: time.Minute, Seed: 1}
	first, err := simulate(s)
	again, err2 := simulate(s)
	s.Seed = 2
	other, err3 := simulate(s)
	if err != nil || err2 != nil || err3 != nil {
		t.Fatal(err, err2, err3)
	}
	if !reflect.DeepEqual(first, again) {
		t.Error("the same seed gives other numbers")
	}
	if reflect.DeepEqual(first.Waits, other.Waits) {
		t.Error("another seed gives the same numbers")
	}
}

// TestEndpoint: all that ask within a second share a look, a look costs one call if there is no
// job and otherwise two, and a number that is too old is no answer.
func TestEndpoint(t *testing.T) {
	meter, err := emulator.NewMeter(emulator.RateLimit{Budget: 200, Cost: 1})
	if err != nil {
		t.Fatal(err)
	}
	w := &simulation{setting: setting{Groups: 2}, epoch: time.Unix(0, 0), rates: map[string][]time.Duration{}, started: []int{0, 0}}
	w.out = outcome{Calls: map[string]tally{}, Window: map[string]int{}}
	e := &endpoint{w: w}
	check := func(at time.Duration, group, want int, known bool, looks, calls int) {
		t.Helper()
		w.now = at
		n, ok := e.answer(group)
		if all := w.out.Calls[keepIdentity].sum(); n != want || ok != known || w.out.Looks != looks || all != calls {
			t.Errorf("at %s: %d, %t after %d looks with %d calls, want %d, %t, %d, %d", at, n, ok, w.out.Looks, all, want, known, looks, calls)
		}
	}
	check(0, 0, 0, true, 1, 1)
	w.waiting, w.started[1] = []*job{{group: 1}}, 2
	check(time.Second, 1, 0, true, 1, 1)
	check(time.Second+1, 1, 3, true, 2, 3)
	check(time.Second+1, 0, 0, true, 2, 3)
	check(3*time.Second, 1, 3, true, 3, 5)
	w.now, w.started[1] = 10*time.Second, 4
	e.saw() // by a poll of the keeper
	check(11*time.Second, 1, 5, true, 3, 5)
	for w.meter = meter; w.out.Refused == 0; {
		w.charge(keepIdentity, agentsIdentity, getPools)
	}
	check(13*time.Second, 1, 5, true, 4, 6)
	check(41*time.Second, 1, 0, false, 4, 6)
}

// TestStudySameSeed: the same seed gives the same parts and pictures, with a small scope.
func TestStudySameSeed(t *testing.T) {
	s := scope{Seed: 1, During: 20 * time.Minute, Rates: []float64{100, 400}}
	parts, pictures, err := s.study()
	again, picturesAgain, err2 := s.study()
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	if !reflect.DeepEqual(parts, again) || !reflect.DeepEqual(pictures, picturesAgain) {
		t.Error("the same seed gives another page")
	}
}

// TestPageIsCurrent checks that docs/scale.md has what the program writes today, for the
// parts that are fast to compute. If it fails, run `make scale`.
func TestPageIsCurrent(t *testing.T) {
	page, err := os.ReadFile("../../../docs/scale.md")
	if err != nil {
		t.Fatal(err)
	}
	r := &runs{}
	polls, picture := pageScope(1).polls(r)
	drawn, err := os.ReadFile("../../../docs/images/scale-polls.svg")
	if err != nil || r.err != nil {
		t.Fatal(err, r.err)
	}
	for _, part := range []string{polls, pageScope(1).seeds(r), pageScope(1).perIdentity(r)} {
		if !strings.Contains(string(page), part) {
			t.Errorf("docs/scale.md lacks\n%s", part)
		}
	}
	if string(drawn) != picture.svg() {
		t.Error("docs/images/scale-polls.svg is another picture")
	}
}
