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
	started  int      // of those, the ones that an agent has received
	agents   []*agent // whose pods exist, the oldest first
	next     int      // number of the next agent, which selects its identity
	err      error
}

// job is one job request.
type job struct {
	queued   time.Duration
	length   time.Duration
	assigned bool
	received bool
}

// window is the limit's window (azure-devops-rest.md 3).
const window = 5 * time.Minute

// simulate simulates a setting.
func simulate(s setting) (outcome, error) {
	s.Group, s.Identities = max(s.Group, 1), max(s.Identities, 1)
	w := &simulation{setting: s, random: newRandom(s.Seed), epoch: time.Unix(0, 0), rates: map[string][]time.Duration{}}
	w.out = outcome{Setting: s, Calls: map[string]tally{}, Listener: tally{}, Window: map[string]int{}}
	if s.Cost > 0 {
		var err error
		if w.meter, err = emulator.NewMeter(emulator.RateLimit{Budget: 200, Cost: s.Cost}); err != nil {
			return w.out, err
		}
	}
	for _, at := range w.arrivals(s.Jobs, s.Group, s.During) {
		j := &job{queued: at, length: w.jobLength()}
		w.upcoming++
		w.after(at, func() { w.arrive(j) })
	}
	for range s.LongLived {
		w.launch()
	}
	if s.LongLived == 0 {
		w.after(w.between(0, s.Poll), w.poll)
	}
	if s.Keep > 0 {
		w.after(w.between(0, s.Keep), w.pollAsKeeper)
	}
	w.after(0, w.record)
	w.run(w.over)
	if !w.done() && w.err == nil {
		w.err = fmt.Errorf("%d jobs have not run after %s", w.upcoming+len(w.waiting)+w.busy, w.now)
	}
	w.close()
	return w.out, w.err
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
	for _, j := range w.waiting {
		if j.assigned {
			continue
		}
		if w.Parallel > 0 && w.busy >= w.Parallel {
			return
		}
		i := slices.IndexFunc(w.agents, func(a *agent) bool { return a.free() })
		if i < 0 {
			return
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
	w.started++
}

// poll is KEDA's poll. If an answer takes longer than kedaPatience, KEDA makes a new scaler
// and asks once more.
func (w *simulation) poll() {
	w.after(w.Poll, w.poll)
	ok := w.answersInTime(kedaIdentity, kedaPoll[0])
	if !ok {
		w.out.Failed++
		ok = w.answersInTime(kedaIdentity, kedaError[1]) && w.answersInTime(kedaIdentity, kedaError[2])
	}
	if !ok {
		return
	}
	pending := 0
	for _, a := range w.agents {
		if !a.running || w.Scaler.UntilReady && !a.listening {
			pending++
		}
	}
	metric := w.Scaler.count(len(w.waiting), w.started)
	for range w.Scaler.create(metric, len(w.agents), pending) {
		w.launch()
	}
}

// kedaPatience is KEDA_HTTP_DEFAULT_TIMEOUT's default.
const kedaPatience = 3 * time.Second

// answersInTime makes a call, and reports whether KEDA gets the answer within its timeout.
func (w *simulation) answersInTime(who string, c call) bool {
	t := w.charge(w.identityOf(who), who, c)
	return !t.Refuse && t.Delay < kedaPatience
}

// pollAsKeeper is the keeper's poll. It respects Retry-After before the next poll.
func (w *simulation) pollAsKeeper() {
	pause := w.Keep
	for _, c := range keeperPoll {
		t := w.charge(w.identityOf(keepIdentity), keepIdentity, c)
		pause = max(pause, t.RetryAfter)
	}
	w.after(pause, w.pollAsKeeper)
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
	w.out.History = append(w.out.History, moment{w.now, len(w.waiting), w.started, len(w.agents)})
	w.after(30*time.Second, w.record)
}
