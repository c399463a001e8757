package pool

import (
	"fmt"
	"slices"
	"strings"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/text"
)

// WaitReason is why a job waits for an agent.
type WaitReason string

// The reasons.
const (
	WaitsForAgents   WaitReason = "no agents" // the pool is empty
	WaitsForDemands  WaitReason = "demands"   // no agent matches
	WaitsForOffline  WaitReason = "offline"   // all agents that match are offline, or an autoscaler starts one
	WaitsForDisabled WaitReason = "disabled"  // all of those online are disabled
	WaitsForBusy     WaitReason = "busy"      // all of those enabled have a job
	WaitsThoughFree  WaitReason = "free"      // one is free, and the server may be about to assign the job
	WaitsForGroup    WaitReason = "group"     // an autoscaler starts an agent of the job's group
	WaitsUnexplained WaitReason = "unexplained"
)

// Wait says why a job waits.
type Wait struct {
	Reason WaitReason
	Why    string   // for a person: "no agent has gpu"
	Agents []string // names of agents that the reason is about; of many, the first few

	scaled bool // a placeholder matches: an autoscaler starts an agent
}

// IsTrouble says that the job does not start unless somebody acts.
func (w Wait) IsTrouble() bool {
	switch w.Reason {
	case WaitsForAgents, WaitsForDemands:
		return true
	case WaitsForOffline, WaitsForDisabled:
		return !w.scaled
	}
	return false
}

// WhyJobWaits says what a job of a pool with these agents waits for. If the server says
// which agents match, that counts.
func WhyJobWaits(q azdo.JobRequest, agents []azdo.Agent) Wait {
	return newWaitingNeed(q).whyWaits(agents)
}

// WhyJobsWaitForGroups is WhyJobWaits for all waiting jobs of a pool whose agents an autoscaler
// starts by these groups, by the request's id. A job that a group can run waits for its group. Of
// the others, it explains the first ones as WhyJobsWait does.
func WhyJobsWaitForGroups(groups []Group, agents []azdo.Agent, queue []azdo.JobRequest) (map[int64]Wait, Assignment) {
	done := Assign(groups, agents, queue)
	others := slices.DeleteFunc(slices.Clone(queue), func(q azdo.JobRequest) bool { _, unmet := done.Unmet[q.RequestID]; return !unmet })
	waits := WhyJobsWait(others, agents)
	for id, wait := range waits {
		if wait.IsTrouble() {
			waits[id] = Wait{Reason: WaitsForDemands, Why: done.Unmet[id]}
		}
	}
	for id, g := range done.Group {
		why := "group " + groups[g].Name + " runs it"
		if c := done.Counts[g]; c.Busy+c.Waiting > groups[g].Max {
			why += ", at most " + text.Count(groups[g].Max, "agent") + " at once"
		}
		waits[id] = Wait{Reason: WaitsForGroup, Why: why}
	}
	return waits, done
}

// maxExplained limits the work of WhyJobsWait. It compares agents with demands, and anybody who
// may queue pipelines can make up demands.
const maxExplained = 100

// WhyJobsWait says for each waiting job of a queue why it waits, by the request's id. It
// computes each reason once, because most jobs have equal demands. Of jobs with ever other
// demands it explains the first ones, until they have maxExplained demands together; the map
// lacks the others.
func WhyJobsWait(queue []azdo.JobRequest, agents []azdo.Agent) map[int64]Wait {
	waits, known := map[int64]Wait{}, map[string]Wait{}
	compared := 0
	for _, q := range queue {
		if q.State() != azdo.JobQueued {
			continue
		}
		if len(q.MatchedAgents) >= maxMatches { // the survey has left out others
			q.MatchedAgents = nil
		}
		need := newWaitingNeed(q)
		key := fmt.Sprint(need.demandText, need.matchedIDs)
		wait, cached := known[key]
		if !cached {
			work := max(1, len(need.demands))
			if compared+work > maxExplained {
				continue
			}
			compared += work
			wait = need.whyWaits(agents)
			known[key] = wait
		}
		waits[q.RequestID] = wait
	}
	return waits
}

// whyWaits says why a job with this need waits.
func (w jobNeed) whyWaits(agents []azdo.Agent) Wait {
	if len(agents) == 0 {
		return Wait{Reason: WaitsForAgents, Why: "the pool has no agent"}
	}
	var matching, free, busy, leaving, disabled names
	scaled := false
	for _, a := range agents {
		if !w.matches(a) {
			continue
		}
		matching.add(a)
		switch hasJob := a.AssignedRequest != nil; {
		case !a.Online():
			scaled = scaled || PlaceholderReason(a) != ""
		case a.IsEnabled() && hasJob:
			busy.add(a)
		case a.IsEnabled():
			free.add(a)
		case hasJob: // an agent of --once, or one that somebody drains
			leaving.add(a)
		default:
			disabled.add(a)
		}
	}
	switch {
	case len(matching) == 0:
		return w.whyNoneMatches(agents)
	case len(free) > 0:
		return Wait{WaitsThoughFree, "a free agent could take it", free, scaled}
	case len(busy) > 0:
		return Wait{WaitsForBusy, "all agents that could take it are busy", busy, scaled}
	case len(disabled) > 0 && scaled:
		return Wait{WaitsForOffline, "all agents that could take it are offline or disabled", matching, scaled}
	case len(disabled) > 0:
		return Wait{WaitsForDisabled, "all online agents that could take it are disabled", disabled, scaled}
	case len(leaving) > 0:
		return Wait{WaitsForBusy, "all agents that could take it are busy", leaving, scaled}
	}
	return Wait{WaitsForOffline, "all agents that could take it are offline", matching, scaled}
}

// whyNoneMatches says why no agent matches.
func (w jobNeed) whyNoneMatches(agents []azdo.Agent) Wait {
	why := w.nobodyHas("agent", agents)
	if why == "" {
		return Wait{Reason: WaitsUnexplained, Why: "the server finds no agent for it, and its demands do not show why"}
	}
	return Wait{Reason: WaitsForDemands, Why: why}
}

// nobodyHas says which demands none of these agents meets: "no agent has gpu", where who is
// "agent"; "" if there is none.
func (w jobNeed) nobodyHas(who string, agents []azdo.Agent) string {
	lacking, together := w.unmet(agents)
	switch {
	case len(lacking) == 0:
		return ""
	case together:
		return "no " + who + " has all of " + strings.Join(lacking, ", ") + " at once"
	}
	return "no " + who + " has " + strings.Join(lacking, ", ")
}

// names are those of the first few agents in the same condition. Of 10,000, nobody reads more.
type names []string

func (n *names) add(a azdo.Agent) {
	if len(*n) < 5 {
		*n = append(*n, a.Name)
	}
}

// unmet are the demands for which there is no agent: those that no agent meets; or all, if each
// is met by some agent, but no agent meets all (together).
func (w jobNeed) unmet(agents []azdo.Agent) (lacking []string, together bool) {
	for i, d := range w.demands {
		if !slices.ContainsFunc(agents, d.MetBy) {
			lacking = append(lacking, w.lines[i])
		}
	}
	if len(lacking) > 0 || slices.ContainsFunc(agents, w.isMetBy) {
		return lacking, false
	}
	return w.lines, true
}
