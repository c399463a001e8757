package pool

import (
	"slices"
	"strconv"
	"strings"

	"github.com/azptend/azptend/internal/azdo"
)

// WaitReason is why a job waits for an agent.
type WaitReason string

// The reasons.
const (
	WaitsForAgents   WaitReason = "no agents" // the pool is empty
	WaitsForDemands  WaitReason = "demands"   // no agent matches
	WaitsForOffline  WaitReason = "offline"   // all agents that match are offline
	WaitsForDisabled WaitReason = "disabled"  // all of those online are disabled
	WaitsForBusy     WaitReason = "busy"      // all of those enabled have a job
	WaitsThoughFree  WaitReason = "free"      // one is free, and the server may be about to assign the job
	WaitsUnexplained WaitReason = "unexplained"
)

// Wait says why a job waits.
type Wait struct {
	Reason WaitReason
	Why    string       // for a person: "no agent has gpu"
	Agents []azdo.Agent // that the reason is about
}

// IsTrouble says that the job does not start unless somebody acts. A placeholder among the
// agents that match says that an autoscaler starts one.
func (w Wait) IsTrouble() bool {
	switch w.Reason {
	case WaitsForAgents, WaitsForDemands, WaitsForDisabled:
		return true
	case WaitsForOffline:
		return !slices.ContainsFunc(w.Agents, func(a azdo.Agent) bool { return PlaceholderReason(a) != "" })
	}
	return false
}

// WhyJobWaits says what a job of a pool with these agents waits for. If the server says
// which agents match, that counts.
func WhyJobWaits(q azdo.JobRequest, agents []azdo.Agent) Wait {
	if len(agents) == 0 {
		return Wait{WaitsForAgents, "the pool has no agent", nil}
	}
	could := matchingAgents(q, agents)
	if len(could) == 0 {
		lacking, together := unmetDemands(q.Demands, agents)
		switch {
		case together:
			return Wait{WaitsForDemands, "no agent has all of " + strings.Join(lacking, ", ") + " at once", nil}
		case len(lacking) == 0:
			return Wait{WaitsUnexplained, "the server finds no agent for it, and its demands do not show why", nil}
		}
		return Wait{WaitsForDemands, "no agent has " + strings.Join(lacking, ", "), nil}
	}
	online := filterAgents(could, azdo.Agent.Online)
	enabled := filterAgents(online, azdo.Agent.IsEnabled)
	free := filterAgents(enabled, func(a azdo.Agent) bool { return a.AssignedRequest == nil })
	switch {
	case len(online) == 0:
		return Wait{WaitsForOffline, "all agents that could take it are offline", could}
	case len(enabled) == 0:
		return Wait{WaitsForDisabled, "all online agents that could take it are disabled", online}
	case len(free) == 0:
		return Wait{WaitsForBusy, "all agents that could take it are busy", enabled}
	}
	return Wait{WaitsThoughFree, "a free agent could take it", free}
}

// WhyJobsWait says for each waiting job of the survey why it waits, by the request's id.
// Most of many jobs wait for the same.
func (s Survey) WhyJobsWait() map[int64]Wait {
	waits, known := map[int64]Wait{}, map[string]Wait{}
	var agents []azdo.Agent
	for _, v := range s.Verdicts {
		agents = append(agents, v.Agent)
	}
	for _, q := range s.Queue {
		if q.State() != azdo.JobQueued {
			continue
		}
		if len(q.MatchedAgents) >= maxMatches { // the survey has left out others
			q.MatchedAgents = nil
		}
		need := newJobNeed(q.Demands)
		key := need.demandText
		for _, a := range q.MatchedAgents {
			key += " " + a.Name + "#" + strconv.Itoa(a.ID)
		}
		wait, is := known[key]
		if !is {
			wait = WhyJobWaits(q, agents)
			known[key] = wait
		}
		waits[q.RequestID] = wait
	}
	return waits
}

// matchingAgents are the agents that could take a job.
func matchingAgents(q azdo.JobRequest, agents []azdo.Agent) []azdo.Agent {
	return filterAgents(agents, func(a azdo.Agent) bool {
		if len(q.MatchedAgents) > 0 {
			return slices.ContainsFunc(q.MatchedAgents, func(m azdo.Agent) bool { return m.ID == a.ID })
		}
		return !slices.ContainsFunc(q.Demands, func(demand string) bool { return !agentMeets(demand, a) })
	})
}

func filterAgents(agents []azdo.Agent, keep func(azdo.Agent) bool) []azdo.Agent {
	return slices.DeleteFunc(slices.Clone(agents), func(a azdo.Agent) bool { return !keep(a) })
}

// agentMeets says whether an agent meets a demand. An agent without capabilities still has
// a version.
func agentMeets(demand string, a azdo.Agent) bool {
	d := azdo.ParseDemand(demand)
	return d.MetBy(a) || strings.EqualFold(d.Name, "Agent.Version") && d.Accepts(a.Version)
}

// unmetDemands are the demands of a job for which there is no agent: those that no agent
// meets; or all, if each is met by some agent, but no agent meets all (together).
func unmetDemands(demands []string, agents []azdo.Agent) (lacking []string, together bool) {
	for _, d := range demands {
		if !slices.ContainsFunc(agents, func(a azdo.Agent) bool { return agentMeets(d, a) }) {
			lacking = append(lacking, d)
		}
	}
	if len(lacking) > 0 || len(matchingAgents(azdo.JobRequest{Demands: demands}, agents)) > 0 {
		return lacking, false
	}
	return demands, true
}
