package health

import (
	"sync"
	"time"

	"github.com/azptend/azptend/internal/calls"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/metrics"
)

// Metrics are what is counted in one process. They are safe for use by several
// goroutines.
type Metrics struct {
	*calls.Requests
	registry *metrics.Registry

	phase, lastStart, expiry                 metrics.Gauge
	phaseTime, started, ended                metrics.Counter
	registrations, removals, restarts, exits metrics.Counter
	updates, fetches                         metrics.Counter
	jobDuration                              metrics.Histogram

	mu     sync.Mutex
	agents []*AgentMetrics
}

// jobBuckets go from a job that only says hello to the six hours after which a
// hosted agent would be ended, and on to a day.
func jobBuckets() []float64 {
	return []float64{10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 21600, 43200, 86400}
}

// NewMetrics makes them, all at zero.
func NewMetrics(version string) *Metrics {
	r := metrics.New()
	m := &Metrics{
		registry: r,
		phase:    r.Gauge("azptend_phase", "1 for the phase that the agent is in, 0 for the others.", "agent", "phase"),
		phaseTime: r.Counter("azptend_phase_seconds_total",
			"How long the agent has been in each phase: idle is listening without a job, busy is with one.", "agent", "phase"),
		lastStart: r.Gauge("azptend_last_start_seconds",
			"How long each part of the last start took, until the agent listened for jobs; 0 is a part that this start did not have.", "agent", "part"),
		started: r.Counter("azptend_jobs_started_total", "Jobs that the agent's listener began.", "agent"),
		ended: r.Counter("azptend_jobs_ended_total",
			"Jobs that ended: finished is any that the listener ended, whatever its result; cut is one whose listener ended in the middle of it; unseen is one that azptend lost sight of.", "agent", "result"),
		jobDuration:   r.Histogram("azptend_job_duration_seconds", "How long jobs took that finished.", jobBuckets(), "agent"),
		registrations: r.Counter("azptend_registrations_total", "How often the agent was registered.", "agent"),
		removals: r.Counter("azptend_removals_total",
			"How registrations ended: removed, or named in the log for a person to remove.", "agent", "outcome"),
		restarts: r.Counter("azptend_listener_restarts_total", "Starts of the listener after the first.", "agent"),
		exits:    r.Counter("azptend_listener_exits_total", "Ends of the listener by exit code; signal is one that was killed.", "agent", "exit"),
		updates:  r.Counter("azptend_agent_updates_total", "Updates of the agent that its listener began.", "agent"),
		fetches:  r.Counter("azptend_token_fetches_total", "Tokens that were got from Entra ID or an identity endpoint, and failures to get one.", "source", "outcome"),
		expiry:   r.Gauge("azptend_token_expiry_timestamp_seconds", "When the token in use expires. A personal access token does not tell.", "source"),
	}
	m.Requests = calls.New(r)
	r.Gauge("azptend_build_info", "Always 1; the version is a label.", "version").Set(1, version)
	r.Gauge("process_start_time_seconds", "When azptend started.").Set(float64(time.Now().UnixMilli()) / 1000)
	return m
}

// Families are the metrics that there are.
func (m *Metrics) Families() []metrics.Family { return m.registry.Families() }

// TokenFetched counts a token that was got from a source, a word of ours, or the failure
// to get one. Expires is zero where that is not known.
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

// flushPhaseTime counts what lasts up to this moment.
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
