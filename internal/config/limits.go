package config

import (
	"fmt"
	"time"
)

// AcceptJobsFor is for how long after its start the agent accepts jobs; 0 is for
// ever. A Container Apps job's replica is ended at its timeout, whatever runs in
// it: a job accepted later than this could not be finished
// (docs/container-apps.md).
func (s Settings) AcceptJobsFor() time.Duration {
	if s.ReplicaTimeout == 0 {
		return s.MaxLifetime
	}
	accepts := s.ReplicaTimeout - s.maxJobDuration() - s.GracePeriod
	if s.MaxLifetime == 0 {
		return accepts
	}
	return min(accepts, s.MaxLifetime)
}

func (s Settings) maxJobDuration() time.Duration {
	if s.JobMax == 0 {
		return s.ReplicaTimeout / 2
	}
	return s.JobMax
}

// Unset is a time that nobody has set, where 0 means something else.
const Unset time.Duration = -1

// CheckLimits says whether the limits leave time to work in, now that the grace
// period is known. The error is an *InvalidError.
func (s Settings) CheckLimits() error {
	var problems []Problem
	s.validateLimits(func(hint, format string, args ...any) {
		problems = append(problems, Problem{What: fmt.Sprintf(format, args...), Hint: hint})
	})
	if len(problems) > 0 {
		return &InvalidError{Problems: problems, LogFormat: s.LogFormat}
	}
	return nil
}

func (s Settings) validateLimits(bad func(hint, format string, args ...any)) {
	if s.ReplicaTimeout > 0 && s.maxJobDuration()+s.GracePeriod >= s.ReplicaTimeout {
		bad("make the replica timeout longer, or set AZP_JOB_MAX (--job-max) to what a job takes at most",
			"AZP_REPLICA_TIMEOUT (--replica-timeout) is %v, which leaves no time to accept a job of %v and a grace period of %v",
			s.ReplicaTimeout, s.maxJobDuration(), s.GracePeriod)
	}
}

// limitWarnings finds limits that limit nothing.
func (s Settings) limitWarnings() []string {
	var odd []string
	if s.JobMax > 0 && s.ReplicaTimeout == 0 {
		odd = append(odd, "AZP_JOB_MAX (--job-max) means nothing without AZP_REPLICA_TIMEOUT (--replica-timeout)")
	}
	if s.Once && s.MaxJobs > 1 {
		odd = append(odd, fmt.Sprintf("AZP_MAX_JOBS (--max-jobs) is %d, and AZP_ONCE (--once) ends the agent after one", s.MaxJobs))
	}
	return odd
}
