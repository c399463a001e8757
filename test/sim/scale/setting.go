package main

import (
	"slices"
	"time"
)

// setting is one organisation and what is set in it. The zero value of what is not
// needed is "without".
type setting struct {
	Jobs   float64       // an hour
	Group  int           // jobs come in groups of so many; 1: each by itself
	During time.Duration // for how long jobs come; the run ends when all have run
	Seed   uint64

	Residents int // agents that stay, started together at the beginning; 0: --once on KEDA
	Scaler    scaler
	Poll      time.Duration // KEDA's pollingInterval
	Idle      time.Duration // AZP_IDLE_TIMEOUT
	Parallel  int           // self-hosted parallel jobs that the organisation has; 0: enough
	Keep      time.Duration // AZP_KEEP_INTERVAL; 0: no keeper

	Cost       float64 // TSTU of a call; 0: nothing is limited
	Identities int     // among which the agents are spread; at least 1
	Shared     bool    // KEDA and the keeper use the agents' first identity, and not their own
}

// Who makes calls. The listener's are not among them: each agent has an identity of
// its own for those, and far below the limit.
const (
	agentsIdentity = "agents"
	kedaIdentity   = "KEDA"
	keepIdentity   = "keeper"
)

// outcome is what became of a run.
type outcome struct {
	Setting  setting
	Jobs     int // all of them ran, each once
	Waits    []time.Duration
	Lives    int // agents that were started
	IdleOuts int // that left without a job
	Looks    int // azptend's, whether its agent is still in its pool
	GaveUp   int // that could not start, or be removed, for the limit
	Peak     int // most agents at once, from the pod's creation to its end
	Length   time.Duration
	AgentsOn time.Duration // of all agents, from creation to end
	Worked   time.Duration // of all jobs

	Calls    map[string]tally // by who
	Listener tally            // believed, see listener.go
	Delayed  int
	Refused  int
	Delay    time.Duration
	Window   map[string]int // the most calls of one identity within five minutes, by who
	Failed   int            // KEDA's polls

	History []moment
}

// moment is how it stood at some time.
type moment struct {
	At                      time.Duration
	Waiting, Running, Agent int
}

// wait is how long a part of the jobs waited at most.
func (o outcome) wait(part float64) time.Duration {
	if len(o.Waits) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(o.Waits))
	return sorted[min(int(part*float64(len(sorted))), len(sorted)-1)].Round(time.Second)
}

// perJob is how many calls of somebody's a job costs.
func (o outcome) perJob(who string) float64 {
	return float64(o.Calls[who].sum()) / float64(max(o.Jobs, 1))
}

// idleShare is the part of the agents' time in which no job ran.
func (o outcome) idleShare() float64 {
	return 1 - float64(o.Worked)/float64(max(o.AgentsOn, 1))
}
