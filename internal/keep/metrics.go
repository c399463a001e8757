package keep

import (
	"time"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/calls"
	"github.com/azptend/azptend/internal/metrics"
)

// Metrics are what a keeper counts. Every label is bounded: the pools that are
// kept, and words of ours.
type Metrics struct {
	*calls.Requests
	registry *metrics.Registry

	agents, jobs, oldest, lastSeen    metrics.Gauge
	waits                             metrics.Histogram
	finished, removed, failed, rounds metrics.Counter
}

// waitBuckets go from an agent that stands by to a queue of half a day: those
// who wait for a container to start are between 10 s and 5 min.
func waitBuckets() []float64 {
	return []float64{1, 2, 5, 10, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200}
}

// Families are the metrics that there are.
func (m *Metrics) Families() []metrics.Family { return m.registry.Families() }

// NewMetrics makes them, all at zero.
func NewMetrics(version string) *Metrics {
	r := metrics.New()
	m := &Metrics{
		registry: r,
		agents:   r.Gauge("azptend_pool_agents", "Agents of the pool by state.", "pool", "state"),
		jobs:     r.Gauge("azptend_pool_jobs", "Unfinished jobs of the pool by state; those that are queued wait for an agent.", "pool", "state"),
		oldest:   r.Gauge("azptend_pool_oldest_waiting_job_age_seconds", "For how long the job that waits longest has waited; 0 when none waits.", "pool"),
		waits: r.Histogram("azptend_pool_job_wait_seconds",
			"How long jobs that started had waited, from when they were queued until an agent had them.", waitBuckets(), "pool"),
		finished: r.Counter("azptend_pool_jobs_finished_total",
			"Jobs that ended, by result; unseen are those that were gone before they were seen to end.", "pool", "result"),
		removed:  r.Counter("azptend_pool_agents_removed_total", "Agents that the keeper removed, by reason.", "pool", "reason"),
		failed:   r.Counter("azptend_pool_removals_failed_total", "Removals that failed; each is tried again.", "pool"),
		rounds:   r.Counter("azptend_keep_rounds_total", "Looks at the pool, by outcome.", "pool", "outcome"),
		lastSeen: r.Gauge("azptend_keep_last_seen_timestamp_seconds", "When the pool was last seen.", "pool"),
	}
	m.Requests = calls.New(r)
	r.Gauge("azptend_build_info", "Always 1; the version is a label.", "version").Set(1, version)
	r.Gauge("process_start_time_seconds", "When the keeper started.").Set(seconds(time.Now()))
	return m
}

func seconds(at time.Time) float64 { return float64(at.UnixMilli()) / 1000 }

// initPool makes the series of a pool, so that they are there before anything is
// counted.
func (m *Metrics) initPool(pool string) {
	for _, result := range append(results(), "other", Unseen) {
		m.finished.Add(0, pool, result)
	}
	for _, reason := range removalReasons() {
		m.removed.Add(0, pool, string(reason))
	}
	m.failed.Add(0, pool)
	m.waits.Init(pool)
	m.rounds.Add(0, pool, "seen")
	m.rounds.Add(0, pool, "failed")
}

// setPool sets what a pool holds.
func (m *Metrics) setPool(pool string, p Snapshot) {
	for _, state := range agentStates() {
		m.agents.Set(float64(p.AgentsBy[state]), pool, string(state))
	}
	for _, state := range []azdo.JobState{azdo.JobQueued, azdo.JobAssigned, azdo.JobRunning} {
		m.jobs.Set(float64(p.JobsBy[state]), pool, string(state))
	}
	m.oldest.Set(p.Oldest.Seconds(), pool)
	m.lastSeen.Set(seconds(p.At), pool)
}

func (m *Metrics) addJobs(pool string, n jobChanges) {
	for _, wait := range n.waits {
		m.waits.Observe(wait.Seconds(), pool)
	}
	for _, result := range n.results {
		m.finished.Add(1, pool, result)
	}
}
