package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/azptend/azptend/internal/emulator"
)

// simulation is one organisation in virtual time: its queue, KEDA, the keeper and the
// agents.
type simulation struct {
	events
	setting
	random
	out   outcome
	meter *emulator.Meter
	epoch time.Time
	rates map[string][]time.Duration // times of each identity's calls within the last window

	upcoming int
	waiting  []*job   // not received yet, the oldest first; some are assigned
	busy     int      // jobs that are assigned and not over
	started  []int    // by group: of those, the ones that an agent has received
	agents   []*agent // whose pods exist, the oldest first
	next     int      // number of the next agent, which selects its identity
	keepers  []*endpoint
	err      error
}

// job is one job request.
type job struct {
	group    int
	queued   time.Duration
	length   time.Duration
	assigned bool
	received bool
}

// window is the limit's window (azure-devops-rest.md 3).
const window = 5 * time.Minute

// simulate simulates a setting.
func simulate(s setting) (outcome, error) {
	s.Group, s.Identities, s.Groups = max(s.Group, 1), max(s.Identities, 1), max(s.Groups, 1)
	w := &simulation{setting: s, random: newRandom(s.Seed), epoch: time.Unix(0, 0), rates: map[string][]time.Duration{}, started: make([]int, s.Groups)}
	w.out = outcome{Setting: s, Calls: map[string]tally{}, Listener: tally{}, Window: map[string]int{}}
	if s.Cost > 0 {
		var err error
		if w.meter, err = emulator.NewMeter(emulator.RateLimit{Budget: 200, Cost: s.Cost}); err != nil {
			return w.out, err
		}
	}
	for _, at := range w.arrivals(s.Jobs, s.Group, s.During) {
		j := &job{queued: at, length: w.jobLength(), group: w.groups.IntN(s.Groups)}
		w.upcoming++
		w.after(at, func() { w.arrive(j) })
	}
	w.begin()
	w.after(0, w.record)
	w.run(w.over)
	if !w.done() && w.err == nil {
		w.err = fmt.Errorf("%d jobs have not run after %s", w.upcoming+len(w.waiting)+w.busy, w.now)
	}
	w.close()
	return w.out, w.err
}

// begin starts long-lived agents or KEDA's polls, and the keepers.
func (w *simulation) begin() {
	for n := range w.LongLived {
		w.launch(n % w.Groups)
	}
	if w.LongLived == 0 {
		for group := range w.Groups {
			w.after(w.between(0, w.Poll), func() { w.poll(group) })
		}
	}
	for range w.Keepers {
		w.keepers = append(w.keepers, &endpoint{w: w})
	}
	if w.Keep > 0 {
		for n := range max(w.Keepers, 1) {
			w.after(w.between(0, w.Keep), func() { w.pollAsKeeper(n) })
		}
	}
}

// longestRun ends a simulation in which some jobs never run, because KEDA creates no more
// agents.
const longestRun = 48 * time.Hour

func (w *simulation) done() bool { return w.upcoming+len(w.waiting)+w.busy == 0 }
func (w *simulation) over() bool {
	return w.err != nil || w.now > longestRun || w.done() && (len(w.agents) == 0 || w.LongLived > 0)
}

// close counts the agents that still exist at the end.
func (w *simulation) close() {
	w.out.Length = w.now
	for _, a := range w.agents {
		w.countAgent(a)
	}
	slices.Sort(w.out.Waits)
}

func (w *simulation) arrive(j *job) {
	w.upcoming--
	w.waiting = append(w.waiting, j)
	w.assign()
}

// assign assigns waiting jobs to listening agents, up to the organisation's parallel jobs.
func (w *simulation) assign() {
	none, left := make([]bool, w.Groups), w.Groups // groups without a free agent
	for _, j := range w.waiting {
		if j.assigned || none[j.group] {
			continue
		}
		if w.Parallel > 0 && w.busy >= w.Parallel {
			return
		}
		i := slices.IndexFunc(w.agents, func(a *agent) bool { return a.group == j.group && a.free() })
		if i < 0 {
			none[j.group] = true
			if left--; left == 0 {
				return
			}
			continue
		}
		j.assigned = true
		w.busy++
		w.give(w.agents[i], j)
	}
}

// receive takes a job out of the queue when its agent has received it.
func (w *simulation) receive(j *job) {
	i := slices.Index(w.waiting, j)
	if i < 0 || j.received {
		w.err = fmt.Errorf("a job is started twice at %s", w.now)
		return
	}
	j.received = true
	w.waiting = slices.Delete(w.waiting, i, i+1)
	w.started[j.group]++
}

// running is how many jobs run.
func (w *simulation) running() (n int) {
	for _, started := range w.started {
		n += started
	}
	return n
}

// jobsOf counts the unfinished jobs of a group.
func (w *simulation) jobsOf(group int) (waiting, running int) {
	for _, j := range w.waiting {
		if j.group == group {
			waiting++
		}
	}
	return waiting, w.started[group]
}

// poll is KEDA's poll for the ScaledJob of a group.
func (w *simulation) poll(group int) {
	w.after(w.Poll, func() { w.poll(group) })
	metric, ok := w.metric(group)
	if !ok {
		return
	}
	unfinished, pending := 0, 0
	for _, a := range w.agents {
		if a.group != group {
			continue
		}
		unfinished++
		if !a.running || w.Scaler.UntilReady && !a.listening {
			pending++
		}
	}
	for range w.Scaler.create(metric, unfinished, pending) {
		w.launch(group)
	}
}

// metric is the number that KEDA gets. If it gets none, or the answer takes longer than
// kedaPatience, KEDA makes a new scaler and asks once more.
func (w *simulation) metric(group int) (metric int, ok bool) {
	if len(w.keepers) > 0 {
		for range 2 {
			// The Service sends each request to any of the keepers.
			if metric, ok = w.keepers[w.groups.IntN(len(w.keepers))].answer(group); ok {
				return metric, true
			}
		}
		w.out.Failed++
		return 0, false
	}
	if !w.answersInTime(kedaIdentity, kedaPoll[0]) {
		w.out.Failed++
		if !w.answersInTime(kedaIdentity, kedaError[1]) || !w.answersInTime(kedaIdentity, kedaError[2]) {
			return 0, false
		}
	}
	return w.Scaler.count(w.jobsOf(group)), true
}

// kedaPatience is KEDA_HTTP_DEFAULT_TIMEOUT's default.
const kedaPatience = 3 * time.Second

// answersInTime makes a call, and reports whether KEDA gets the answer within its timeout.
func (w *simulation) answersInTime(who string, c call) bool {
	t := w.charge(w.identityOf(who), who, c)
	return !t.Refuse && t.Delay < kedaPatience
}

// pollAsKeeper is a keeper's poll. It respects Retry-After before the next poll, and its scale
// endpoint takes over what it saw.
func (w *simulation) pollAsKeeper(n int) {
	pause, refused := w.Keep, false
	for _, c := range keeperPoll {
		t := w.charge(w.identityOf(keepIdentity), keepIdentity, c)
		pause, refused = max(pause, t.RetryAfter), refused || t.Refuse
	}
	if n < len(w.keepers) && !refused {
		w.keepers[n].saw()
	}
	w.after(pause, func() { w.pollAsKeeper(n) })
}

// identityOf returns the identity whose budget a caller uses.
func (w *simulation) identityOf(who string) string {
	if w.Shared {
		return agentsIdentity + " 0"
	}
	return who
}

// charge makes a call, and returns what the limit does to it.
func (w *simulation) charge(identity, who string, c call) emulator.Throttle {
	if w.out.Calls[who] == nil {
		w.out.Calls[who] = tally{}
	}
	w.out.Calls[who][c]++
	last := append(w.rates[identity], w.now)
	for len(last) > 0 && last[0] <= w.now-window {
		last = last[1:]
	}
	w.rates[identity] = last
	w.out.Window[who] = max(w.out.Window[who], len(last))
	if w.meter == nil {
		return emulator.Throttle{}
	}
	t := w.meter.Charge(identity, w.epoch.Add(w.now))
	switch {
	case t.Refuse:
		w.out.Refused++
	case t.Delay > 0:
		w.out.Delayed++
		w.out.Delay += t.Delay
	}
	return t
}

// record records the state, every 30 s.
func (w *simulation) record() {
	w.out.History = append(w.out.History, moment{w.now, len(w.waiting), w.running(), len(w.agents)})
	w.after(30*time.Second, w.record)
}
