package keep

import (
	"cmp"
	"slices"
	"time"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/pool"
)

// Snapshot is a pool at one moment, as metrics and the page show it. Nothing changes it.
type Snapshot struct {
	At     time.Time         // by the server's clock
	Agents []pool.Verdict    // in the order of the page; at most maxRows
	Jobs   []azdo.JobRequest // unfinished ones first; at most maxRows

	AgentsBy map[pool.State]int
	JobsBy   map[azdo.JobState]int // of the unfinished
	Oldest   time.Duration         // how long the oldest waiting job has waited; 0: no job waits
}

const (
	// maxRows limits a table of the page, and with it what a keeper of a pool with 10,000
	// agents holds and sends.
	maxRows = 200
	// maxDone is how many finished jobs are shown.
	maxDone = 8
)

// newSnapshot makes a snapshot of a survey. Prune says whether ghosts are removed.
func newSnapshot(s pool.Survey, prune bool) Snapshot {
	p := Snapshot{At: s.At, AgentsBy: map[pool.State]int{}, JobsBy: map[azdo.JobState]int{}}
	p.Agents, p.Jobs = firstAgents(s.Verdicts), firstJobs(s)
	for i, v := range p.Agents {
		if v.Ghost() && !prune {
			p.Agents[i].Why += " (AZP_KEEP_PRUNE is false)"
		}
	}
	for _, v := range s.Verdicts {
		p.AgentsBy[v.State()]++
	}
	for _, r := range s.Queue {
		p.JobsBy[r.State()]++
		if r.State() == azdo.JobQueued {
			p.Oldest = max(p.Oldest, s.At.Sub(r.QueueTime.Time))
		}
	}
	return p
}

// firstAgents are the agents that the page has room for.
func firstAgents(verdicts []pool.Verdict) []pool.Verdict {
	sorted := slices.Clone(verdicts)
	slices.SortStableFunc(sorted, func(a, b pool.Verdict) int {
		return cmp.Or(
			cmp.Compare(slices.Index(pool.States(), a.State()), slices.Index(pool.States(), b.State())),
			cmp.Compare(a.Agent.Name, b.Agent.Name), cmp.Compare(a.Agent.ID, b.Agent.ID))
	})
	return slices.Clone(sorted[:min(len(sorted), maxRows)]) // the others are not kept
}

// firstJobs are the unfinished jobs that the page has room for, those that have waited
// longest first, and then the jobs that finished last.
func firstJobs(s pool.Survey) []azdo.JobRequest {
	open, done := slices.Clone(s.Queue), slices.Clone(s.Finished)
	order := []azdo.JobState{azdo.JobQueued, azdo.JobAssigned, azdo.JobRunning}
	slices.SortFunc(open, func(a, b azdo.JobRequest) int {
		return cmp.Or(
			cmp.Compare(slices.Index(order, a.State()), slices.Index(order, b.State())),
			a.QueueTime.Compare(b.QueueTime.Time), cmp.Compare(a.RequestID, b.RequestID))
	})
	slices.SortFunc(done, func(a, b azdo.JobRequest) int {
		return cmp.Or(b.FinishTime.Compare(a.FinishTime.Time), cmp.Compare(b.RequestID, a.RequestID))
	})
	return slices.Concat(open[:min(len(open), maxRows-maxDone)], done[:min(len(done), maxDone)])
}
