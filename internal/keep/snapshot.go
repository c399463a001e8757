package keep

import (
	"cmp"
	"slices"
	"time"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/pool"
)

// Snapshot is a pool at one moment, as metrics and the page show it. It is not
// changed once it is made.
type Snapshot struct {
	At     time.Time
	Agents []Agent // at most maxRows
	Jobs   []Job   // unfinished ones first; at most maxRows

	AgentsBy map[pool.State]int
	JobsBy   map[azdo.JobState]int // of the unfinished
	Oldest   time.Duration         // the age of the job that waits longest; 0: none waits
}

// Agent is a row of the page.
type Agent struct {
	ID      int
	Name    string
	State   pool.State
	Version string
	Since   time.Time // in its status; zero: nobody knows
	Job     string    // what it runs
	Why     string    // what the keeper says of it
}

// Job is a row of the page.
type Job struct {
	ID       int64
	Name     string
	Pipeline string
	Run      string
	State    azdo.JobState
	Result   string
	Agent    string
	Demands  []string
	Waited   time.Duration // until now, or until an agent had it
	Ran      time.Duration // until now, or until its end
}

// maxRows bounds a page's tables, and with them what a keeper of a pool of
// 10,000 agents holds and sends.
const maxRows = 200

// maxDone is how many jobs that have ended are shown.
const maxDone = 8

// newSnapshot makes a picture. Prune says whether what is a ghost is removed.
func newSnapshot(s pool.Survey, prune bool) Snapshot {
	p := Snapshot{At: s.At, AgentsBy: map[pool.State]int{}, JobsBy: map[azdo.JobState]int{}}
	for _, v := range s.Verdicts {
		p.AgentsBy[v.State()]++
	}
	for _, r := range s.Queue {
		p.JobsBy[r.State()]++
		if r.State() == azdo.JobQueued {
			p.Oldest = max(p.Oldest, s.At.Sub(r.QueueTime.Time))
		}
	}
	p.Agents, p.Jobs = agentRows(s.Verdicts, prune), jobRows(s)
	return p
}

func agentRows(verdicts []pool.Verdict, prune bool) []Agent {
	rows := make([]Agent, 0, len(verdicts))
	for _, v := range verdicts {
		a := v.Agent
		row := Agent{
			ID: a.ID, Name: a.Name, State: v.State(), Version: a.Version, Why: v.String(),
			Since: cmp.Or(a.StatusChangedOn.Time, a.CreatedOn.Time),
		}
		if v.Ghost() && !prune {
			row.Why += " (AZP_KEEP_PRUNE is false)"
		}
		if r := a.AssignedRequest; r != nil {
			row.Job = cmp.Or(r.JobName, r.Definition.Name)
			row.Since = cmp.Or(r.ReceiveTime.Time, r.AssignTime.Time, row.Since)
		}
		rows = append(rows, row)
	}
	slices.SortStableFunc(rows, func(a, b Agent) int {
		return cmp.Or(
			cmp.Compare(slices.Index(pool.States(), a.State), slices.Index(pool.States(), b.State)),
			cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return slices.Clip(rows[:min(len(rows), maxRows)])
}

// jobRows are the unfinished jobs, those that wait first and longest, and then
// the newest few that have ended.
func jobRows(s pool.Survey) []Job {
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
	rows := []Job{}
	for _, r := range append(open[:min(len(open), maxRows-maxDone)], done[:min(len(done), maxDone)]...) {
		rows = append(rows, jobRow(s.At, r))
	}
	return rows
}

func jobRow(now time.Time, r azdo.JobRequest) Job {
	j := Job{
		ID: r.RequestID, Name: r.JobName, Pipeline: r.Definition.Name, Run: r.Owner.Name,
		State: r.State(), Result: r.Result, Demands: r.Demands,
	}
	if r.ReservedAgent != nil {
		j.Agent = r.ReservedAgent.Name
	}
	end := cmp.Or(r.FinishTime.Time, now)
	j.Waited = max(cmp.Or(r.ReceiveTime.Time, end).Sub(r.QueueTime.Time), 0)
	if !r.ReceiveTime.IsZero() {
		j.Ran = max(end.Sub(r.ReceiveTime.Time), 0)
	}
	return j
}
