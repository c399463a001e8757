package doctor

import (
	"fmt"

	"github.com/azptend/azptend/internal/azdo"
)

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
