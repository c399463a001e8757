package lifecycle

import "time"

// The reasons of a drain that a limit asks for.
const (
	idleTimeoutReached = "no job arrived within the idle timeout"
	lifetimeReached    = "the agent's maximum lifetime is over"
	jobLimitReached    = "the agent has run its maximum number of jobs"
	cannotCountJobs    = "the agent's jobs can no longer be counted"
)

// lifetimeDeadline is when Limits.Lifetime starts a drain; zero for never, and after a
// drain was requested.
func (s State) lifetimeDeadline() time.Time {
	if s.policy.Limits.Lifetime == 0 || s.startedAt.IsZero() || s.Reason != "" {
		return time.Time{}
	}
	return s.startedAt.Add(s.policy.Limits.Lifetime)
}

// idleDeadline is when Limits.Idle starts a drain; zero while a job runs. If the socket
// was lost, it assumes that no job runs: the drain finds out before it stops anything.
func (s State) idleDeadline() time.Time {
	waits := s.Phase == Starting || s.Phase == Idle || (s.Phase == Busy && s.Job == UnknownJob)
	if s.policy.Limits.Idle == 0 || !waits || s.Listener != Running || s.session.noJobSince.IsZero() || s.Reason != "" {
		return time.Time{}
	}
	return s.session.noJobSince.Add(s.policy.Limits.Idle)
}

// checkLimits starts the drain that is due.
func (t *transition) checkLimits() {
	switch {
	case reached(t.lifetimeDeadline(), t.now):
		t.startDrain(lifetimeReached)
	case reached(t.idleDeadline(), t.now):
		t.startDrain(idleTimeoutReached)
	}
}

// countJob counts a job that starts. The last job that Limits.Jobs allows starts the
// drain, so that the server assigns no other job while it runs.
func (t *transition) countJob() {
	t.Jobs++
	if n := t.policy.Limits.Jobs; n > 0 && t.Jobs >= n {
		t.startDrain(jobLimitReached)
	}
}
