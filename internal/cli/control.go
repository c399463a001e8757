//go:build unix

package cli

import (
	"context"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/control"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/supervisor"
)

// controlLocation is the location of the control socket for these settings.
func controlLocation(s config.Settings) control.Location {
	return control.Location{Root: s.Root(), OtherUser: s.RunAs != ""}
}

// statusAdapter is a control.Handler for a supervisor.Group. It is here because control and
// supervisor do not import each other.
type statusAdapter struct{ group *supervisor.Group }

func (l statusAdapter) Status(ctx context.Context) (control.Status, error) {
	return toStatus(l.group.Status(ctx))
}

func (l statusAdapter) Next(ctx context.Context, phase string) (control.Status, error) {
	return toStatus(l.group.Next(ctx, lifecycle.Phase(phase)))
}

func (l statusAdapter) Drain(ctx context.Context, terminating bool) (control.Status, error) {
	reason := "asked by azptend drain"
	if terminating {
		reason += " --terminating"
	}
	return toStatus(l.group.Drain(ctx, reason, terminating))
}

func toStatus(s supervisor.Snapshot, err error) (control.Status, error) {
	if err != nil {
		return control.Status{}, err
	}
	status := control.Status{
		Phase: string(s.Phase), Since: s.Since, Ready: s.Ready(), Registration: string(s.Registration),
		Agent: s.Agent, AgentID: s.AgentID, Pool: s.Pool, Job: string(s.Job), Jobs: s.Jobs, Reason: s.Reason,
	}
	if !s.Deadline.IsZero() {
		status.Deadline = &s.Deadline
	}
	if s.End != nil {
		status.End = &control.End{Code: s.End.Code, Why: s.End.Why}
	}
	for _, one := range s.Each {
		own, err := toStatus(one, nil)
		if err != nil {
			return control.Status{}, err
		}
		status.Agents = append(status.Agents, own)
	}
	return status, nil
}
