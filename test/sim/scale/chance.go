package main

import (
	"math"
	"math/rand/v2"
	"time"
)

// What nobody measured here, and is drawn. Each is in the page's list of what the
// model takes for granted.
const (
	jobMedian    = 4 * time.Minute
	jobSpread    = 1.0 // of the logarithm: one job in twenty takes five times the median
	longestJob   = time.Hour
	shortestJob  = 10 * time.Second
	podMedian    = 15 * time.Second // a pod scheduled, its image there, azptend started
	podSpread    = 0.4
	listenerUp   = 6 * time.Second // Microsoft's listener, from its start to its session
	listenerVary = 4 * time.Second
	workerUp     = 2 * time.Second        // from the message to the job's start
	podEnd       = 2 * time.Second        // from azptend's end to the Kubernetes Job's
	roundTrip    = 100 * time.Millisecond // of each call
)

// chance draws all that is left to chance in a run. Jobs are drawn from a source of
// their own: settings are compared by the same jobs. So are azptend's looks, which
// change nothing else.
type chance struct {
	jobs, rest *rand.Rand
	looks      dice
}

// dice draws times.
type dice struct{ *rand.Rand }

func newChance(seed uint64) chance {
	return chance{jobs: rand.New(rand.NewPCG(seed, 1)), rest: rand.New(rand.NewPCG(seed, 2)), looks: dice{rand.New(rand.NewPCG(seed, 3))}}
}

func lognormal(r *rand.Rand, median time.Duration, spread float64) time.Duration {
	return time.Duration(float64(median) * math.Exp(spread*r.NormFloat64()))
}

func (c chance) jobLength() time.Duration {
	return min(max(lognormal(c.jobs, jobMedian, jobSpread), shortestJob), longestJob)
}

func (c chance) podStart() time.Duration { return lognormal(c.rest, podMedian, podSpread) }

func (c chance) between(from, to time.Duration) time.Duration { return dice{c.rest}.between(from, to) }

func (d dice) between(from, to time.Duration) time.Duration {
	return from + time.Duration(d.Float64()*float64(to-from))
}

// arrivals are when jobs are queued: at random, or groups of them at random.
func (c chance) arrivals(jobs float64, group int, during time.Duration) []time.Duration {
	var all []time.Duration
	pause := float64(time.Hour) * float64(group) / jobs
	for at := c.jobs.ExpFloat64() * pause; at < float64(during); at += c.jobs.ExpFloat64() * pause {
		for range group {
			all = append(all, time.Duration(at))
		}
	}
	return all
}
