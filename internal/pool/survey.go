package pool

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/azdo"
)

// Survey is a pool at one moment, and what the rules make of it.
type Survey struct {
	Verdicts []Verdict         // one an agent, in the server's order
	Queue    []azdo.JobRequest // the unfinished ones; see Survey for what is left out of them
	Finished []azdo.JobRequest // the finished ones that SurveyBack asked for
	At       time.Time         // by the server's clock
}

// Ghosts are the agents to remove.
func (s Survey) Ghosts() []Verdict {
	return slices.DeleteFunc(slices.Clone(s.Verdicts), func(v Verdict) bool { return !v.Ghost() })
}

// Missing are those of the names that no agent of the survey has.
func (s Survey) Missing(names []string) []string {
	there := map[string]bool{}
	for _, v := range s.Verdicts {
		there[strings.ToLower(v.Agent.Name)] = true
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return there[strings.ToLower(name)] })
}

// Survey looks at the whole pool and judges it: two calls whatever the pool's
// size, and with AnyOwner a third, for the agents' last jobs. It is made for large
// pools: of the agents' system capabilities it keeps those that a demand names, of
// requests' agents the ids, and of the agents that match a request a few: that one
// of many stays is all that matters. Where it fails, nothing is known of the pool.
func (p *Pool) Survey(ctx context.Context, r Rules) (Survey, error) {
	return p.SurveyWithHistory(ctx, r, 0)
}

// SurveyWithHistory is Survey with the newest few jobs that each agent has finished, for
// who counts them. It takes no call more.
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
	agents, err := p.list(ctx, demandedNames(queue, last))
	if err != nil {
		return Survey{}, err
	}
	for i := range agents {
		agents[i].LastCompletedRequest = last[agents[i].ID]
	}
	at := p.o.Server.Now()
	return Survey{r.Judge(agents, queue, at), queue, done, at}, nil
}

// requests are the pool's unfinished requests, and of each agent's finished ones
// the newest few.
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

// maxMatches is how many of the agents that match a waiting request are looked
// at. Where none of so many would be left, one is let stay; that others match too
// makes that needless, and not wrong.
const maxMatches = 20

// trimRequest leaves out of a request what nobody here asks for.
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

// lastRequests are the jobs that the pool's agents finished last, by agent.
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

// list is the pool's agents, without the system capabilities that nobody named.
func (p *Pool) list(ctx context.Context, named map[string]bool) (agents []azdo.Agent, err error) {
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

// intern keeps one copy of what thousands of agents have in common.
type intern map[string]string

func (i intern) of(s string) string {
	if have, ok := i[s]; ok {
		return have
	}
	i[s] = s
	return s
}
