package pool

import (
	"context"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
)

// Removal says what happened to a ghost.
type Removal string

// The removals.
const (
	Removed Removal = "removed"
	Gone    Removal = "gone"   // somebody else had removed it
	Stayed  Removal = "stayed" // the second look showed that it is no ghost any more
	Failed  Removal = "failed" // the server refused, for a reason that concerns only this agent
)

// RemoveResult says what happened to one ghost.
type RemoveResult struct {
	Agent   azdo.Agent // as the survey showed it
	Removal Removal
	Why     string // why it stayed: "online"
	Err     error  // why it failed
}

// Remove removes ghosts that a survey under the same rules found, several at a time. Right
// before the DELETE it gets each agent again, with its job and its owner tag, and judges it
// again: an agent that came back stays. An agent that is gone already counts as removed, so
// that two prunes of one pool do no harm.
//
// Remove calls each for one result at a time, in the order in which they come. That one agent
// cannot be removed is a result. An error ends the removal: the server does not answer, or
// throttles, for longer than RetryFor, it refuses the identity, or ctx ends. Ghosts without a
// result may or may not be removed; Remove may be repeated after another survey.
func (p *Pool) Remove(ctx context.Context, r Rules, ghosts []Verdict, each func(RemoveResult)) error {
	return forEach(ctx, ghosts, func(ctx context.Context, ghost Verdict) (RemoveResult, error) { return p.remove(ctx, r, ghost) }, each)
}

// remove gets one ghost again, and removes it if it still is one.
func (p *Pool) remove(ctx context.Context, r Rules, ghost Verdict) (RemoveResult, error) {
	done := RemoveResult{Agent: ghost.Agent, Removal: Gone}
	sent := false // a DELETE, whose answer may have been lost
	err := p.retry(ctx, func(ctx context.Context) error {
		now, err := p.o.Server.AgentByID(ctx, p.ID, ghost.Agent.ID, azdo.Include{Capabilities: true, AssignedRequest: true})
		if err != nil {
			return err
		}
		if why := p.recheck(r, ghost.Agent, now); why != "" {
			done.Removal, done.Why = Stayed, why
			return nil
		}
		sent = true
		if err := p.o.Server.RemoveAgent(ctx, p.ID, ghost.Agent.ID); err != nil {
			return err
		}
		done.Removal = Removed
		return nil
	})
	switch {
	case err == nil:
	case azdo.ClassOf(err) == azdo.NotFound:
		if sent {
			done.Removal = Removed
		}
	case azdo.ClassOf(err) == azdo.AgentBusy:
		done.Removal, done.Why = Stayed, "has a job"
	case isAgentError(err):
		done.Removal, done.Err = Failed, err
	default:
		return RemoveResult{}, err
	}
	return done, nil
}

// recheck says why an agent is no ghost any more; "" if it still is. A registration that
// replaced it under the same id (config.sh --replace) is another agent.
func (p *Pool) recheck(r Rules, then, now azdo.Agent) string {
	if then.Name != now.Name || then.UserCapabilities[agentdir.TagInstance] != now.UserCapabilities[agentdir.TagInstance] {
		return "registered again"
	}
	if v := r.judge(now, false, p.o.Server.Now()); !v.Ghost() {
		return v.Why
	}
	return ""
}

// isAgentError says that an error concerns one agent only.
func isAgentError(err error) bool {
	switch azdo.ClassOf(err) {
	case azdo.NotFound, azdo.NameTaken, azdo.AgentBusy, azdo.Refused:
		return azdo.Status(err)/100 == 4 // not a redirect, which every call would meet
	}
	return false
}
