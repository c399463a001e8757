package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
)

// checkQueue says which jobs wait and why, and what KEDA's scaler would count.
func checkQueue(ctx context.Context, v *run) result {
	if v.isPreregistered() {
		return notNeeded("an agent without an identity cannot see its pool")
	}
	agents, err := v.Server.Agents(ctx, v.pool.ID)
	if err != nil {
		return failedWith(problem(QueueUnknown, err.Error()))
	}
	requests, err := v.Server.JobRequests(ctx, v.pool.ID, 0)
	if err != nil {
		return failedWith(problem(QueueUnknown, err.Error()))
	}
	r := ok(describeQueue(requests, agents))
	for _, p := range explainWaits(requests, agents) {
		r = r.with(p)
	}
	return r
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
		count(state[azdo.JobQueued], "job"), state[azdo.JobAssigned], state[azdo.JobRunning],
		count(len(agents), "agent"), online, busy, countAsKEDA(requests, placeholderNames(agents)))
}

// placeholderNames are the placeholders' names, which a scaler's "parent" would be.
func placeholderNames(agents []azdo.Agent) []string {
	var names []string
	for _, a := range agents {
		if agentdir.IsPlaceholder(a.UserCapabilities, a.Version, a.Online()) {
			names = append(names, a.Name)
		}
	}
	return names
}

// maxExplained is how many jobs that wait are explained one by one.
const maxExplained = 5

// explainWaits explains each job that no agent has. Of many the first few are enough:
// they wait for the same.
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
		last.What += fmt.Sprintf(" (and %s)", count(more, "more job"))
	}
	return problems
}

// explainWait says what a job waits for. The server's word on who matches counts
// before ours, where it gives one.
func explainWait(q azdo.JobRequest, agents []azdo.Agent) Problem {
	job := fmt.Sprintf("job %d%s waits", q.RequestID, jobName(q))
	if len(agents) == 0 {
		return problem(JobsWaitNobody, job+": the pool has no agent")
	}
	could := matchingAgents(q, agents)
	if len(could) == 0 {
		lacking, together := unmetDemands(q.Demands, agents)
		switch {
		case together:
			return problem(JobsWaitDemands, fmt.Sprintf("%s: no agent has all of %s at once", job, strings.Join(lacking, ", ")))
		case len(lacking) == 0:
			return problem(JobsWait, job+": the server finds no agent for it, and its demands do not show why")
		}
		return problem(JobsWaitDemands, fmt.Sprintf("%s: no agent has %s", job, strings.Join(lacking, ", ")))
	}
	names := func(of []azdo.Agent) string {
		var all []string
		for _, a := range of[:min(len(of), maxExplained)] {
			all = append(all, a.Name)
		}
		return strings.Join(all, ", ")
	}
	online := filterAgents(could, azdo.Agent.Online)
	enabled := filterAgents(online, func(a azdo.Agent) bool { return a.Enabled == nil || *a.Enabled })
	free := filterAgents(enabled, func(a azdo.Agent) bool { return a.AssignedRequest == nil })
	switch {
	case len(online) == 0:
		return problem(JobsWaitOffline, fmt.Sprintf("%s: all agents that could take it are offline: %s", job, names(could)))
	case len(enabled) == 0:
		return problem(JobsWaitDisabled, fmt.Sprintf("%s: all online agents that could take it are disabled: %s", job, names(online)))
	case len(free) == 0:
		return problem(JobsWaitBusy, fmt.Sprintf("%s: all agents that could take it are busy: %s", job, names(enabled)))
	}
	return problem(JobsWait, fmt.Sprintf("%s, although a free agent could take it: %s", job, names(free)))
}

// jobName is what a person knows a job by.
func jobName(q azdo.JobRequest) string {
	var parts []string
	for _, s := range []string{q.JobName, q.Definition.Name} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return fmt.Sprintf(" (%s)", strings.Join(parts, " of "))
}

// matchingAgents are the agents that could take a job.
func matchingAgents(q azdo.JobRequest, agents []azdo.Agent) []azdo.Agent {
	if len(q.MatchedAgents) == 0 {
		return capableAgents(q.Demands, agents)
	}
	return filterAgents(agents, func(a azdo.Agent) bool {
		return anyAgent(q.MatchedAgents, func(m azdo.Agent) bool { return m.ID == a.ID })
	})
}

func filterAgents(agents []azdo.Agent, is func(azdo.Agent) bool) []azdo.Agent {
	var some []azdo.Agent
	for _, a := range agents {
		if is(a) {
			some = append(some, a)
		}
	}
	return some
}

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

// countAsKEDA is what KEDA's azure-pipelines scaler makes of a pool's unfinished
// jobs (keda-and-kubernetes.md 1.5): all of them, or without those that an agent
// has received (KEDA 2.20, or scaleOnInFlight "false"); with a parent, those that
// this agent matches.
func countAsKEDA(requests []azdo.JobRequest, parents []string) string {
	all, waiting := kedaCount(requests, "", true), kedaCount(requests, "", false)
	text := fmt.Sprintf("KEDA counts %d", all)
	if waiting != all {
		text += fmt.Sprintf(`, or %d without those that run (2.20, or scaleOnInFlight "false")`, waiting)
	}
	for _, p := range parents {
		text += fmt.Sprintf(", with parent %s %d", p, kedaCount(requests, p, true))
	}
	return text
}

// kedaCount counts the jobs that KEDA would count; parent is "" for none.
func kedaCount(requests []azdo.JobRequest, parent string, inFlight bool) int {
	n := 0
	for _, q := range requests {
		switch {
		case q.Result != "", !inFlight && !q.ReceiveTime.IsZero():
		case parent != "" && !anyAgent(q.MatchedAgents, func(a azdo.Agent) bool { return a.Name == parent }):
		default:
			n++
		}
	}
	return n
}
