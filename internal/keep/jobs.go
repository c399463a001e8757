package keep

import (
	"slices"
	"time"

	"github.com/azptend/azptend/internal/azdo"
)

// jobTracker turns what a pool shows each half minute into what happened between two
// looks: which jobs started, and after how long a wait, and which ended, and how.
// Each is told once. What had happened before the first look is nobody's news: a
// keeper that starts again must not count a job twice.
//
// It needs all of the server's times and none of ours, so that two clocks that
// disagree change nothing. It remembers the unfinished jobs alone.
type jobTracker struct {
	started bool
	newest  time.Time      // of all times that were ever shown
	open    map[int64]bool // the unfinished jobs of the last look; whether each had started
}

// jobChanges is what happened since the last look.
type jobChanges struct {
	waits     []time.Duration // from queued to received, of the jobs that started
	results   []string        // of the jobs that ended
	durations []time.Duration // from received to finished, of the jobs that were seen to end
}

// Unseen is the result of a job that was gone before it was seen to end: its
// agent was removed with its history, or the history shown was too short.
const Unseen = "unseen"

// update reads a look at the pool.
func (l *jobTracker) update(requests []azdo.JobRequest) jobChanges {
	var found jobChanges
	open := map[int64]bool{}
	shown := make(map[int64]bool, len(requests))
	newest := l.newest
	for _, r := range requests {
		shown[r.RequestID] = true
		newest = latest(newest, r)
		started, known := l.open[r.RequestID]
		if starts := !r.ReceiveTime.IsZero(); starts && !started && (known || r.ReceiveTime.After(l.newest)) {
			found.waits = append(found.waits, max(r.ReceiveTime.Sub(r.QueueTime.Time), 0))
		}
		if r.State() != azdo.JobFinished {
			open[r.RequestID] = !r.ReceiveTime.IsZero()
		} else if known || r.FinishTime.After(l.newest) {
			found.results = append(found.results, resultOf(r))
			if !r.ReceiveTime.IsZero() && !r.FinishTime.IsZero() {
				found.durations = append(found.durations, max(r.FinishTime.Sub(r.ReceiveTime.Time), 0))
			}
		}
	}
	for id := range l.open {
		if !shown[id] {
			found.results = append(found.results, Unseen)
		}
	}
	began := l.started
	l.started, l.open, l.newest = true, open, newest
	if !began {
		return jobChanges{}
	}
	return found
}

func latest(t time.Time, r azdo.JobRequest) time.Time {
	for _, at := range []time.Time{r.QueueTime.Time, r.AssignTime.Time, r.ReceiveTime.Time, r.FinishTime.Time} {
		if at.After(t) {
			t = at
		}
	}
	return t
}

// results are what the server says of a job (agent-protocol.md 7.4), and what
// metrics have as a label: a word that is not among them is "other".
func results() []string {
	return []string{"succeeded", "succeededWithIssues", "failed", "canceled", "skipped", "abandoned"}
}

func resultOf(r azdo.JobRequest) string {
	switch {
	case slices.Contains(results(), r.Result):
		return r.Result
	case r.Result == "":
		return Unseen
	}
	return "other"
}
