package lifecycle

import "time"

// Budget is a grace period in its three parts, in the order they are spent on
// the hard road. On the good road removing comes first and stopping costs
// little; what is left over is not spent at all.
type Budget struct {
	Drain  time.Duration // finish the running job
	Stop   time.Duration // cancel it, and wait for the listener to end
	Remove time.Duration // remove the agent from its pool, and leave
}

// The bounds of the parts. A removal is a token and one request; with less than
// two seconds a single slow answer would leave a ghost. A cancelled job's step gets
// 7.5 s after SIGINT and 2.5 s after SIGTERM, and the worst case is 10 to 60 s
// (agent-protocol.md 5.3): with less than eight seconds it is killed before it has
// cleaned up, and nobody reports its end.
const (
	minRemove, maxRemove = 2 * time.Second, 10 * time.Second
	minStop, maxStop     = 8 * time.Second, 30 * time.Second
)

// SplitGrace divides a grace period: 15 % to remove and 40 % to stop, within their
// bounds, and the rest to drain. In a grace period too short for all, removing
// comes first, for a ghost outlives us and a cancelled job can be run again; then
// comes stopping, and Drain is zero.
func SplitGrace(grace time.Duration) Budget {
	remove := min(max(grace/20*3, minRemove), maxRemove, grace) // dividing first: any grace period fits
	stop := min(max(grace/5*2, minStop), maxStop, grace-remove)
	return Budget{Drain: grace - remove - stop, Stop: stop, Remove: remove}
}

// shortDrain is what hardly any job ends in.
const shortDrain = 2 * time.Second

// CancelsJobs says that hardly any job can be finished: the grace period is shorter
// than 12 s.
func (b Budget) CancelsJobs() bool { return b.Drain < shortDrain }

// exitMargin is kept of the removal's part for leaving itself: the last sweep
// of processes, the last log line.
func (b Budget) exitMargin() time.Duration { return b.Remove / 10 }

// drainDeadline is when draining ends at the latest; zero while no clock runs. A job of
// which nothing runs any more is waited for a little longer: see cutDue.
func (s State) drainDeadline() time.Time {
	end := s.sinceGraceStart(s.budget.Drain)
	if late := s.cutDeadline(); !end.IsZero() && late.After(end) {
		return late
	}
	return end
}

// stopDeadline is when the listener is killed.
func (s State) stopDeadline() time.Time { return s.sinceGraceStart(s.budget.Drain + s.budget.Stop) }

// exitDeadline is when everything still open is named and azptend leaves.
func (s State) exitDeadline() time.Time {
	if !s.endAt.IsZero() {
		return s.endAt
	}
	return s.sinceGraceStart(s.grace - s.budget.exitMargin())
}

func (s State) sinceGraceStart(d time.Duration) time.Time {
	if s.clock.IsZero() {
		return time.Time{}
	}
	return s.clock.Add(d)
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
