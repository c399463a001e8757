package keep

import (
	"cmp"
	"net/url"
	"slices"
	"time"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/pool"
)

// Snapshot is a pool at one moment, as metrics and the page show it. Nothing changes it.
type Snapshot struct {
	At     time.Time // by the server's clock
	PoolID int
	Agents []agentRow // all of them, in the order of the page
	Jobs   []jobRow   // unfinished ones first; at most maxRows

	AgentsBy map[pool.State]int
	JobsBy   map[azdo.JobState]int // of the unfinished
	Oldest   time.Duration         // how long the oldest waiting job has waited; 0: no job waits
	Blocked  int                   // waiting jobs that no agent will take, see pool.Wait.IsTrouble
}

// agentRow is what the page shows of an agent. It holds little, because a pool may have
// 10,000.
type agentRow struct {
	id                 int
	name, version, why string
	state              pool.State
	since              time.Time // in this state; of a busy agent, since it has its job
	job, run           string    // the job's name, and the address of its run
}

// jobRow is a job with why it waits, if it does.
type jobRow struct {
	azdo.JobRequest
	waitsFor string // "" if a free agent could take it
	blocked  bool   // no agent will take it, see pool.Wait.IsTrouble
}

const (
	// maxRows limits the rows of a table that the page shows, and with it what a keeper of a
	// pool with 10,000 agents sends.
	maxRows = 200
	// maxDone is how many finished jobs are shown.
	maxDone = 8
)

// newSnapshot makes a snapshot of a survey. Prune says whether ghosts are removed.
func newSnapshot(s pool.Survey, poolID int, prune bool) Snapshot {
	p := Snapshot{At: s.At, PoolID: poolID, AgentsBy: map[pool.State]int{}, JobsBy: map[azdo.JobState]int{}}
	for _, v := range s.Verdicts {
		row := newAgentRow(v)
		if v.Ghost() && !prune {
			row.why += " (AZP_KEEP_PRUNE is false)"
		}
		p.Agents = append(p.Agents, row)
		p.AgentsBy[row.state]++
	}
	slices.SortStableFunc(p.Agents, agentRow.compare)
	waits := s.WhyJobsWait()
	for _, r := range s.Queue {
		p.JobsBy[r.State()]++
		if r.State() == azdo.JobQueued {
			p.Oldest = max(p.Oldest, s.At.Sub(r.QueueTime.Time))
		}
		if waits[r.RequestID].IsTrouble() {
			p.Blocked++
		}
	}
	p.Jobs = firstJobs(s, waits)
	return p
}

func newAgentRow(v pool.Verdict) agentRow {
	a := v.Agent
	row := agentRow{id: a.ID, name: a.Name, version: a.Version, why: v.String(), state: v.State(), since: cmp.Or(a.StatusChangedOn.Time, a.CreatedOn.Time)}
	if r := a.AssignedRequest; r != nil {
		row.job, row.run = cmp.Or(r.JobName, r.Definition.Name), webAddress(r.Owner.Links.Web.Href)
		row.since = cmp.Or(r.ReceiveTime.Time, r.AssignTime.Time, row.since)
	}
	return row
}

// agentOrder has the states in the order of the page: trouble first.
var agentOrder = []pool.State{pool.StateGhost, pool.StateOffline, pool.StateDisabled, pool.StateBusy, pool.StateIdle, pool.StatePlaceholder}

func (a agentRow) compare(b agentRow) int {
	return cmp.Or(
		cmp.Compare(slices.Index(agentOrder, a.state), slices.Index(agentOrder, b.state)),
		cmp.Compare(a.name, b.name), cmp.Compare(a.id, b.id))
}

// firstJobs are the unfinished jobs that the page has room for, and then the jobs that
// finished last. First come jobs that no agent will take, then those that have waited longest.
func firstJobs(s pool.Survey, waits map[int64]pool.Wait) []jobRow {
	var open, done []jobRow
	for _, r := range s.Queue {
		row := jobRow{JobRequest: r}
		if wait := waits[r.RequestID]; wait.Reason != pool.WaitsThoughFree {
			row.waitsFor, row.blocked = wait.Why, wait.IsTrouble()
		}
		open = append(open, row)
	}
	for _, r := range s.Finished {
		done = append(done, jobRow{JobRequest: r})
	}
	order := []azdo.JobState{azdo.JobQueued, azdo.JobAssigned, azdo.JobRunning}
	rank := func(j jobRow) int {
		if j.blocked {
			return -1
		}
		return slices.Index(order, j.State())
	}
	slices.SortFunc(open, func(a, b jobRow) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), a.QueueTime.Compare(b.QueueTime.Time), cmp.Compare(a.RequestID, b.RequestID))
	})
	slices.SortFunc(done, func(a, b jobRow) int {
		return cmp.Or(b.FinishTime.Compare(a.FinishTime.Time), cmp.Compare(b.RequestID, a.RequestID))
	})
	return slices.Concat(open[:min(len(open), maxRows-maxDone)], done[:min(len(done), maxDone)])
}

// webAddress is an address that a browser may follow, "" if it is none: "javascript:" is an
// address too.
func webAddress(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return ""
	}
	return u.String()
}
