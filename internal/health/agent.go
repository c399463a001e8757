package health

import (
	"strconv"
	"sync"
	"time"

	"github.com/azptend/azptend/internal/lifecycle"
)

// AgentMetrics are the metrics of one agent. It is a supervisor.Observer.
type AgentMetrics struct {
	m     *Metrics
	agent string

	mu         sync.Mutex
	phase      lifecycle.Phase
	since      time.Time // the phase's time before this is counted
	jobStarted time.Time // when the running job began; zero without one
	launched   bool
}

// The results of jobs that azptend knows. The listener reports a job's own result only to the
// server (agent-protocol.md 5.6).
const (
	jobFinished = "finished"
	jobCut      = "cut"
	jobUnseen   = "unseen"
)

// The outcomes of removals.
const (
	agentRemoved  = "removed"
	agentReported = "named"
)

// ForAgent begins to count for an agent. Its series exist at once, with 0.
func (m *Metrics) ForAgent(agent string) *AgentMetrics {
	l := &AgentMetrics{m: m, agent: agent, phase: lifecycle.Booting, since: time.Now()}
	for _, p := range phases() {
		m.phaseTime.Add(0, agent, string(p))
	}
	for _, result := range []string{jobFinished, jobCut, jobUnseen} {
		m.ended.Add(0, agent, result)
	}
	for _, outcome := range []string{agentRemoved, agentReported} {
		m.removals.Add(0, agent, outcome)
	}
	m.started.Add(0, agent)
	m.registrations.Add(0, agent)
	m.restarts.Add(0, agent)
	m.updates.Add(0, agent)
	m.jobDuration.Init(agent)
	l.setPhase()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.agents = append(m.agents, l)
	return l
}

// Stepped counts what a step of the loop changed.
func (l *AgentMetrics) Stepped(before, after lifecycle.State, e lifecycle.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.countPhase(after.Phase)
	l.countJobs(before, after, e)
	l.countRegistration(before, after, e)
	l.countListener(before, after, e)
}

// Ready sets how long the parts of the last start took.
func (l *AgentMetrics) Ready(parts map[string]time.Duration) {
	for part, took := range parts {
		l.m.lastStart.Set(took.Seconds(), l.agent, part)
	}
}

// flushPhaseTime counts the time in the current phase up to now.
func (l *AgentMetrics) flushPhaseTime() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.countPhase(l.phase)
}

func (l *AgentMetrics) countPhase(now lifecycle.Phase) {
	at := time.Now()
	l.m.phaseTime.Add(at.Sub(l.since).Seconds(), l.agent, string(l.phase))
	l.since = at
	if now != l.phase {
		l.phase = now
		l.setPhase()
	}
}

func (l *AgentMetrics) setPhase() {
	for _, p := range phases() {
		is := 0.0
		if p == l.phase {
			is = 1
		}
		l.m.phase.Set(is, l.agent, string(p))
	}
}

func (l *AgentMetrics) countJobs(before, after lifecycle.State, e lifecycle.Event) {
	if _, is := e.(lifecycle.JobStarted); is && after.Jobs > before.Jobs {
		l.m.started.Add(float64(after.Jobs-before.Jobs), l.agent)
		l.jobStarted = time.Now()
	}
	if before.Job != lifecycle.RunningJob || after.Job == lifecycle.RunningJob {
		return
	}
	result := jobUnseen
	switch e.(type) {
	case lifecycle.JobFinished:
		result = jobFinished
	case lifecycle.ListenerExited:
		result = jobCut
	}
	l.m.ended.Add(1, l.agent, result)
	if result == jobFinished && !l.jobStarted.IsZero() {
		l.m.jobDuration.Observe(time.Since(l.jobStarted).Seconds(), l.agent)
	}
	l.jobStarted = time.Time{}
}

func (l *AgentMetrics) countRegistration(before, after lifecycle.State, e lifecycle.Event) {
	_, found := e.(lifecycle.PrepareResult) // a previous run registered it
	if before.Registration != lifecycle.Registered && after.Registration == lifecycle.Registered && !found {
		l.m.registrations.Add(1, l.agent)
	}
	switch {
	case lifecycle.RegistrationEnded(before, after):
		l.m.removals.Add(1, l.agent, agentRemoved)
	case before.Registration != lifecycle.Abandoned && after.Registration == lifecycle.Abandoned:
		l.m.removals.Add(1, l.agent, agentReported)
	}
}

func (l *AgentMetrics) countListener(before, after lifecycle.State, e lifecycle.Event) {
	switch e := e.(type) {
	case lifecycle.LaunchResult:
		if e.Outcome != lifecycle.OK {
			return
		}
		if l.launched {
			l.m.restarts.Add(1, l.agent)
		}
		l.launched = true
	case lifecycle.ListenerExited:
		l.m.exits.Add(1, l.agent, exitLabel(e.Exit))
		if before.Listener != lifecycle.Updating && after.Listener == lifecycle.Updating {
			l.m.updates.Add(1, l.agent)
		}
	}
}

// knownExitCodes are the listener's own codes (agent-protocol.md 4.1).
const knownExitCodes = 6

// exitLabel is the label of an exit. Unknown codes are "other", because a job could make the
// listener exit with any code.
func exitLabel(e lifecycle.Exit) string {
	switch {
	case e.Signal != 0:
		return "signal"
	case e.Code < 0 || e.Code >= knownExitCodes:
		return "other"
	}
	return strconv.Itoa(e.Code)
}
