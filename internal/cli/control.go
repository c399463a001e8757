//go:build unix

package cli

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/azptend/azptend/internal/bounded"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/control"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/supervisor"
	"github.com/azptend/azptend/internal/systemd"
)

// openControl opens the control socket until done is called. If it cannot, the agents run
// without it.
func openControl(s config.Settings, group *supervisor.Group, final *bounded.FinalSteps, log *slog.Logger) (done func()) {
	server, err := listenForControl(s, group, log)
	if errors.Is(err, control.ErrInUse) {
		return openControlWhenFree(s, group, final, log)
	}
	return func() { closeControl(server, final, log) }
}

// openControlWhenFree is openControl if another azptend uses the socket's directory: it tries
// again until that one has exited.
func openControlWhenFree(s config.Settings, group *supervisor.Group, final *bounded.FinalSteps, log *slog.Logger) (done func()) {
	log.Warn("Control socket in use by another azptend: drain and healthcheck reach that one until it exits")
	ctx, cancel := context.WithCancel(context.Background())
	opened := make(chan *control.Server, 1)
	go func() {
		defer close(opened)
		again := time.NewTicker(time.Second)
		defer again.Stop()
		for {
			select {
			case <-again.C:
			case <-ctx.Done():
				return
			}
			server, err := listenForControl(s, group, log)
			if errors.Is(err, control.ErrInUse) {
				continue
			}
			if err == nil {
				log.Info("Control socket opened")
				opened <- server
			}
			return
		}
	}()
	return func() {
		cancel()
		closeControl(<-opened, final, log)
	}
}

// listenForControl opens the control socket. It logs every error but ErrInUse.
func listenForControl(s config.Settings, group *supervisor.Group, log *slog.Logger) (*control.Server, error) {
	server, err := control.Listen(controlLocation(s), statusAdapter{group}, log)
	if err != nil && !errors.Is(err, control.ErrInUse) {
		log.Warn("Control socket unavailable: drain and healthcheck will not work", "error", err)
	}
	return server, err
}

// closeControl closes the control socket. server is nil if it was not opened.
func closeControl(server *control.Server, final *bounded.FinalSteps, log *slog.Logger) {
	if server == nil {
		return
	}
	if err := server.Close(final.Limit(closeTimeout) / 2); err != nil {
		log.Warn("Cannot remove the control socket", "error", err)
	}
}

// controlLocation is the location of the control socket for these settings.
func controlLocation(s config.Settings) control.Location {
	return control.Location{Root: s.Root(), OtherUser: s.RunAs != ""}
}

// statusAdapter is a control.Handler for a supervisor.Group.
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

// notifySystemd reports the agents' state to systemd until done is called. Without
// systemd it does nothing.
func notifySystemd(s config.Settings, group *supervisor.Group, log *slog.Logger) (done func()) {
	notifier, err := systemd.OpenNotifier(systemd.NotifyOptions{
		Socket: s.Getenv("NOTIFY_SOCKET"), WatchdogUsec: s.Getenv("WATCHDOG_USEC"), WatchdogPid: s.Getenv("WATCHDOG_PID"), Pid: os.Getpid(),
	})
	if err != nil {
		log.Warn("Cannot notify systemd: it does not know the agent's state", "error", err)
	}
	if notifier == nil {
		return func() {}
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer notifier.Close()
		notifier.Report(ctx, statusAdapter{group}, log)
	}()
	return func() { stop(); <-ended }
}
