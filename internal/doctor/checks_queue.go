package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/pool"
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
	f.Problems = explainWaits(requests, agents, pool.GroupsOf(v.Groups, v.pool.Name))
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
// for the same. With groups, it says which group is to run it.
func explainWaits(requests []azdo.JobRequest, agents []azdo.Agent, groups []pool.Group) []Problem {
	var problems []Problem
	var waits map[int64]pool.Wait
	if len(groups) > 0 {
		waits, _ = pool.WhyJobsWaitForGroups(groups, agents, requests)
	}
	more := 0
	for _, q := range requests {
		if q.State() != azdo.JobQueued {
			continue
		}
		if len(problems) == maxExplained {
			more++
			continue
		}
		wait, known := waits[q.RequestID]
		if !known {
			wait = pool.WhyJobWaits(q, agents)
		}
		problems = append(problems, explainWait(q, wait))
	}
	if more > 0 {
		last := &problems[len(problems)-1]
		last.What += fmt.Sprintf(" (and %s)", text.Count(more, "more job"))
	}
	return problems
}

// waitCauses are the causes of why a job waits.
var waitCauses = map[pool.WaitReason]*Cause{
	pool.WaitsForAgents: JobsWaitNobody, pool.WaitsForDemands: JobsWaitDemands, pool.WaitsForOffline: JobsWaitOffline,
	pool.WaitsForDisabled: JobsWaitDisabled, pool.WaitsForBusy: JobsWaitBusy, pool.WaitsThoughFree: JobsWait, pool.WaitsUnexplained: JobsWait,
	pool.WaitsForGroup: JobsWaitGroup,
}

// explainWait says what a job waits for.
func explainWait(q azdo.JobRequest, wait pool.Wait) Problem {
	why := ": " + wait.Why
	if wait.Reason == pool.WaitsThoughFree {
		why = ", although " + wait.Why
	}
	if len(wait.Agents) > 0 {
		why += ": " + strings.Join(wait.Agents, ", ")
	}
	cause := waitCauses[wait.Reason]
	return Problem{cause, fmt.Sprintf("job %d%s waits", q.RequestID, jobName(q)) + why, cause.Fix}
}

// jobName names a job for a person: " (build of ci)".
func jobName(q azdo.JobRequest) string {
	parts := slices.DeleteFunc([]string{q.JobName, q.Definition.Name}, func(s string) bool { return s == "" })
	if len(parts) == 0 {
		return ""
	}
	return fmt.Sprintf(" (%s)", strings.Join(parts, " of "))
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
