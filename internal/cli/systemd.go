//go:build unix

package cli

import (
	"context"
	"log/slog"
	"os"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/supervisor"
	"github.com/azptend/azptend/internal/systemd"
)

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
