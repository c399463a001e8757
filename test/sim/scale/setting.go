package main

import (
	"slices"
	"time"
)

// setting is one organisation and its settings. A zero value means that there is none of
// it.
type setting struct {
	Jobs   float64       // an hour
	Group  int           // how many jobs arrive together
	During time.Duration // for how long jobs arrive; the simulation ends when all have run
	Seed   uint64

	LongLived int // long-lived agents, started together at the beginning; 0: --once on KEDA
	Scaler    scaler
	Poll      time.Duration // KEDA's pollingInterval
	Idle      time.Duration // AZP_IDLE_TIMEOUT
	Parallel  int           // self-hosted parallel jobs that the organisation has; 0: enough
	Keep      time.Duration // AZP_KEEP_INTERVAL; 0: no keeper
	Groups    int           // groups of agents, each with a ScaledJob; each job is for one of them; at least 1
	Keepers   int           // keepers that KEDA asks with metrics-api; 0: it asks Azure DevOps

	Cost       float64 // TSTU of a call; 0: no limit
	Identities int     // how many identities the agents share; at least 1
	Shared     bool    // KEDA and the keeper use the agents' first identity instead of their own
}

// The callers. The listener is not one of them: each agent has an identity of its own
// for the listener's calls, and stays far below the limit.
const (
	agentsIdentity = "agents"
	kedaIdentity   = "KEDA"
	keepIdentity   = "keeper"
)

// outcome is the result of a simulation.
type outcome struct {
	Setting        setting
	Jobs           int // jobs that ran, each once
	Waits          []time.Duration
	Started        int // agents that were started
	IdleOuts       int // agents that exited without a job
	PresenceChecks int // azptend's checks that its agent is still in its pool
	GaveUp         int // agents that could not start or be removed because of the limit
	Peak           int // most agents at once, counted from a pod's creation to its end
	Length         time.Duration
	AgentsOn       time.Duration // of all agents, from creation to end
	Worked         time.Duration // of all jobs

	Calls    map[string]tally // by caller
	Listener tally            // assumed, see listener.go
	Delayed  int
	Refused  int
	Delay    time.Duration
	Window   map[string]int // most calls of one identity within five minutes, by caller
	Failed   int            // polls of KEDA that failed
	Looks    int            // of the keepers at the pool, because KEDA asked

	History []moment
}

// moment is the state at some time.
type moment struct {
	At                      time.Duration
	Waiting, Running, Agent int
}

// wait returns a quantile of the jobs' waiting times.
func (o outcome) wait(part float64) time.Duration {
	if len(o.Waits) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(o.Waits))
	return sorted[min(int(part*float64(len(sorted))), len(sorted)-1)].Round(time.Second)
}

// perJob returns how many calls of a caller there were for each job.
func (o outcome) perJob(who string) float64 {
	return float64(o.Calls[who].sum()) / float64(max(o.Jobs, 1))
}

// idleShare is the share of the agents' time in which no job ran.
func (o outcome) idleShare() float64 {
	return 1 - float64(o.Worked)/float64(max(o.AgentsOn, 1))
}
