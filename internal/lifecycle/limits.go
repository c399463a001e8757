package lifecycle

import "time"

// Limits are when an agent leaves by itself. Each ends in a drain without a
// deadline: the server is told to assign no further job, a job that slipped in is
// served, and only then is the agent removed. Zero is no limit.
type Limits struct {
	Idle     time.Duration // no job came for this long
	Lifetime time.Duration // since the life began
	Jobs     int           // jobs received
}

// The reasons of a drain that a limit asked for.
const (
	idleTimeoutReached = "no job came for the idle timeout"
	lifetimeReached    = "the agent's lifetime is over"
	jobLimitReached    = "the agent has had its number of jobs"
	cannotCountJobs    = "the agent's jobs cannot be counted any more"
)

// lifetimeDeadline is when no further job is accepted; zero for never, and once
// somebody has asked for the end.
func (s State) lifetimeDeadline() time.Time {
	if s.policy.Limits.Lifetime == 0 || s.born.IsZero() || s.Reason != "" {
		return time.Time{}
	}
	return s.born.Add(s.policy.Limits.Lifetime)
}

// idleDeadline is when the agent has been without a job for too long; zero while it
// has one. A lost socket is no job: the drain finds out.
func (s State) idleDeadline() time.Time {
	waits := s.Phase == Starting || s.Phase == Idle || (s.Phase == Busy && s.Job == UnknownJob)
	if s.policy.Limits.Idle == 0 || !waits || s.Listener != Running || s.quietSince.IsZero() || s.Reason != "" {
		return time.Time{}
	}
	return s.quietSince.Add(s.policy.Limits.Idle)
}

// checkLimits asks for the drain that is due.
func (t *transition) checkLimits() {
	switch {
	case reached(t.lifetimeDeadline(), t.now):
		t.startDrain(lifetimeReached)
	case reached(t.idleDeadline(), t.now):
		t.startDrain(idleTimeoutReached)
	}
}

// countJob drains with the last job that is accepted: at its start, so that the
// server assigns no other while it runs.
func (t *transition) countJob() {
	if n := t.policy.Limits.Jobs; n > 0 && t.Jobs >= n {
		t.startDrain(jobLimitReached)
	}
}
