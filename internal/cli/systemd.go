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

// tellSystemd tells systemd how the lives go, until done is called: ready when each
// agent listens for jobs, stopping when all have ended, and, for the unit's
// watchdog, that the loop answers. Without systemd it does nothing.
func tellSystemd(s config.Settings, lines supervisor.Group, log *slog.Logger) (done func()) {
	manager, err := systemd.Open(systemd.Options{
		Socket: s.Variable("NOTIFY_SOCKET"), WatchdogUsec: s.Variable("WATCHDOG_USEC"), WatchdogPid: s.Variable("WATCHDOG_PID"), Pid: os.Getpid(),
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
		n := notifier{lines, manager, log, false}
		n.follow(ctx)
		// No sooner: from this word on systemd waits for no longer than TimeoutStopSec
		// (service_enter_stop_by_notify in its service.c), and a job that is finished
		// for a limit, a person or a notice may take longer.
		_ = manager.Tell(systemd.Stopping)
	}()
	return func() { stop(); <-ended }
}

// notifier is the lives' voice to systemd.
type notifier struct {
	lines   supervisor.Group
	manager *systemd.Manager
	log     *slog.Logger
	mute    bool // a failure to tell was said
}

// follow tells each phase, and at least twice in each of the watchdog's periods
// that the loop lives: its own answer is the sign, so one that is stuck gives
// none.
func (n *notifier) follow(ctx context.Context) {
	var phase lifecycle.Phase
	for {
		look, cancel := ctx, func() {}
		if w := n.manager.Watchdog; w > 0 {
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
		n.tell(s, phase)
		phase = s.Phase
		if s.End != nil {
			return
		}
	}
}

// status is the life's own word, within the watchdog's patience.
func (n *notifier) status(ctx context.Context) (supervisor.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, max(n.manager.Watchdog/3, time.Second))
	defer cancel()
	return n.lines.Status(ctx)
}

func (n *notifier) tell(s supervisor.Snapshot, before lifecycle.Phase) {
	words := []string{systemd.Alive}
	if s.Phase != before {
		words = append(words, systemd.Status(string(s.Phase)+": agent "+s.Agent+" in pool "+s.Pool))
		if s.Ready() {
			words = append(words, systemd.Ready)
		}
	}
	if err := n.manager.Tell(words...); err != nil && !n.mute {
		n.mute = true
		n.log.Warn("systemd does not know how the agent does", "error", err)
	}
}
