package doctor

import (
	"slices"
	"strings"

	"github.com/azptend/azptend/internal/azdo"
)

// agentMeets says that an agent has what a line of a job's demands asks for. Its version
// the registration says too, also of an agent without capabilities.
func agentMeets(line string, a azdo.Agent) bool {
	d := azdo.ParseDemand(line)
	return d.MetBy(a) || strings.EqualFold(d.Name, "Agent.Version") && d.Accepts(a.Version)
}

// unmetDemands are the demands that none of the agents meets; where each is met by some
// agent and all are by none, it is the demands of which no agent meets all.
func unmetDemands(demands []string, agents []azdo.Agent) (lacking []string, together bool) {
	for _, d := range demands {
		if !anyAgent(agents, func(a azdo.Agent) bool { return agentMeets(d, a) }) {
			lacking = append(lacking, d)
		}
	}
	if len(lacking) > 0 || len(capableAgents(demands, agents)) > 0 {
		return lacking, false
	}
	return demands, true
}

// capableAgents are the agents that meet all demands.
func capableAgents(demands []string, agents []azdo.Agent) []azdo.Agent {
	var found []azdo.Agent
	for _, a := range agents {
		all := true
		for _, d := range demands {
			all = all && agentMeets(d, a)
		}
		if all {
			found = append(found, a)
		}
	}
	return found
}

func anyAgent(agents []azdo.Agent, is func(azdo.Agent) bool) bool {
	return slices.ContainsFunc(agents, is)
}
