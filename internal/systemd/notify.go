// Package systemd reports the state of the service to systemd (sd_notify), and makes the unit
// file for an agent on a machine.
//
// The protocol of sd_notify(3) is lines of NAME=VALUE in one datagram to the Unix socket in
// NOTIFY_SOCKET. That is a dozen lines of code, so there is no library for it.
package systemd

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/control"
)

// Notifier sends messages to the systemd that started this process.
type Notifier struct {
	*net.UnixConn
	// WatchdogTimeout is how long systemd waits for a ping before it kills the process; 0: there
	// is no watchdog.
	WatchdogTimeout time.Duration
}

// NotifyOptions are the variables that systemd sets.
type NotifyOptions struct {
	Socket       string // NOTIFY_SOCKET; "": systemd expects no messages
	WatchdogUsec string // WATCHDOG_USEC
	WatchdogPid  string // WATCHDOG_PID: the process that the watchdog is for; "" for any
	Pid          int    // this process
}

// OpenNotifier connects to systemd. It returns nil if systemd expects no messages. A
// watchdog for another process, or with a value that is not a number, is ignored.
func OpenNotifier(o NotifyOptions) (*Notifier, error) {
	if o.Socket == "" {
		return nil, nil
	}
	socket, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: o.Socket, Net: "unixgram"}) // "@…" is an abstract socket
	if err != nil {
		return nil, fmt.Errorf("cannot notify systemd: %w", err)
	}
	m := &Notifier{UnixConn: socket}
	usec, err := strconv.ParseInt(o.WatchdogUsec, 10, 64)
	if err == nil && usec > 0 && (o.WatchdogPid == "" || o.WatchdogPid == strconv.Itoa(o.Pid)) {
		m.WatchdogTimeout = time.Duration(min(usec, maxWatchdogUsec)) * time.Microsecond
	}
	return m, nil
}

// maxWatchdogUsec is the largest value that fits into a time.Duration.
const maxWatchdogUsec = int64(math.MaxInt64 / time.Microsecond)

// The messages of the protocol.
const (
	Ready        = "READY=1"
	Stopping     = "STOPPING=1"
	WatchdogPing = "WATCHDOG=1"
)

// Status is the line that `systemctl status` shows.
func Status(text string) string {
	return "STATUS=" + strings.Join(strings.Fields(text), " ")
}

// writeTimeout is how long systemd may take to receive a message: its queue may be full.
const writeTimeout = time.Second

// Notify sends messages in one datagram.
func (m *Notifier) Notify(lines ...string) error {
	_ = m.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := m.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		return fmt.Errorf("cannot notify systemd: %w", err)
	}
	return nil
}

// Agents returns the status of the agents of this process.
type Agents interface {
	Status(ctx context.Context) (control.Status, error)
	Next(ctx context.Context, phase string) (control.Status, error) // waits for another phase
}

// Start reports the agents' state to systemd until done is called. Without systemd it does
// nothing.
func Start(o NotifyOptions, agents Agents, log *slog.Logger) (done func()) {
	notifier, err := OpenNotifier(o)
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
		notifier.Report(ctx, agents, log)
	}()
	return func() { stop(); <-ended }
}

// Report sends the state of the agents until they have ended or ctx ends: each phase,
// Ready once every agent listens for jobs, and at least two pings in each period of the
// watchdog. A ping needs an answer from the agents' loop, so a stuck loop sends none.
func (m *Notifier) Report(ctx context.Context, agents Agents, log *slog.Logger) {
	// Stopping must be sent last: after it, systemd waits only for TimeoutStopSec
	// (service_enter_stop_by_notify in its service.c). A job may take longer if the drain was
	// not started by systemd.
	defer func() { _ = m.Notify(Stopping) }()
	phase, failureLogged := "", false
	for {
		s, err := m.next(ctx, agents, phase)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			continue
		}
		lines := []string{WatchdogPing}
		if s.Phase != phase {
			lines = append(lines, Status(s.Phase+": agent "+s.Agent+" in pool "+s.Pool))
			if s.Ready {
				lines = append(lines, Ready)
			}
		}
		if err := m.Notify(lines...); err != nil && !failureLogged {
			failureLogged = true
			log.Warn("Cannot notify systemd: it does not know the agent's state", "error", err)
		}
		if phase = s.Phase; s.End != nil {
			return
		}
	}
}

// next waits for another phase, but not longer than the watchdog allows: then it asks the loop
// for its state.
func (m *Notifier) next(ctx context.Context, agents Agents, phase string) (control.Status, error) {
	wait, cancel := ctx, func() {}
	if w := m.WatchdogTimeout; w > 0 {
		wait, cancel = context.WithTimeout(ctx, w/3)
	}
	s, err := agents.Next(wait, phase)
	cancel()
	if err == nil || ctx.Err() != nil {
		return s, err
	}
	ctx, cancel = context.WithTimeout(ctx, max(m.WatchdogTimeout/3, time.Second))
	defer cancel()
	return agents.Status(ctx)
}
