package keep

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/pool"
)

// Snapshot is a pool at one moment, as metrics and the page show it. Nothing changes it.
type Snapshot struct {
	At     time.Time // by the server's clock
	PoolID int
	Agents []agentRow // all of them, in the order of the page
	Open   []jobRow   // all unfinished jobs, in the order of the page
	Done   []jobRow   // the jobs that finished last, at most maxDone

	AgentsBy map[pool.State]int
	JobsBy   map[azdo.JobState]int // of the unfinished
	Oldest   time.Duration         // how long the oldest waiting job has waited; 0: no job waits
	Blocked  int                   // waiting jobs that no agent will take, see pool.Wait.IsTrouble
	Groups   []groupRow            // of agents; empty if none are configured

	assigned pool.Assignment // to the groups
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

// jobRow is what the page shows of a job. It holds little: a queue may have thousands.
type jobRow struct {
	id                         int64
	name, from, run            string // the job's name, its pipeline and run, and the run's address
	agent, demands             string
	state                      azdo.JobState
	result                     string // of a finished job
	queued, received, finished time.Time
	waitsFor                   string // "" if a free agent could take it, or nobody knows
	blocked                    bool   // no agent will take it, see pool.Wait.IsTrouble
}

const (
	// maxRows limits the rows of a table that the page shows, after the filter, and with it what
	// a keeper of a pool with 10,000 agents sends.
	maxRows = 200
	// maxDone is how many finished jobs are shown.
	maxDone = 8
)

// groupRow is what the page shows of a group of agents.
type groupRow struct {
	name               string
	count              pool.GroupCount
	warm, desired, max int
}

// newSnapshot makes a snapshot of a survey. Prune says whether ghosts are removed.
func newSnapshot(s pool.Survey, poolID int, prune bool, groups []pool.Group) Snapshot {
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
	var waits map[int64]pool.Wait
	if len(groups) > 0 {
		waits, p.assigned = pool.WhyJobsWaitForGroups(groups, s.Agents(), s.Queue)
	} else {
		waits = pool.WhyJobsWait(s.Queue, s.Agents())
	}
	for i, g := range groups {
		c := p.assigned.Counts[i]
		p.Groups = append(p.Groups, groupRow{g.Name, c, g.WarmAt(s.At), g.Desired(c, s.At), g.Max})
	}
	for _, r := range s.Queue {
		p.JobsBy[r.State()]++
		if r.State() == azdo.JobQueued {
			p.Oldest = max(p.Oldest, s.At.Sub(r.QueueTime.Time))
		}
		if waits[r.RequestID].IsTrouble() {
			p.Blocked++
		}
	}
	p.Open, p.Done = openJobs(s, waits), lastDone(s)
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

// agentOrder has the states in the order of the page: trouble first, then as everywhere.
var agentOrder = func() []pool.State {
	order := []pool.State{pool.StateGhost, pool.StateOffline, pool.StateDisabled}
	for _, state := range pool.States() {
		if !slices.Contains(order, state) {
			order = append(order, state)
		}
	}
	return order
}()

func (a agentRow) compare(b agentRow) int {
	return cmp.Or(
		cmp.Compare(slices.Index(agentOrder, a.state), slices.Index(agentOrder, b.state)),
		cmp.Compare(a.name, b.name), cmp.Compare(a.id, b.id))
}

// openJobs are the unfinished jobs: first those that no agent will take, then those that have
// waited longest.
func openJobs(s pool.Survey, waits map[int64]pool.Wait) []jobRow {
	var open []jobRow
	for _, r := range s.Queue {
		row := newJobRow(r)
		if wait := waits[r.RequestID]; wait.Reason != pool.WaitsThoughFree {
			row.waitsFor, row.blocked = wait.Why, wait.IsTrouble()
		}
		open = append(open, row)
	}
	order := []azdo.JobState{azdo.JobQueued, azdo.JobAssigned, azdo.JobRunning}
	rank := func(j jobRow) int {
		if j.blocked {
			return -1
		}
		return slices.Index(order, j.state)
	}
	slices.SortFunc(open, func(a, b jobRow) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), a.queued.Compare(b.queued), cmp.Compare(a.id, b.id))
	})
	return open
}

// lastDone are the jobs that finished last, the newest first.
func lastDone(s pool.Survey) []jobRow {
	newest := slices.SortedFunc(slices.Values(s.Finished), func(a, b azdo.JobRequest) int {
		return cmp.Or(b.FinishTime.Compare(a.FinishTime.Time), cmp.Compare(b.RequestID, a.RequestID))
	})
	var done []jobRow
	for _, r := range newest[:min(len(newest), maxDone)] {
		done = append(done, newJobRow(r))
	}
	return done
}

func newJobRow(r azdo.JobRequest) jobRow {
	row := jobRow{
		id: r.RequestID, name: r.JobName, from: strings.Trim(r.Definition.Name+" "+r.Owner.Name, " "),
		run: webAddress(r.Owner.Links.Web.Href), demands: strings.Join(r.Demands, ", "), state: r.State(), result: r.Result,
		queued: r.QueueTime.Time, received: r.ReceiveTime.Time, finished: r.FinishTime.Time,
	}
	if r.ReservedAgent != nil {
		row.agent = r.ReservedAgent.Name
	}
	return row
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
