// Package systemd talks to systemd: it tells the service manager the state of the
// service (sd_notify), and it writes the unit file of an agent on a machine.
//
// The protocol of sd_notify(3) is lines of NAME=VALUE in one datagram to the Unix
// socket that NOTIFY_SOCKET names. That is a dozen lines of code, fewer than a
// library needs.
package systemd

import (
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"time"
)

// Notifier is the systemd that started this process.
type Notifier struct {
	socket *net.UnixConn
	// WatchdogTimeout is how long systemd waits for a sign of life before it kills the
	// process; 0 for ever.
	WatchdogTimeout time.Duration
}

// NotifyOptions are what systemd sets in the environment.
type NotifyOptions struct {
	Socket       string // NOTIFY_SOCKET; "" where nobody wants to know
	WatchdogUsec string // WATCHDOG_USEC
	WatchdogPid  string // WATCHDOG_PID: whom the watchdog is for; "" for whoever reads it
	Pid          int    // this process
}

// OpenNotifier finds the manager; nil is that there is none. A watchdog that is another
// process's, or no number, is none.
func OpenNotifier(o NotifyOptions) (*Notifier, error) {
	if o.Socket == "" {
		return nil, nil
	}
	socket, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: o.Socket, Net: "unixgram"}) // "@…" is an abstract one
	if err != nil {
		return nil, fmt.Errorf("cannot tell systemd how the service does: %w", err)
	}
	m := &Notifier{socket: socket}
	usec, err := strconv.ParseInt(o.WatchdogUsec, 10, 64)
	if err == nil && usec > 0 && (o.WatchdogPid == "" || o.WatchdogPid == strconv.Itoa(o.Pid)) {
		m.WatchdogTimeout = time.Duration(min(usec, maxWatchdogUsec)) * time.Microsecond
	}
	return m, nil
}

// maxWatchdogUsec, in microseconds, still fits into a time.Duration.
const maxWatchdogUsec = int64(math.MaxInt64 / time.Microsecond)

// The words of the protocol.
const (
	Ready        = "READY=1"
	Stopping     = "STOPPING=1"
	WatchdogPing = "WATCHDOG=1"
)

// Status is a word for what the service is at, for `systemctl status`: one line.
func Status(text string) string {
	return "STATUS=" + strings.Join(strings.Fields(text), " ")
}

// writeTimeout is how long systemd may take to receive a message.
const writeTimeout = time.Second

// Notify says some words at once. Where nobody listens any more that is an error,
// and no reason to stop.
func (m *Notifier) Notify(lines ...string) error {
	_ = m.socket.SetWriteDeadline(time.Now().Add(writeTimeout)) // its queue may be full
	_, err := m.socket.Write([]byte(strings.Join(lines, "\n")))
	if err != nil {
		return fmt.Errorf("cannot tell systemd how the service does: %w", err)
	}
	return nil
}

// Close lets go of the socket.
func (m *Notifier) Close() error { return m.socket.Close() }
