package pool

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/azdo"
)

// Survey is a pool at one moment, and what the rules make of it.
type Survey struct {
	Verdicts []Verdict // one an agent, in the server's order
	Queue    []azdo.JobRequest
	Done     []azdo.JobRequest // those that have ended, of as many as were asked for
	At       time.Time         // by the server's clock
}

// Ghosts are the agents to remove.
func (s Survey) Ghosts() []Verdict {
	return slices.DeleteFunc(slices.Clone(s.Verdicts), func(v Verdict) bool { return !v.Ghost() })
}

// Absent are those of the names that no agent of the survey has.
func (s Survey) Absent(names []string) []string {
	there := map[string]bool{}
	for _, v := range s.Verdicts {
		there[strings.ToLower(v.Agent.Name)] = true
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return there[strings.ToLower(name)] })
}

// Survey looks at the whole pool and judges it: two calls whatever the pool's
// size, and with AnyOwner a third, for the agents' last jobs. Of the agents'
// capabilities it keeps the users' and those that a demand names: the rest is
// most of a large pool's list. Where it fails, nothing is known of the pool.
func (p *Pool) Survey(ctx context.Context, r Rules) (Survey, error) { return p.SurveyBack(ctx, r, 0) }

// SurveyBack is Survey with the newest few jobs that each agent has finished, for
// who counts them. It takes no call more.
func (p *Pool) SurveyBack(ctx context.Context, r Rules, history int) (Survey, error) {
	var s Survey
	err := p.patiently(ctx, func(ctx context.Context) error {
		requests, err := p.o.Server.JobRequests(ctx, p.ID, history)
		done := func(r azdo.JobRequest) bool { return r.State() == azdo.JobFinished }
		s.Done = slices.DeleteFunc(slices.Clone(requests), func(r azdo.JobRequest) bool { return !done(r) })
		s.Queue = slices.DeleteFunc(requests, done)
		return err
	})
	if err != nil {
		return Survey{}, err
	}
	last := map[int]*azdo.JobRequest{}
	if r.AnyOwner {
		if last, err = p.lastRequests(ctx); err != nil {
			return Survey{}, err
		}
	}
	agents, err := p.list(ctx, demanded(s.Queue, last))
	if err != nil {
		return Survey{}, err
	}
	for i := range agents {
		agents[i].LastCompletedRequest = last[agents[i].ID]
	}
	s.At = p.o.Server.Now()
	s.Verdicts = r.Judge(agents, s.Queue, s.At)
	return s, nil
}

// lastRequests are the jobs that the pool's agents finished last, by agent.
func (p *Pool) lastRequests(ctx context.Context) (last map[int]*azdo.JobRequest, err error) {
	err = p.patiently(ctx, func(ctx context.Context) error {
		last = map[int]*azdo.JobRequest{}
		return p.o.Server.EachAgent(ctx, p.ID, azdo.Parts{LastCompletedRequest: true}, func(a azdo.Agent) {
			if a.LastCompletedRequest != nil {
				last[a.ID] = a.LastCompletedRequest
			}
		})
	})
	return last, err
}

// demanded are the names of the capabilities that jobs demand, in lower case.
func demanded(queue []azdo.JobRequest, last map[int]*azdo.JobRequest) map[string]bool {
	names := map[string]bool{}
	add := func(request azdo.JobRequest) {
		for _, line := range request.Demands {
			names[strings.ToLower(parseDemand(line).name)] = true
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
	with := azdo.Parts{Capabilities: true, AssignedRequest: true}
	err = p.patiently(ctx, func(ctx context.Context) error {
		agents = nil
		return p.o.Server.EachAgent(ctx, p.ID, with, func(a azdo.Agent) {
			maps.DeleteFunc(a.SystemCapabilities, func(name, _ string) bool { return !named[strings.ToLower(name)] })
			a.SystemCapabilities = maps.Clone(a.SystemCapabilities) // the old map has kept its size
			a.Properties, a.Authorization = nil, nil
			agents = append(agents, a)
		})
	})
	return agents, err
}
