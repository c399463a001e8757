package main

// strategy is a ScaledJob's scalingStrategy.
type strategy string

const (
	byDefault strategy = "default"
	accurate  strategy = "accurate"
)

// scaler is what is set of KEDA, with the arithmetic of its azure-pipelines scaler
// (keda-and-kubernetes.md 1.5) and of the two strategies (KEDA 2.21,
// pkg/scaling/executor/scale_jobs.go).
type scaler struct {
	Strategy strategy
	InFlight bool // scaleOnInFlight: jobs that run count too
	// Unfinished is fetchUnfinishedJobsOnly; without it $top is sent, and no more
	// than listed requests come, whatever it says (1.7, #6819).
	Unfinished bool
	// UntilReady has a Kubernetes Job pending until its pod is ready, that is, until
	// the agent listens (pendingPodConditions: [Ready]); else only until it runs.
	UntilReady bool
	Max        int // maxReplicaCount
}

const listed = 200

// count is the metric, of jobs that wait and jobs that run.
func (s scaler) count(waiting, running int) int {
	if !s.Unfinished && waiting+running > listed {
		// The newest come first, and those that wait are the newer ones.
		waiting = min(waiting, listed)
		running = listed - waiting
	}
	if s.InFlight {
		return waiting + running
	}
	return waiting
}

// create is how many Kubernetes Jobs a poll makes, where so many are unfinished, of
// which some are pending. The target is one job for each.
func (s scaler) create(metric, unfinished, pending int) int {
	maxScale := min(metric, s.Max)
	effective := maxScale - unfinished
	if s.Strategy == accurate {
		effective = maxScale - pending
		if maxScale+unfinished-pending > s.Max {
			effective = s.Max - unfinished
		}
	}
	return max(min(maxScale, effective), 0)
}
