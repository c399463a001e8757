package pool

import (
	"context"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
)

// Removal is what became of a ghost.
type Removal string

// The removals.
const (
	Removed Removal = "removed"
	Gone    Removal = "gone"   // somebody else had removed it
	Stayed  Removal = "stayed" // it was no ghost any more when it was looked at again
	Failed  Removal = "failed" // the server would not remove it, for a reason of this agent's
)

// RemoveResult is what became of one ghost.
type RemoveResult struct {
	Agent   azdo.Agent // as the survey showed it
	Removal Removal
	Why     string // why it stayed: "online"
	Err     error  // why it failed
}

// Remove removes ghosts that a survey under the same rules has found, several at a
// time. Each is looked at once more right before its DELETE, with its job and its
// mark, and judged again: what came back meanwhile stays. That an agent is gone
// already is a success, so that two who prune one pool do no harm.
//
// Each is called for one result at a time, in the order in which they come. An
// agent that cannot be removed is a result; an error is what stops all of them: a
// server that is away for longer than the pool's patience, throttles for longer,
// refuses the identity, or ctx. Nothing is known then of the ghosts that each was
// not called for, and Remove may be repeated after another survey.
func (p *Pool) Remove(ctx context.Context, r Rules, ghosts []Verdict, each func(RemoveResult)) error {
	return forEach(ctx, ghosts, func(ctx context.Context, ghost Verdict) (RemoveResult, error) { return p.remove(ctx, r, ghost) }, each)
}

// remove looks at one ghost again, and removes it if it still is one.
func (p *Pool) remove(ctx context.Context, r Rules, ghost Verdict) (RemoveResult, error) {
	done := RemoveResult{Agent: ghost.Agent, Removal: Gone}
	sent := false // a DELETE, whose answer may have been lost
	err := p.retry(ctx, func(ctx context.Context) error {
		now, err := p.o.Server.AgentWhole(ctx, p.ID, ghost.Agent.ID)
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

// recheck says why an agent that was a ghost is none any more. A registration
// that took its place under the same id (config.sh --replace) is not the one that
// was judged.
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
