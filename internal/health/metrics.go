package health

import (
	"sync"
	"time"

	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/metrics"
)

// Metrics are the metrics of one process. They are safe for concurrent use.
type Metrics struct {
	*metrics.Registry
	*metrics.Requests

	phase, lastStart, expiry                 metrics.Gauge
	phaseTime, started, ended                metrics.Counter
	registrations, removals, restarts, exits metrics.Counter
	updates, fetches                         metrics.Counter
	jobDuration                              metrics.Histogram

	mu     sync.Mutex
	agents []*AgentMetrics
}

// NewMetrics returns metrics that are all zero.
func NewMetrics(version string) *Metrics {
	r := &metrics.Registry{}
	r.AddProcess(version)
	m := &Metrics{
		Registry: r,
		Requests: metrics.NewRequests(r),
		phase:    r.Gauge("azptend_phase", "1 for the phase that the agent is in, 0 for the others.", "agent", "phase"),
		phaseTime: r.Counter("azptend_phase_seconds_total",
			"Time the agent spent in each phase. idle: listening without a job; busy: with a job.", "agent", "phase"),
		lastStart: r.Gauge("azptend_last_start_seconds",
			"Duration of each part of the last start, until the agent listened for jobs. 0: the start had no such part.", "agent", "part"),
		started: r.Counter("azptend_jobs_started_total", "Jobs that the agent's listener started.", "agent"),
		ended: r.Counter("azptend_jobs_ended_total",
			"Jobs that ended. finished: the listener ended it, whatever its result; cut: its listener exited during the job; unseen: azptend lost track of it.", "agent", "result"),
		jobDuration:   r.Histogram("azptend_job_duration_seconds", "Duration of jobs that finished.", metrics.JobBuckets(), "agent"),
		registrations: r.Counter("azptend_registrations_total", "Registrations of the agent.", "agent"),
		removals: r.Counter("azptend_removals_total",
			"How registrations ended. removed: from the pool; named: left in the pool and reported in the log.", "agent", "outcome"),
		restarts: r.Counter("azptend_listener_restarts_total", "Starts of the listener after the first.", "agent"),
		exits:    r.Counter("azptend_listener_exits_total", "Exits of the listener by exit code. signal: it was killed.", "agent", "exit"),
		updates:  r.Counter("azptend_agent_updates_total", "Agent updates that the listener started.", "agent"),
		fetches:  r.Counter("azptend_token_fetches_total", "Tokens fetched from Entra ID or an identity endpoint, and failures.", "source", "outcome"),
		expiry:   r.Gauge("azptend_token_expiry_timestamp_seconds", "When the current token expires. Not set for a personal access token.", "source"),
	}
	return m
}

// TokenFetched counts a token that was fetched from a source, or the failure. expires is zero
// if it is unknown.
func (m *Metrics) TokenFetched(source string, expires time.Time, err error) {
	outcome := "ok"
	if err != nil {
		outcome = "failed"
	}
	for _, o := range []string{"ok", "failed"} {
		m.fetches.Add(0, source, o)
	}
	m.fetches.Add(1, source, outcome)
	if !expires.IsZero() {
		m.expiry.Set(float64(expires.Unix()), source)
	}
}

// flushPhaseTime adds the time in the current phases up to now.
func (m *Metrics) flushPhaseTime() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.agents {
		l.flushPhaseTime()
	}
}

func phases() []lifecycle.Phase {
	return []lifecycle.Phase{lifecycle.Booting, lifecycle.Registering, lifecycle.Starting, lifecycle.Idle, lifecycle.Busy,
		lifecycle.Draining, lifecycle.Removing, lifecycle.Stopping, lifecycle.Gone}
}
