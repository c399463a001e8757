package pool

import (
	"fmt"
	"slices"
	"strings"

	"github.com/azptend/azptend/internal/azdo"
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

// maxExplained limits the work of WhyJobsWait. It compares agents with demands, and anybody who
// may queue pipelines can make up demands.
const maxExplained = 100

// WhyJobsWait says for each waiting job of the survey why it waits, by the request's id. It
// computes each reason once, because most jobs have equal demands. Of jobs with ever other
// demands it explains the first ones, until they have maxExplained demands together; the map
// lacks the others.
func (s Survey) WhyJobsWait() map[int64]Wait {
	waits, known := map[int64]Wait{}, map[string]Wait{}
	var agents []azdo.Agent
	for _, v := range s.Verdicts {
		agents = append(agents, v.Agent)
	}
	compared := 0
	for _, q := range s.Queue {
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
	lacking, together := w.unmet(agents)
	switch {
	case together:
		return Wait{Reason: WaitsForDemands, Why: "no agent has all of " + strings.Join(lacking, ", ") + " at once"}
	case len(lacking) == 0:
		return Wait{Reason: WaitsUnexplained, Why: "the server finds no agent for it, and its demands do not show why"}
	}
	return Wait{Reason: WaitsForDemands, Why: "no agent has " + strings.Join(lacking, ", ")}
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
