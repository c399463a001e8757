package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/azptend/azptend/internal/emulator"
)

// world is one run: the organisation's queue, KEDA, the keeper and the agents, in
// virtual time.
type world struct {
	events
	setting
	chance
	out   outcome
	meter *emulator.Meter
	epoch time.Time
	rates map[string][]time.Duration // when each identity's calls of the last window were

	toCome  int
	waiting []*job   // not started, the oldest first; those that are assigned too
	busy    int      // jobs that an agent was given, and that are not over
	started int      // of them, those that run
	agents  []*agent // that have no end yet, the oldest first
	next    int      // of the next agent, for its identity
	err     error
}

// job is one job request.
type job struct {
	queued   time.Duration
	length   time.Duration
	assigned bool
	received bool
}

// window is the limit's (azure-devops-rest.md 3).
const window = 5 * time.Minute

// simulate runs a setting to its end.
func simulate(s setting) (outcome, error) {
	s.Group, s.Identities = max(s.Group, 1), max(s.Identities, 1)
	w := &world{setting: s, chance: newChance(s.Seed), epoch: time.Unix(0, 0), rates: map[string][]time.Duration{}}
	w.out = outcome{Setting: s, Calls: map[string]tally{}, Listener: tally{}, Window: map[string]int{}}
	if s.Cost > 0 {
		var err error
		if w.meter, err = emulator.NewMeter(emulator.RateLimit{Budget: 200, Cost: s.Cost}); err != nil {
			return w.out, err
		}
	}
	for _, at := range w.arrivals(s.Jobs, s.Group, s.During) {
		j := &job{queued: at, length: w.jobLength()}
		w.toCome++
		w.after(at, func() { w.arrive(j) })
	}
	for range s.Residents {
		w.launch()
	}
	if s.Residents == 0 {
		w.after(w.between(0, s.Poll), w.poll)
	}
	if s.Keep > 0 {
		w.after(w.between(0, s.Keep), w.look)
	}
	w.after(0, w.record)
	w.run(w.over)
	if !w.done() && w.err == nil {
		w.err = fmt.Errorf("%d jobs have not run after %s", w.toCome+len(w.waiting)+w.busy, w.now)
	}
	w.close()
	return w.out, w.err
}

// longestRun ends a run in which jobs are never done: KEDA makes no agents any more.
const longestRun = 48 * time.Hour

func (w *world) done() bool { return w.toCome+len(w.waiting)+w.busy == 0 }
func (w *world) over() bool {
	return w.err != nil || w.now > longestRun || w.done() && (len(w.agents) == 0 || w.Residents > 0)
}

// close counts what stays open at the end: agents that stay.
func (w *world) close() {
	w.out.Length = w.now
	for _, a := range w.agents {
		w.leaveBooks(a)
	}
	slices.Sort(w.out.Waits)
}

func (w *world) arrive(j *job) {
	w.toCome--
	w.waiting = append(w.waiting, j)
	w.assign()
}

// assign gives waiting jobs to agents that listen, as long as the organisation may
// run more.
func (w *world) assign() {
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

// receive takes a job out of the queue: its agent has it.
func (w *world) receive(j *job) {
	i := slices.Index(w.waiting, j)
	if i < 0 || j.received {
		w.err = fmt.Errorf("a job is started twice at %s", w.now)
		return
	}
	j.received = true
	w.waiting = slices.Delete(w.waiting, i, i+1)
	w.started++
}

// poll is KEDA's. An answer that takes longer than its patience is an error, after
// which it builds the scaler anew and asks once more.
func (w *world) poll() {
	w.after(w.Poll, w.poll)
	ok := w.quick(kedaIdentity, kedaPoll[0])
	if !ok {
		w.out.Failed++
		ok = w.quick(kedaIdentity, kedaError[1]) && w.quick(kedaIdentity, kedaError[2])
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

// quick makes a call for which its maker waits no longer than KEDA does.
func (w *world) quick(who string, c call) bool {
	t := w.charge(w.payer(who), who, c)
	return !t.Refuse && t.Delay < kedaPatience
}

// look is the keeper's. It heeds what the server asks for: then this look is the
// last for so long.
func (w *world) look() {
	pause := w.Keep
	for _, c := range keepLook {
		t := w.charge(w.payer(keepIdentity), keepIdentity, c)
		pause = max(pause, t.RetryAfter)
	}
	w.after(pause, w.look)
}

// payer is whose budget somebody's calls are charged to.
func (w *world) payer(who string) string {
	if w.Shared {
		return agentsIdentity + " 0"
	}
	return who
}

// charge makes a call, and says what the limit does to it.
func (w *world) charge(payer, who string, c call) emulator.Throttle {
	if w.out.Calls[who] == nil {
		w.out.Calls[who] = tally{}
	}
	w.out.Calls[who][c]++
	last := append(w.rates[payer], w.now)
	for len(last) > 0 && last[0] <= w.now-window {
		last = last[1:]
	}
	w.rates[payer] = last
	w.out.Window[who] = max(w.out.Window[who], len(last))
	if w.meter == nil {
		return emulator.Throttle{}
	}
	t := w.meter.Charge(payer, w.epoch.Add(w.now))
	switch {
	case t.Refuse:
		w.out.Refused++
	case t.Delay > 0:
		w.out.Delayed++
		w.out.Delay += t.Delay
	}
	return t
}

// record takes down how it stands, twice a minute.
func (w *world) record() {
	w.out.History = append(w.out.History, moment{w.now, len(w.waiting), w.started, len(w.agents)})
	w.after(30*time.Second, w.record)
}
