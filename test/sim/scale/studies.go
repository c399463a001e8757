package main

import (
	"fmt"
	"math"
	"time"

	"github.com/azptend/azptend/internal/supervisor"
)

// scope is the size of the studies: of the page's, or of a test's.
type scope struct {
	Seed   uint64
	During time.Duration
	Rates  []float64
}

var costs = []float64{0.05, 0.1, 0.3, 1}

// recommended is what the page recommends for that many jobs an hour, which arrive one by
// one.
func (s scope) recommended(jobs float64) setting {
	return setting{
		Jobs: jobs, Group: 1, During: s.During, Seed: s.Seed, Poll: 15 * time.Second, Idle: 5 * time.Minute,
		Scaler: scaler{Strategy: byDefault, InFlight: true, Unfinished: true, Max: maxReplicas(jobs)}, Keep: 30 * time.Second,
	}
}

// inGroups returns the setting with jobs that arrive in groups.
func inGroups(s setting) setting {
	s.Group = groupOf(s.Jobs)
	return s
}

// groupOf is how many jobs arrive in a group: a tenth of an hour's jobs, at most fifty.
func groupOf(jobs float64) int { return int(min(max(jobs/10, 1), 50)) }

// maxReplicas is a maxReplicaCount that is rarely reached: 1.35 times the average number of
// running jobs, plus two groups, in round numbers.
func maxReplicas(jobs float64) int {
	mean := jobMedian.Hours() * math.Exp(jobSpread*jobSpread/2) // a little too high, because jobs last at most longestJob
	n := jobs*mean*1.35 + float64(groupOf(jobs))*2
	step := math.Pow(10, math.Floor(math.Log10(n)))
	return int(math.Ceil(n/step*2) * step / 2)
}

// runs simulates settings, until one fails.
type runs struct{ err error }

func (r *runs) of(s setting) outcome {
	if r.err != nil {
		return outcome{Setting: s}
	}
	o, err := simulate(s)
	r.err = err
	return o
}

// answers is the page's first table: what to set, and the result.
func (s scope) answers(r *runs) string {
	t := &table{head: []string{"", "set or result"}}
	var runs []outcome
	for _, jobs := range s.Rates {
		t.head = append(t.head, number(jobs)+" jobs an hour")
		runs = append(runs, r.of(inGroups(s.recommended(jobs))))
	}
	row := func(kind, what string, cell func(outcome) any) {
		cells := []any{what, kind}
		for _, o := range runs {
			cells = append(cells, cell(o))
		}
		t.add(cells...)
	}
	row("set", "`pollingInterval`", func(o outcome) any { return o.Setting.Poll })
	row("set", "`maxReplicaCount`, and self-hosted parallel jobs to buy", func(o outcome) any { return o.Setting.Scaler.Max })
	row("set", "strategy", func(outcome) any {
		return "`default`, `scaleOnInFlight: \"true\"`, `fetchUnfinishedJobsOnly: \"true\"`"
	})
	row("set", "once or long-lived", func(outcome) any { return "`--once`" })
	row("set", "`AZP_IDLE_TIMEOUT`", func(o outcome) any { return o.Setting.Idle })
	row("set", "`AZP_KEEP_INTERVAL`, one keeper", func(o outcome) any { return o.Setting.Keep })
	for _, cost := range costs {
		row("set", fmt.Sprintf("identities for the agents, if a call costs %g TSTU", cost), func(o outcome) any { return identities(o, cost) })
	}
	row("set", "pools, and ScaledJobs", func(outcome) any { return "one for each identity" })
	row("result", "agents at once, at most", func(o outcome) any { return o.Peak })
	row("result", "a job waits: median", func(o outcome) any { return o.wait(0.5) })
	row("result", "a job waits: 95 %", func(o outcome) any { return o.wait(0.95) })
	row("result", "agents without a job, share of all", func(o outcome) any { return percent(float64(o.IdleOuts) / float64(max(o.Started, 1))) })
	row("result", "azptend's calls per job", func(o outcome) any { return o.perJob(agentsIdentity) })
	row("result", "azptend's calls in the busiest five minutes", func(o outcome) any { return o.Window[agentsIdentity] })
	return t.String()
}

// identities is how many identities keep the busiest five minutes at four fifths of the
// budget, where the emulator's limit starts to warn.
func identities(o outcome, cost float64) int {
	return max(int(math.Ceil(float64(o.Window[agentsIdentity])*cost/(200*warnPart))), 1)
}

// warnPart is that part of the budget.
const warnPart = 0.8

// perIdentity is how many agents one identity can start and remove in an hour within the
// limit.
func (s scope) perIdentity(*runs) string {
	t := &table{head: []string{"a call costs", "calls in five minutes", "runs with `--once` per hour", "long-lived agents started and removed per hour", "or long-lived agents in the pool"}}
	for _, cost := range costs {
		calls := 200 / cost
		t.add(fmt.Sprintf("%g TSTU", cost), int(calls), int(calls*12/float64(onceRun.total().sum())), int(calls*12/float64(longLivedRun.total().sum())), int(calls*12*((supervisor.MinPresenceInterval+supervisor.MaxPresenceInterval)/2).Hours()))
	}
	return t.String()
}

// limit shows when one identity reaches the limit, and what the limit does.
func (s scope) limit(r *runs) (string, plot) {
	t := &table{head: []string{"jobs an hour", "a call costs", "identities", "requested in the busiest five minutes of one", "calls delayed", "refused", "a job waits: median", "95 %", "gave up"}}
	for _, jobs := range s.Rates {
		free := r.of(s.recommended(jobs))
		for _, cost := range costs {
			counts := []int{1}
			if n := identities(free, cost); n > 1 {
				counts = append(counts, n)
			}
			for _, n := range counts {
				set := s.recommended(jobs)
				set.Cost, set.Identities = cost, n
				o := r.of(set)
				t.add(int(jobs), fmt.Sprintf("%g TSTU", cost), n, fmt.Sprintf("%.0f TSTU", float64(o.Window[agentsIdentity])*cost),
					o.Delayed, o.Refused, o.wait(0.5), o.wait(0.95), o.GaveUp)
			}
		}
	}
	p := plot{Title: "What one identity of the agents uses in its busiest five minutes", X: "jobs an hour, --once", Y: "TSTU in five minutes", Log: true,
		Levels: []level{{"200: delayed", 200}, {"400: refused", 400}}}
	lines := make([]line, len(costs))
	for i, cost := range costs {
		lines[i].Name = fmt.Sprintf("%g TSTU a call", cost)
	}
	for _, jobs := range steps(s.Rates[0], s.Rates[len(s.Rates)-1]) {
		o := r.of(s.recommended(jobs))
		for i, cost := range costs {
			lines[i].Points = append(lines[i].Points, [2]float64{jobs, float64(o.Window[agentsIdentity]) * cost})
		}
	}
	p.Lines = lines
	return t.String(), p
}

// steps returns rates between two values, five for each power of ten.
func steps(from, to float64) []float64 {
	var all []float64
	for n := 0; ; n++ {
		v := math.Round(from * math.Pow(10, float64(n)/5))
		if v > to*1.001 {
			return all
		}
		all = append(all, v)
	}
}

// modes compares --once with long-lived agents.
func (s scope) modes(r *runs) string {
	t := &table{head: []string{"jobs an hour", "agents", "at once, at most", "azptend's calls per job", "in the busiest five minutes", "a job waits: median", "95 %", "agents' time without a job"}}
	for _, jobs := range s.Rates {
		once := inGroups(s.recommended(jobs))
		add := func(name string, set setting) {
			o := r.of(set)
			t.add(int(jobs), name, o.Peak, fmt.Sprintf("%.2f", o.perJob(agentsIdentity)), o.Window[agentsIdentity], o.wait(0.5), o.wait(0.95), percent(o.idleShare()))
		}
		add("`--once` on KEDA", once)
		stay := once
		stay.LongLived = maxReplicas(jobs)
		add("long-lived, as many as `maxReplicaCount`", stay)
		stay.LongLived = int(math.Ceil(float64(maxReplicas(jobs)) * 0.75))
		add("long-lived, three quarters of that", stay)
		once.Parallel = int(math.Ceil(float64(maxReplicas(jobs)) * 0.75))
		add("`--once`, with parallel jobs for three quarters", once)
	}
	return t.String()
}

// polls compares polling intervals.
func (s scope) polls(r *runs) (string, plot) {
	jobs := s.Rates[min(1, len(s.Rates)-1)]
	t := &table{head: []string{"`pollingInterval`", "jobs arrive", "a job waits: median", "95 %", "KEDA's calls an hour", "agents without a job"}}
	lines := []line{{Name: "median"}, {Name: "95 %"}, {Name: "median, groups"}, {Name: "95 %, groups"}}
	for _, poll := range []time.Duration{5 * time.Second, 15 * time.Second, 30 * time.Second, 60 * time.Second} {
		for n, group := range []int{1, groupOf(jobs)} {
			set := s.recommended(jobs)
			set.Poll, set.Group = poll, group
			o := r.of(set)
			come := "one by one"
			if group > 1 {
				come = fmt.Sprintf("in groups of %d", group)
			}
			t.add(poll, come, o.wait(0.5), o.wait(0.95), int(float64(o.Calls[kedaIdentity].sum())/max(o.Length.Hours(), 1e-9)), o.IdleOuts)
			for i, part := range []float64{0.5, 0.95} {
				l := &lines[2*n+i]
				l.Points = append(l.Points, [2]float64{poll.Seconds(), o.wait(part).Seconds()})
			}
		}
	}
	return t.String(), plot{Title: fmt.Sprintf("How long a job waits, at %s jobs an hour", number(jobs)), X: "KEDA's pollingInterval, seconds", Y: "seconds from queued to started", Lines: lines}
}

// strategies compares KEDA's strategies.
func (s scope) strategies(r *runs) (string, plot) {
	t := &table{head: []string{"jobs an hour", "strategy", "agents at once, at most", "agents for a job", "left without a job", "a job waits: median", "95 %"}}
	ways := []struct {
		name string
		set  scaler
	}{
		{"`default`, in-flight jobs count, unfinished only", scaler{Strategy: byDefault, InFlight: true, Unfinished: true}},
		{"the same with `$top`: 200 are listed", scaler{Strategy: byDefault, InFlight: true}},
		{"`default`, in-flight jobs do not count (2.20)", scaler{Strategy: byDefault, Unfinished: true}},
		{"`accurate`, in-flight jobs do not count", scaler{Strategy: accurate, Unfinished: true}},
		{"the same, pending until ready (`pendingPodConditions`)", scaler{Strategy: accurate, Unfinished: true, UntilReady: true}},
		{"`accurate`, in-flight jobs count", scaler{Strategy: accurate, InFlight: true, Unfinished: true}},
	}
	p := plot{X: "hours", Y: "jobs that wait"}
	for _, jobs := range s.Rates {
		p.Title = fmt.Sprintf("Jobs that wait, at %s jobs an hour for %s", number(jobs), span(s.During))
		p.Lines = nil
		for i, way := range ways {
			set := inGroups(s.recommended(jobs))
			way.set.Max = set.Scaler.Max
			set.Scaler = way.set
			o := r.of(set)
			t.add(int(jobs), way.name, o.Peak, fmt.Sprintf("%.2f", float64(o.Started)/float64(max(o.Jobs, 1))), o.IdleOuts, o.wait(0.5), o.wait(0.95))
			if names := []string{"unfinished only", "$top", "2.20 with default"}; i < len(names) {
				l := line{Name: names[i]}
				for n, m := range o.History {
					if n%4 == 0 {
						l.Points = append(l.Points, [2]float64{m.At.Hours(), float64(m.Waiting)})
					}
				}
				p.Lines = append(p.Lines, l)
			}
		}
	}
	return t.String(), p
}

// shared shows what happens to KEDA's polls if the agents' identity is over its limit and
// KEDA uses the same one. It leaves out the lowest rate: a call would have to cost so much
// that KEDA alone would be over the limit.
func (s scope) shared(r *runs) string {
	t := &table{head: []string{"jobs an hour", "KEDA's and the keeper's identity", "KEDA's polls that fail", "calls delayed", "refused", "a job waits: median", "95 %"}}
	for _, jobs := range s.Rates[1:] {
		set := s.recommended(jobs)
		set.Cost = overload * 200 / float64(r.of(set).Window[agentsIdentity])
		for _, shared := range []bool{false, true} {
			set.Shared = shared
			o := r.of(set)
			name := "their own"
			if shared {
				name = "the agents'"
			}
			t.add(int(jobs), name, percent(float64(o.Failed)*float64(set.Poll)/float64(o.Length)), o.Delayed, o.Refused, o.wait(0.5), o.wait(0.95))
		}
	}
	return t.String()
}

// overload is how many times the budget the busiest five minutes use, in shared.
const overload = 1.5

// whoCalls counts the calls of each caller in an hour.
func (s scope) whoCalls(r *runs) string {
	t := &table{head: []string{"jobs an hour", "azptend's, of the agents' identity", "KEDA's", "the keeper's", "assumed: the listeners' and the jobs', each with its own identity"}}
	for _, jobs := range s.Rates {
		o := r.of(s.recommended(jobs))
		h := max(o.Length.Hours(), 1e-9)
		t.add(int(jobs), int(float64(o.Calls[agentsIdentity].sum())/h), int(float64(o.Calls[kedaIdentity].sum())/h), int(float64(o.Calls[keepIdentity].sum())/h), int(float64(o.Listener.sum())/h))
	}
	return t.String()
}

// triggers compares KEDA's two triggers at the highest rate: azure-pipelines asks Azure DevOps for each
// ScaledJob, and metrics-api asks two keepers.
func (s scope) triggers(r *runs) string {
	t := &table{head: []string{"ScaledJobs", "trigger", "`pollingInterval`", "keepers", "KEDA's calls an hour", "the keepers'", "both", "in the busiest five minutes of one identity", "a job waits: median", "95 %", "agents without a job"}}
	jobs := s.Rates[len(s.Rates)-1]
	for _, way := range []struct {
		groups, keepers int
		poll            time.Duration
	}{
		{3, 0, 15 * time.Second}, {3, 0, 5 * time.Second}, {3, 0, 2 * time.Second}, {10, 0, 2 * time.Second},
		{3, 2, 15 * time.Second}, {3, 2, 5 * time.Second}, {3, 2, 2 * time.Second}, {10, 2, 2 * time.Second},
	} {
		set := s.recommended(jobs)
		set.Groups, set.Keepers, set.Poll = way.groups, way.keepers, way.poll
		set.Scaler.Max = maxReplicas(jobs / float64(way.groups))
		name := "`azure-pipelines`"
		if way.keepers > 0 {
			name = "`metrics-api`"
		}
		o := r.of(set)
		hourly := func(calls int) int { return int(float64(calls) / max(o.Length.Hours(), 1e-9)) }
		keda, keepers := o.Calls[kedaIdentity].sum(), o.Calls[keepIdentity].sum()
		t.add(way.groups, name, way.poll, max(way.keepers, 1), hourly(keda), hourly(keepers), hourly(keda+keepers),
			max(o.Window[kedaIdentity], o.Window[keepIdentity]), o.wait(0.5), o.wait(0.95), o.IdleOuts)
	}
	return t.String()
}

// seeds shows how much the numbers depend on the seed.
func (s scope) seeds(r *runs) string {
	t := &table{head: []string{"seed", "jobs", "a job waits: median", "95 %", "agents at once, at most", "calls in the busiest five minutes"}}
	jobs := s.Rates[min(1, len(s.Rates)-1)]
	for n := range uint64(5) {
		set := inGroups(s.recommended(jobs))
		set.Seed += n
		o := r.of(set)
		t.add(int(set.Seed), o.Jobs, o.wait(0.5), o.wait(0.95), o.Peak, o.Window[agentsIdentity])
	}
	return t.String()
}
