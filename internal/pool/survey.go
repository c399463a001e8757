package pool

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/azdo"
)

// Survey is a pool at one moment, with a verdict on each agent.
type Survey struct {
	Verdicts []Verdict         // in the server's order
	Queue    []azdo.JobRequest // unfinished; see [Pool.Survey] for what is left out of them
	Finished []azdo.JobRequest // those that SurveyWithHistory asked for
	At       time.Time         // by the server's clock
}

// Agents are the survey's agents.
func (s Survey) Agents() (agents []azdo.Agent) {
	for _, v := range s.Verdicts {
		agents = append(agents, v.Agent)
	}
	return agents
}

// Ghosts are the agents to remove.
func (s Survey) Ghosts() []Verdict {
	return slices.DeleteFunc(slices.Clone(s.Verdicts), func(v Verdict) bool { return !v.Ghost() })
}

// Missing are the names that no agent has.
func (s Survey) Missing(names []string) []string {
	there := map[string]bool{}
	for _, v := range s.Verdicts {
		there[strings.ToLower(v.Agent.Name)] = true
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return there[strings.ToLower(name)] })
}

// Survey gets and judges all agents of the pool with two calls, and a third with AnyOwner, for
// the agents' last jobs. For large pools, it keeps only what the rules need: the system
// capabilities that a demand names, and the ids of agents in requests, of the matching agents
// only some.
func (p *Pool) Survey(ctx context.Context, r Rules) (Survey, error) {
	return p.SurveyWithHistory(ctx, r, 0)
}

// SurveyWithHistory is Survey with the newest few finished jobs of each agent. It makes no
// further call.
func (p *Pool) SurveyWithHistory(ctx context.Context, r Rules, history int) (Survey, error) {
	queue, done, err := p.requests(ctx, history)
	if err != nil {
		return Survey{}, err
	}
	last := map[int]*azdo.JobRequest{}
	if r.AnyOwner {
		if last, err = p.lastRequests(ctx); err != nil {
			return Survey{}, err
		}
	}
	agents, err := p.Agents(ctx, demandedNames(queue, last))
	if err != nil {
		return Survey{}, err
	}
	for i := range agents {
		agents[i].LastCompletedRequest = last[agents[i].ID]
	}
	at := p.o.Server.Now()
	return Survey{r.Judge(agents, queue, at), queue, done, at}, nil
}

// Look gets what Assign needs, for those who look often: with one call if no job waits or
// runs, and else with two.
func (p *Pool) Look(ctx context.Context) (agents []azdo.Agent, queue []azdo.JobRequest, err error) {
	queue, _, err = p.requests(ctx, 0)
	if err != nil || len(queue) == 0 {
		return nil, nil, err
	}
	agents, err = p.Agents(ctx, demandedNames(queue, nil))
	return agents, queue, err
}

// requests gets the pool's unfinished requests, and the newest few finished ones of each agent.
func (p *Pool) requests(ctx context.Context, history int) (queue, done []azdo.JobRequest, err error) {
	err = p.retry(ctx, func(ctx context.Context) error {
		queue, done = nil, nil
		return p.o.Server.EachJobRequest(ctx, p.ID, history, func(r azdo.JobRequest) {
			if r.State() == azdo.JobFinished {
				done = append(done, trimRequest(r))
				return
			}
			queue = append(queue, trimRequest(r))
		})
	})
	return queue, done, err
}

// maxMatches is how many of the agents that match a waiting request count. If all of them were
// ghosts, one stays: unnecessary if yet another agent matches, but not wrong.
const maxMatches = 20

// trimRequest removes what nobody uses from a request.
func trimRequest(r azdo.JobRequest) azdo.JobRequest {
	if r.ReservedAgent != nil {
		r.ReservedAgent = &azdo.Agent{ID: r.ReservedAgent.ID, Name: r.ReservedAgent.Name}
	}
	var matched []azdo.Agent
	if r.State() == azdo.JobQueued {
		for _, a := range r.MatchedAgents[:min(len(r.MatchedAgents), maxMatches)] {
			matched = append(matched, azdo.Agent{ID: a.ID})
		}
	}
	r.MatchedAgents = matched
	return r
}

// lastRequests gets the last finished job of each agent, by the agent's id.
func (p *Pool) lastRequests(ctx context.Context) (last map[int]*azdo.JobRequest, err error) {
	err = p.retry(ctx, func(ctx context.Context) error {
		last = map[int]*azdo.JobRequest{}
		return p.o.Server.EachAgent(ctx, p.ID, azdo.Include{LastCompletedRequest: true}, func(a azdo.Agent) {
			if a.LastCompletedRequest != nil {
				last[a.ID] = a.LastCompletedRequest
			}
		})
	})
	return last, err
}

// demandedNames are the names of the capabilities that jobs demand, in lower case.
func demandedNames(queue []azdo.JobRequest, last map[int]*azdo.JobRequest) map[string]bool {
	names := map[string]bool{}
	add := func(request azdo.JobRequest) {
		for _, line := range request.Demands {
			names[strings.ToLower(azdo.ParseDemand(line).Name)] = true
		}
	}
	for _, request := range queue {
		add(request)
	}
	for _, request := range last {
		add(*request)
	}
	return names
}

// Agents lists the pool in one call, with only the named system capabilities.
func (p *Pool) Agents(ctx context.Context, named map[string]bool) (agents []azdo.Agent, err error) {
	with := azdo.Include{Capabilities: true, AssignedRequest: true}
	err = p.retry(ctx, func(ctx context.Context) error {
		agents = nil
		once := intern{}
		return p.o.Server.EachAgent(ctx, p.ID, with, func(a azdo.Agent) {
			var kept map[string]string // a new one: a map does not shrink
			for name, value := range a.SystemCapabilities {
				if named[strings.ToLower(name)] {
					if kept == nil {
						kept = map[string]string{}
					}
					kept[once.of(name)] = once.of(value)
				}
			}
			a.SystemCapabilities, a.Properties, a.Authorization = kept, nil, nil
			a.Version, a.Status = once.of(a.Version), once.of(a.Status)
			a.OSDescription, a.ProvisioningState = once.of(a.OSDescription), once.of(a.ProvisioningState)
			if a.AssignedRequest != nil {
				request := trimRequest(*a.AssignedRequest)
				request.ReservedAgent = nil // it is this one
				a.AssignedRequest = &request
			}
			agents = append(agents, a)
		})
	})
	return agents, err
}

// intern keeps one copy of each string: thousands of agents have the same ones.
type intern map[string]string

func (i intern) of(s string) string {
	if have, ok := i[s]; ok {
		return have
	}
	i[s] = s
	return s
}
