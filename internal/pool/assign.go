package pool

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/azptend/azptend/internal/azdo"
)

// GroupCount is what a group's jobs and agents do at one moment.
type GroupCount struct {
	Waiting int // jobs that wait and are the group's to run
	Busy    int // agents online that have a job
	Idle    int // agents online that may get one
}

// Assignment says which group is to run each job that waits.
type Assignment struct {
	Counts []GroupCount  // in the order of the groups
	Group  map[int64]int // the group of each waiting job by the request's id: an index in the order of the groups
	// Unmet are the waiting jobs that no group can run, by the request's id, and the demands
	// that no group meets.
	Unmet map[int64]string
}

// Assign assigns each waiting job of a pool to exactly one group, or says which demands no
// group meets. Agents and queue are as in Survey; the groups are those of this pool.
//
// Jobs that fewer groups can run come first, then those that have waited longer. Each goes to
// the first of these that can run it:
//
//   - a group with an idle agent that matches and that no job was assigned to yet;
//   - the group with the fewest capabilities that the job does not demand, if it is not full;
//   - of equal ones, the group that is configured first.
//
// If all are full, it waits for the first one in this order. Where a job starts is up to the
// server; the assignment only says how many agents are needed.
func Assign(groups []Group, agents []azdo.Agent, queue []azdo.JobRequest) Assignment {
	a := newAssigner(groups, agents, queue)
	assigned := map[int64]bool{} // by the list of agents, which is newer than the queue
	for _, agent := range agents {
		if agent.AssignedRequest != nil {
			assigned[agent.AssignedRequest.RequestID] = true
		}
	}
	done := Assignment{Group: map[int64]int{}, Unmet: map[int64]string{}}
	var waiting []waitingJob
	for _, q := range queue {
		if q.State() != azdo.JobQueued || assigned[q.RequestID] {
			continue
		}
		if kind := a.kindOf(q); len(kind.groups) == 0 {
			done.Unmet[q.RequestID] = kind.lacking
		} else {
			waiting = append(waiting, waitingJob{q, kind})
		}
	}
	slices.SortFunc(waiting, waitingJob.compare)
	for _, job := range waiting {
		g := a.choose(job.kind)
		a.groups[g].count.Waiting++
		done.Group[job.request.RequestID] = g
	}
	for _, m := range a.groups {
		done.Counts = append(done.Counts, m.count)
	}
	return done
}

type waitingJob struct {
	request azdo.JobRequest
	kind    *jobKind
}

func (j waitingJob) compare(other waitingJob) int {
	return cmp.Or(
		cmp.Compare(len(j.kind.groups), len(other.kind.groups)),
		j.request.QueueTime.Compare(other.request.QueueTime.Time), cmp.Compare(j.request.RequestID, other.request.RequestID))
}

// members is a group with its agents.
type members struct {
	Group
	sampled azdo.Agent
	all     []azdo.Agent // with its placeholder
	idle    []azdo.Agent
	// hasPlaceholder says that the server could name the placeholder as a match.
	hasPlaceholder bool
	count          GroupCount
}

func newMembers(groups []Group, agents []azdo.Agent, queue []azdo.JobRequest) []*members {
	reserved := map[int]bool{}
	for _, q := range queue {
		if q.ReservedAgent != nil && q.State() != azdo.JobFinished {
			reserved[q.ReservedAgent.ID] = true
		}
	}
	var all []*members
	for _, g := range groups {
		all = append(all, &members{Group: g, sampled: g.sample()})
	}
	for _, a := range agents {
		i := slices.IndexFunc(all, func(m *members) bool { return m.owns(a) })
		if i < 0 {
			continue
		}
		m := all[i]
		m.all = append(m.all, a)
		_, placeholder := PlaceholderMaker(a)
		switch {
		case placeholder:
			m.hasPlaceholder = true
		case !a.Online(): // its job, if it has one, is lost
		case a.AssignedRequest != nil || reserved[a.ID]:
			m.count.Busy++
		case a.IsEnabled():
			m.count.Idle++
			m.idle = append(m.idle, a)
		}
	}
	return all
}

// maxCompared limits the work of Assign to this many demands that are compared with all agents:
// anybody who may queue pipelines can make up demands. After that only the capabilities that a
// group declares decide who can run a job, and no idle agent is kept for it.
const maxCompared = 1000

// jobKind is what is the same for all jobs with equal demands and matches.
type jobKind struct {
	groups  []int   // those that can run it, the best first
	idle    [][]int // for each of these, the ids of its idle agents that match
	lacking string  // demands that no group meets
}

// assigner assigns jobs one by one.
type assigner struct {
	groups   []*members
	groupOf  map[int]int // by the id of an agent
	kinds    map[string]*jobKind
	compared int          // demands that were compared with all agents
	taken    map[int]bool // ids of idle agents that a job was assigned to
}

func newAssigner(groups []Group, agents []azdo.Agent, queue []azdo.JobRequest) *assigner {
	a := &assigner{groups: newMembers(groups, agents, queue), groupOf: map[int]int{}, kinds: map[string]*jobKind{}, taken: map[int]bool{}}
	for g, m := range a.groups {
		for _, agent := range m.all {
			a.groupOf[agent.ID] = g
		}
	}
	return a
}

// kindOf computes a kind once: most jobs of a long queue have equal demands.
func (a *assigner) kindOf(q azdo.JobRequest) *jobKind {
	if len(q.MatchedAgents) >= maxMatches { // the survey has left out others
		q.MatchedAgents = nil
	}
	need := newWaitingNeed(q)
	key := fmt.Sprint(need.demandText, need.matchedIDs)
	if kind := a.kinds[key]; kind != nil {
		return kind
	}
	work := max(1, len(need.demands))
	compare := a.compared+work <= maxCompared
	if compare {
		a.compared += work
	}
	kind := &jobKind{groups: a.groupsFor(need, compare)}
	for _, i := range kind.groups {
		var ids []int
		for _, agent := range a.groups[i].idle {
			if compare && need.matches(agent) {
				ids = append(ids, agent.ID)
			}
		}
		kind.idle = append(kind.idle, ids)
	}
	if len(kind.groups) == 0 {
		kind.lacking = need.nobodyHas("group", a.samples())
	}
	a.kinds[key] = kind
	return kind
}

// groupsFor returns the groups whose agents match a need, the best first. The server's word counts
// if it names an agent of the group, or if it names others and could have named the group's
// placeholder. Otherwise the demands decide: for an agent as the group declares it, and with
// compare for those that exist, because an image may have capabilities that the group does not
// declare.
func (a *assigner) groupsFor(need jobNeed, compare bool) (groups []int) {
	named := map[int]bool{}
	for _, id := range need.matchedIDs {
		if g, known := a.groupOf[id]; known {
			named[g] = true
		}
	}
	for g, m := range a.groups {
		switch {
		case named[g]:
		case len(named) > 0 && m.hasPlaceholder:
			continue
		case need.isMetBy(m.sampled):
		case compare && slices.ContainsFunc(m.all, need.isMetBy):
		default:
			continue
		}
		groups = append(groups, g)
	}
	slices.SortStableFunc(groups, func(i, j int) int {
		return cmp.Compare(a.groups[i].surplus(need), a.groups[j].surplus(need))
	})
	return groups
}

// choose chooses the group of a job, and takes its idle agent.
func (a *assigner) choose(kind *jobKind) int {
	for i, g := range kind.groups {
		for len(kind.idle[i]) > 0 {
			id := kind.idle[i][0]
			kind.idle[i] = kind.idle[i][1:]
			if !a.taken[id] {
				a.taken[id] = true
				return g
			}
		}
	}
	for _, g := range kind.groups {
		if m := a.groups[g]; m.count.Busy+m.count.Waiting < m.Max {
			return g
		}
	}
	return kind.groups[0]
}

func (a *assigner) samples() (samples []azdo.Agent) {
	for _, m := range a.groups {
		samples = append(samples, m.sampled)
	}
	return samples
}
