package main

import (
	"math"
	"math/rand/v2"
	"time"
)

// Values that were not measured, and are drawn at random. The page lists each as an
// assumption.
const (
	jobMedian    = 4 * time.Minute
	jobSpread    = 1.0 // of the logarithm: one job in twenty takes five times the median
	longestJob   = time.Hour
	shortestJob  = 10 * time.Second
	podMedian    = 15 * time.Second // from its creation until azptend runs; the image is on the node
	podSpread    = 0.4
	listenerUp   = 6 * time.Second // Microsoft's listener, from its start to its session
	listenerVary = 4 * time.Second
	workerUp     = 2 * time.Second        // from the message to the job's start
	podEnd       = 2 * time.Second        // from azptend's exit to the end of the Kubernetes Job
	roundTrip    = 100 * time.Millisecond // of each call
)

// random draws all random values of a simulation. Jobs have a source of their own, so that
// settings are compared with the same jobs. Presence checks have one too, so that they
// change nothing else, and so have the groups of jobs and the keepers that KEDA asks.
type random struct {
	jobs, rest, groups *rand.Rand
	presence           source
}

// source draws durations.
type source struct{ *rand.Rand }

func newRandom(seed uint64) random {
	return random{
		jobs: rand.New(rand.NewPCG(seed, 1)), rest: rand.New(rand.NewPCG(seed, 2)), groups: rand.New(rand.NewPCG(seed, 4)),
		presence: source{rand.New(rand.NewPCG(seed, 3))},
	}
}

func lognormal(r *rand.Rand, median time.Duration, spread float64) time.Duration {
	return time.Duration(float64(median) * math.Exp(spread*r.NormFloat64()))
}

func (c random) jobLength() time.Duration {
	return min(max(lognormal(c.jobs, jobMedian, jobSpread), shortestJob), longestJob)
}

func (c random) podStart() time.Duration { return lognormal(c.rest, podMedian, podSpread) }

func (c random) between(from, to time.Duration) time.Duration {
	return source{c.rest}.between(from, to)
}

func (d source) between(from, to time.Duration) time.Duration {
	return from + time.Duration(d.Float64()*float64(to-from))
}

// arrivals returns when jobs are queued: each at a random time, or groups of them.
func (c random) arrivals(jobs float64, group int, during time.Duration) []time.Duration {
	var all []time.Duration
	pause := float64(time.Hour) * float64(group) / jobs
	for at := c.jobs.ExpFloat64() * pause; at < float64(during); at += c.jobs.ExpFloat64() * pause {
		for range group {
			all = append(all, time.Duration(at))
		}
	}
	return all
}
