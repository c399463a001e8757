package cli

import (
	"context"
	"log/slog"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/control"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/tend"
)

// openControl lets a life be talked to until the returned function is called.
// Without its socket an agent works all the same.
func openControl(s config.Settings, line *tend.Line, log *slog.Logger) (done func()) {
	server, err := control.Listen(s.ControlFolder(), onLine{line}, log)
	if err != nil {
		log.Warn("Nobody can talk to this azptend: azptend drain and azptend healthcheck will not work", "error", err)
		return func() {}
	}
	return func() {
		if err := server.Close(); err != nil {
			log.Warn("Cannot remove the control socket", "error", err)
		}
	}
}

// onLine is a life, in the words of the control socket.
type onLine struct{ line *tend.Line }

func (l onLine) Status(ctx context.Context) (control.Status, error) {
	return told(l.line.Status(ctx))
}

func (l onLine) Next(ctx context.Context, phase string) (control.Status, error) {
	return told(l.line.Next(ctx, lifecycle.Phase(phase)))
}

func (l onLine) Drain(ctx context.Context, terminating bool) (control.Status, error) {
	reason := "asked by azptend drain"
	if terminating {
		reason += " --terminating"
	}
	return told(l.line.Drain(ctx, reason, terminating))
}

func told(s tend.Snapshot, err error) (control.Status, error) {
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
	return status, nil
}
