package cli

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/supervisor"
	"github.com/azptend/azptend/internal/systemd"
)

// notifySystemd tells systemd how the lives go, until done is called: ready when each
// agent listens for jobs, stopping when all have ended, and, for the unit's
// watchdog, that the loop answers. Without systemd it does nothing.
func notifySystemd(s config.Settings, lines supervisor.Group, log *slog.Logger) (done func()) {
	manager, err := systemd.OpenNotifier(systemd.NotifyOptions{
		Socket: s.Getenv("NOTIFY_SOCKET"), WatchdogUsec: s.Getenv("WATCHDOG_USEC"), WatchdogPid: s.Getenv("WATCHDOG_PID"), Pid: os.Getpid(),
	})
	if err != nil {
		log.Warn("systemd will not know how the agent does", "error", err)
	}
	if manager == nil {
		return func() {}
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer manager.Close()
		n := systemdReporter{lines, manager, log, false}
		n.follow(ctx)
		// No sooner: from this word on systemd waits for no longer than TimeoutStopSec
		// (service_enter_stop_by_notify in its service.c), and a job that is finished
		// for a limit, a person or a notice may take longer.
		_ = manager.Notify(systemd.Stopping)
	}()
	return func() { stop(); <-ended }
}

// systemdReporter is the lives' voice to systemd.
type systemdReporter struct {
	lines         supervisor.Group
	notifier      *systemd.Notifier
	log           *slog.Logger
	failureLogged bool // a failure to tell was said
}

// follow tells each phase, and at least twice in each of the watchdog's periods
// that the loop lives: its own answer is the sign, so one that is stuck gives
// none.
func (n *systemdReporter) follow(ctx context.Context) {
	var phase lifecycle.Phase
	for {
		look, cancel := ctx, func() {}
		if w := n.notifier.WatchdogTimeout; w > 0 {
			look, cancel = context.WithTimeout(ctx, w/3)
		}
		s, err := n.lines.Next(look, phase)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err != nil { // the phase lasts: does the loop?
			if s, err = n.status(ctx); err != nil {
				continue
			}
		}
		n.notify(s, phase)
		phase = s.Phase
		if s.End != nil {
			return
		}
	}
}

// status is the life's own word, within the watchdog's patience.
func (n *systemdReporter) status(ctx context.Context) (supervisor.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, max(n.notifier.WatchdogTimeout/3, time.Second))
	defer cancel()
	return n.lines.Status(ctx)
}

func (n *systemdReporter) notify(s supervisor.Snapshot, before lifecycle.Phase) {
	words := []string{systemd.WatchdogPing}
	if s.Phase != before {
		words = append(words, systemd.Status(string(s.Phase)+": agent "+s.Agent+" in pool "+s.Pool))
		if s.Ready() {
			words = append(words, systemd.Ready)
		}
	}
	if err := n.notifier.Notify(words...); err != nil && !n.failureLogged {
		n.failureLogged = true
		n.log.Warn("systemd does not know how the agent does", "error", err)
	}
}
