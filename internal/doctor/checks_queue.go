package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/text"
)

// checkQueue says which jobs wait and why, and what KEDA's scaler would count.
func checkQueue(ctx context.Context, v *run) Finding {
	agents, err := v.Server.Agents(ctx, v.pool.ID)
	if err != nil {
		return failed(QueueUnknown, err.Error())
	}
	requests, err := v.Server.JobRequests(ctx, v.pool.ID, 0)
	if err != nil {
		return failed(QueueUnknown, err.Error())
	}
	f := Finding{Found: describeQueue(requests, agents)}
	f.Problems = explainWaits(requests, agents)
	return f
}

// describeQueue counts jobs and agents.
func describeQueue(requests []azdo.JobRequest, agents []azdo.Agent) string {
	state := map[azdo.JobState]int{}
	for _, q := range requests {
		state[q.State()]++
	}
	online, busy := 0, 0
	for _, a := range agents {
		if a.Online() {
			online++
		}
		if a.AssignedRequest != nil {
			busy++
		}
	}
	return fmt.Sprintf("%s waiting, %d assigned, %d running; %s, %d online, %d with a job; %s",
		text.Count(state[azdo.JobQueued], "job"), state[azdo.JobAssigned], state[azdo.JobRunning],
		text.Count(len(agents), "agent"), online, busy, countAsKEDA(requests, placeholderNames(agents)))
}

// placeholderNames are the names of the placeholders, one of which a scaler names as its
// "parent".
func placeholderNames(agents []azdo.Agent) []string {
	var names []string
	for _, a := range agents {
		if agentdir.IsPlaceholder(a.UserCapabilities, a.Version, a.Online()) {
			names = append(names, a.Name)
		}
	}
	return names
}

// maxExplained is how many waiting jobs are explained one by one.
const maxExplained = 5

// explainWaits explains each job that waits, or the first few of many, which usually wait
// for the same.
func explainWaits(requests []azdo.JobRequest, agents []azdo.Agent) []Problem {
	var problems []Problem
	more := 0
	for _, q := range requests {
		if q.State() != azdo.JobQueued {
			continue
		}
		if len(problems) == maxExplained {
			more++
			continue
		}
		problems = append(problems, explainWait(q, agents))
	}
	if more > 0 {
		last := &problems[len(problems)-1]
		last.What += fmt.Sprintf(" (and %s)", text.Count(more, "more job"))
	}
	return problems
}

// explainWait says what a job waits for. If the server says which agents match, that
// counts.
func explainWait(q azdo.JobRequest, agents []azdo.Agent) Problem {
	waits := func(c *Cause, why string) Problem {
		return Problem{c, fmt.Sprintf("job %d%s waits", q.RequestID, jobName(q)) + why, c.Fix}
	}
	if len(agents) == 0 {
		return waits(JobsWaitNobody, ": the pool has no agent")
	}
	could := matchingAgents(q, agents)
	if len(could) == 0 {
		lacking, together := unmetDemands(q.Demands, agents)
		switch {
		case together:
			return waits(JobsWaitDemands, fmt.Sprintf(": no agent has all of %s at once", strings.Join(lacking, ", ")))
		case len(lacking) == 0:
			return waits(JobsWait, ": the server finds no agent for it, and its demands do not show why")
		}
		return waits(JobsWaitDemands, ": no agent has "+strings.Join(lacking, ", "))
	}
	names := func(of []azdo.Agent) string {
		var all []string
		for _, a := range of[:min(len(of), maxExplained)] {
			all = append(all, a.Name)
		}
		return strings.Join(all, ", ")
	}
	online := filterAgents(could, azdo.Agent.Online)
	enabled := filterAgents(online, azdo.Agent.IsEnabled)
	free := filterAgents(enabled, func(a azdo.Agent) bool { return a.AssignedRequest == nil })
	switch {
	case len(online) == 0:
		return waits(JobsWaitOffline, ": all agents that could take it are offline: "+names(could))
	case len(enabled) == 0:
		return waits(JobsWaitDisabled, ": all online agents that could take it are disabled: "+names(online))
	case len(free) == 0:
		return waits(JobsWaitBusy, ": all agents that could take it are busy: "+names(enabled))
	}
	return waits(JobsWait, ", although a free agent could take it: "+names(free))
}

// jobName names a job for a person: " (build of ci)".
func jobName(q azdo.JobRequest) string {
	parts := slices.DeleteFunc([]string{q.JobName, q.Definition.Name}, func(s string) bool { return s == "" })
	if len(parts) == 0 {
		return ""
	}
	return fmt.Sprintf(" (%s)", strings.Join(parts, " of "))
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

// countAsKEDA counts a pool's unfinished jobs as KEDA's azure-pipelines scaler does
// (keda-and-kubernetes.md 1.5): all of them, or those that no agent has received yet (KEDA
// 2.20, or scaleOnInFlight "false"); with a parent, those that match this agent.
func countAsKEDA(requests []azdo.JobRequest, parents []string) string {
	all, waiting := kedaCount(requests, "", true), kedaCount(requests, "", false)
	counts := fmt.Sprintf("KEDA counts %d", all)
	if waiting != all {
		counts += fmt.Sprintf(`, or %d without those that run (2.20, or scaleOnInFlight "false")`, waiting)
	}
	for _, p := range parents {
		counts += fmt.Sprintf(", with parent %s %d", p, kedaCount(requests, p, true))
	}
	return counts
}

// kedaCount counts the jobs that KEDA would count; parent is "" for none.
func kedaCount(requests []azdo.JobRequest, parent string, inFlight bool) int {
	n := 0
	for _, q := range requests {
		switch {
		case q.Result != "", !inFlight && !q.ReceiveTime.IsZero():
		case parent != "" && !slices.ContainsFunc(q.MatchedAgents, func(a azdo.Agent) bool { return a.Name == parent }):
		default:
			n++
		}
	}
	return n
}
