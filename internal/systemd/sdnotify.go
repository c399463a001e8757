// Package sdnotify tells systemd how its service does: that it is ready, that it
// stops, what it is at, and, where the unit has a watchdog, that it is alive.
//
// The protocol is lines of NAME=VALUE in one datagram to the unix socket that
// NOTIFY_SOCKET names (sd_notify(3)). It is a dozen lines of code, fewer than a
// library for it brings.
package systemd

import (
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"time"
)

// Manager is the systemd that started this process.
type Manager struct {
	socket *net.UnixConn
	// Watchdog is how long systemd waits for a sign of life before it kills the
	// process; 0 for ever.
	Watchdog time.Duration
}

// Options are what systemd sets in the environment.
type Options struct {
	Socket       string // NOTIFY_SOCKET; "" where nobody wants to know
	WatchdogUsec string // WATCHDOG_USEC
	WatchdogPid  string // WATCHDOG_PID: whom the watchdog is for; "" for whoever reads it
	Pid          int    // this process
}

// Open finds the manager; nil is that there is none. A watchdog that is another
// process's, or no number, is none.
func Open(o Options) (*Manager, error) {
	if o.Socket == "" {
		return nil, nil
	}
	socket, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: o.Socket, Net: "unixgram"}) // "@…" is an abstract one
	if err != nil {
		return nil, fmt.Errorf("cannot tell systemd how the service does: %w", err)
	}
	m := &Manager{socket: socket}
	usec, err := strconv.ParseInt(o.WatchdogUsec, 10, 64)
	if err == nil && usec > 0 && (o.WatchdogPid == "" || o.WatchdogPid == strconv.Itoa(o.Pid)) {
		m.Watchdog = time.Duration(min(usec, longestWatchdog)) * time.Microsecond
	}
	return m, nil
}

// longestWatchdog, in microseconds, still fits into a time.Duration.
const longestWatchdog = int64(math.MaxInt64 / time.Microsecond)

// The words of the protocol.
const (
	Ready    = "READY=1"
	Stopping = "STOPPING=1"
	Alive    = "WATCHDOG=1"
)

// Status is a word for what the service is at, for `systemctl status`: one line.
func Status(text string) string {
	return "STATUS=" + strings.Join(strings.Fields(text), " ")
}

// tellWithin is how long systemd may take to receive a message.
const tellWithin = time.Second

// Tell says some words at once. Where nobody listens any more that is an error,
// and no reason to stop.
func (m *Manager) Tell(words ...string) error {
	_ = m.socket.SetWriteDeadline(time.Now().Add(tellWithin)) // its queue may be full
	_, err := m.socket.Write([]byte(strings.Join(words, "\n")))
	if err != nil {
		return fmt.Errorf("cannot tell systemd how the service does: %w", err)
	}
	return nil
}

// Close lets go of the socket.
func (m *Manager) Close() error { return m.socket.Close() }
