package lifecycle

import "time"

// The reasons of a drain that a limit asks for.
const (
	idleTimeoutReached = "no job arrived within the idle timeout"
	lifetimeReached    = "the agent's maximum lifetime is over"
	jobLimitReached    = "the agent has run its maximum number of jobs"
	cannotCountJobs    = "the agent's jobs can no longer be counted"
)

// lifetimeDeadline is when no further job is accepted; zero for never, and once a
// drain was asked for.
func (s State) lifetimeDeadline() time.Time {
	if s.policy.Limits.Lifetime == 0 || s.startedAt.IsZero() || s.Reason != "" {
		return time.Time{}
	}
	return s.startedAt.Add(s.policy.Limits.Lifetime)
}

// idleDeadline is when the agent has been without a job for too long; zero while it
// has one. A lost socket is no job: the drain finds out.
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

// countJob drains when the last job that is accepted starts, so that the server
// assigns no other one while it runs.
func (t *transition) countJob() {
	t.Jobs++
	if n := t.policy.Limits.Jobs; n > 0 && t.Jobs >= n {
		t.startDrain(jobLimitReached)
	}
}
