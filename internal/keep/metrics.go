package keep

import (
	"time"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/metrics"
	"github.com/azptend/azptend/internal/pool"
)

// Metrics are a keeper's metrics. The number of label values is limited: the pools of
// the settings, and fixed words.
type Metrics struct {
	*metrics.Registry
	*metrics.Requests

	agents, jobs, oldest, lastSeen    metrics.Gauge
	waits, durations                  metrics.Histogram
	finished, removed, failed, rounds metrics.Counter

	scaleJobs, scaleDesired, scaleUnmatched, scaleAge metrics.Gauge
	scaleRequests                                     metrics.Counter
}

// waitBuckets go from an idle agent to a queue of half a day. Jobs that wait for a container to
// start are between 10 s and 5 min.
var waitBuckets = []float64{1, 2, 5, 10, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200}

// NewMetrics returns metrics that are all zero.
func NewMetrics(version string) *Metrics {
	r := &metrics.Registry{}
	r.AddProcess(version)
	m := &Metrics{
		Registry: r,
		Requests: metrics.NewRequests(r),
		agents:   r.Gauge("azptend_pool_agents", "Agents in the pool by state.", "pool", "state"),
		jobs:     r.Gauge("azptend_pool_jobs", "Unfinished jobs of the pool by state. queued: waiting for an agent.", "pool", "state"),
		oldest:   r.Gauge("azptend_pool_oldest_waiting_job_age_seconds", "How long the oldest waiting job has waited. 0: no job waits.", "pool"),
		waits: r.Histogram("azptend_pool_job_wait_seconds",
			"How long jobs waited before they started, from queued to received by an agent.", waitBuckets, "pool"),
		finished: r.Counter("azptend_pool_jobs_finished_total",
			"Jobs that ended, by result. unseen: the job disappeared before its end was seen.", "pool", "result"),
		durations: r.Histogram("azptend_pool_job_duration_seconds",
			"How long jobs ran, from received by an agent to finished. Jobs with the result unseen are missing.", metrics.JobBuckets(), "pool"),
		removed:  r.Counter("azptend_pool_agents_removed_total", "Agents that the keeper removed, by reason.", "pool", "reason"),
		failed:   r.Counter("azptend_pool_removals_failed_total", "Failed removals. Each is tried again.", "pool"),
		rounds:   r.Counter("azptend_keep_rounds_total", "Refreshes of the pool, by outcome.", "pool", "outcome"),
		lastSeen: r.Gauge("azptend_keep_last_seen_timestamp_seconds", "Time of the last successful refresh of the pool.", "pool"),

		scaleJobs:      r.Gauge("azptend_scale_jobs", "Jobs of the group of agents by state. waiting: they wait, and the group is to run them; busy: its agents run them.", "group", "state"),
		scaleDesired:   r.Gauge("azptend_scale_desired", "How many agents the group should have: jobs and warm agents.", "group"),
		scaleUnmatched: r.Gauge("azptend_scale_unmatched_jobs", "Waiting jobs of the pool that no group can run.", "pool"),
		scaleAge:       r.Gauge("azptend_scale_age_seconds", "Age of the numbers of the pool's groups.", "pool"),
		scaleRequests:  r.Counter("azptend_scale_requests_total", "Requests for the group by HTTP status. -: no such group.", "group", "code"),
	}
	return m
}

// initPool creates a pool's series at zero, so that a rate does not miss the first
// increase.
func (m *Metrics) initPool(pool string) {
	for _, result := range append(results(), "other", Unseen) {
		m.finished.Add(0, pool, result)
	}
	for _, reason := range removalReasons {
		m.removed.Add(0, pool, string(reason))
	}
	m.failed.Add(0, pool)
	m.waits.Init(pool)
	m.durations.Init(pool)
	m.rounds.Add(0, pool, "seen")
	m.rounds.Add(0, pool, "failed")
}

// setPool sets the gauges of a pool.
func (m *Metrics) setPool(name string, p Snapshot) {
	for _, state := range pool.States() {
		m.agents.Set(float64(p.AgentsBy[state]), name, string(state))
	}
	for _, state := range []azdo.JobState{azdo.JobQueued, azdo.JobAssigned, azdo.JobRunning} {
		m.jobs.Set(float64(p.JobsBy[state]), name, string(state))
	}
	m.oldest.Set(p.Oldest.Seconds(), name)
	m.lastSeen.Set(float64(p.At.UnixMilli())/1000, name)
}

// setScale sets the gauges of a pool's groups.
func (m *Metrics) setScale(pool string, groups []pool.Group, seen pool.Assignment, now time.Time) {
	for i, g := range groups {
		name, count := g.Name, seen.Counts[i]
		m.scaleJobs.Set(float64(count.Waiting), name, "waiting")
		m.scaleJobs.Set(float64(count.Busy), name, "busy")
		m.scaleDesired.Set(float64(g.Desired(count, now)), name)
	}
	m.scaleUnmatched.Set(float64(len(seen.Unmet)), pool)
}

func (m *Metrics) addJobs(pool string, n jobChanges) {
	for _, wait := range n.waits {
		m.waits.Observe(wait.Seconds(), pool)
	}
	for _, ran := range n.durations {
		m.durations.Observe(ran.Seconds(), pool)
	}
	for _, result := range n.results {
		m.finished.Add(1, pool, result)
	}
}
