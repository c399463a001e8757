package lifecycle

import "time"

// Budget is a grace period in three parts, in the order in which they are spent if
// a job must be cut. Usually the job ends within Drain: then the agent is removed and
// the listener stopped at once, and the rest of the grace period is not used.
type Budget struct {
	Drain  time.Duration // finish the running job
	Stop   time.Duration // cancel it, and wait for the listener to exit
	Remove time.Duration // remove the agent from its pool, and exit
}

// The bounds of the parts. A removal takes a token and one request; with less than
// two seconds, one slow answer would leave a ghost. A cancelled job's step gets 7.5 s
// after SIGINT and 2.5 s after SIGTERM, and the worst case is 10 to 60 s
// (agent-protocol.md 5.3). With less than eight seconds the step is killed before it
// has cleaned up, and nobody reports the job's result.
const (
	minRemove, maxRemove = 2 * time.Second, 10 * time.Second
	minStop, maxStop     = 8 * time.Second, 30 * time.Second
)

// SplitGrace divides a grace period: 15 % to remove and 40 % to stop, within their
// bounds, and the rest to drain. If the grace period is too short for all three,
// Remove is filled first, because a ghost stays in the pool and a cancelled job can
// run again. Stop is filled next, and Drain is zero.
func SplitGrace(grace time.Duration) Budget {
	remove := min(max(grace/20*3, minRemove), maxRemove, grace) // divide first: the product could overflow
	stop := min(max(grace/5*2, minStop), maxStop, grace-remove)
	return Budget{Drain: grace - remove - stop, Stop: stop, Remove: remove}
}

// CancelsJobs says that SIGTERM cancels nearly every job: less than 2 s of the grace
// period are for draining, because it is shorter than 12 s.
func (b Budget) CancelsJobs() bool { return b.Drain < 2*time.Second }

// The deadlines of a grace period, in the order in which they come: drainPartEnd,
// lastDrainMoment (later only while a job's report is awaited), stopDeadline, exitDeadline,
// and State.Deadline, which is the end of the grace period. killAt is stopDeadline, or
// earlier if the listener was interrupted earlier.

// drainPartEnd is when the part for draining is spent; zero while there is no deadline.
func (s State) drainPartEnd() time.Time { return s.sinceGraceStart(s.Budget.Drain) }

// lastDrainMoment is when draining ends at the latest; zero while there is no deadline.
// azptend waits a little longer than drainPartEnd for a job without a running step, see
// cutIsDue.
func (s State) lastDrainMoment() time.Time {
	end := s.drainPartEnd()
	if late := s.cutDeadline(); !end.IsZero() && late.After(end) {
		return late
	}
	return end
}

// cancelTime is what a job takes to be cancelled whose shell waits for a `sleep 1`: 7.5 s
// after SIGINT, and up to a second more.
const cancelTime = 9 * time.Second

// killAfter is the time from SIGINT to SIGKILL: Stop, or up to cancelTime if half of
// Remove suffices for that. Azure DevOps refuses to remove an agent while its job runs.
func (b Budget) killAfter() time.Duration {
	return max(b.Stop, min(b.Stop+b.Remove/2, cancelTime))
}

// stopDeadline is when the listener is killed.
func (s State) stopDeadline() time.Time {
	return s.sinceGraceStart(s.Budget.Drain + s.Budget.killAfter())
}

// exitDeadline is when azptend reports an agent that is left, and exits. A tenth of
// the removal's part is for the exit itself: killing the last processes and writing
// the last log line.
func (s State) exitDeadline() time.Time {
	if !s.drain.exitAt.IsZero() {
		return s.drain.exitAt
	}
	return s.sinceGraceStart(s.drain.grace - s.Budget.Remove/10)
}

// sinceGraceStart is d after the grace period began; zero while it has not.
func (s State) sinceGraceStart(d time.Duration) time.Time {
	if s.drain.graceStartedAt.IsZero() {
		return time.Time{}
	}
	return s.drain.graceStartedAt.Add(d)
}

// earliest is the first of the times that are set; zero when none is.
func earliest(times ...time.Time) time.Time {
	var first time.Time
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// reached says that t is set and now is not before it.
func reached(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }
