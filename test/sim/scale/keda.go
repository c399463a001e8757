package main

// strategy is a ScaledJob's scalingStrategy.
type strategy string

const (
	byDefault strategy = "default"
	accurate  strategy = "accurate"
)

// scaler is KEDA's settings, with the arithmetic of its azure-pipelines scaler
// (keda-and-kubernetes.md 1.5) and of the two strategies (KEDA 2.21,
// pkg/scaling/executor/scale_jobs.go).
type scaler struct {
	Strategy strategy
	InFlight bool // scaleOnInFlight: running jobs count too
	// Unfinished is fetchUnfinishedJobsOnly. Without it KEDA sends $top, and gets at most
	// listed requests, whatever its value (1.7, #6819).
	Unfinished bool
	// UntilReady makes a Kubernetes Job pending until its pod is ready, that is, until the
	// agent listens (pendingPodConditions: [Ready]). Otherwise it is pending only until the
	// pod runs.
	UntilReady bool
	Max        int // maxReplicaCount
}

const listed = 200

// count returns the metric for the waiting and running jobs.
func (s scaler) count(waiting, running int) int {
	if !s.Unfinished && waiting+running > listed {
		// The newest are listed first, and waiting jobs are newer than running ones.
		waiting = min(waiting, listed)
		running = listed - waiting
	}
	if s.InFlight {
		return waiting + running
	}
	return waiting
}

// create returns how many Kubernetes Jobs a poll creates, given the number of unfinished
// ones, of which some are pending. The target is one Kubernetes Job for each job.
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
