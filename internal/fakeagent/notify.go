//go:build unix

package fakeagent

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/netip"
	"time"
)

// notifyTimeout bounds one write: a reader that does not read must not stop a
// job.
const notifyTimeout = 10 * time.Second

// notifier tells the address in .agent when a job starts and ends (5.6). Frames
// have no delimiter, and no error stops the listener: they are only logged.
type notifier struct {
	conn net.Conn
	log  *log.Logger
}

// connectNotifier connects once.
func connectNotifier(ctx context.Context, address string, l *log.Logger) *notifier {
	n := &notifier{log: l}
	if address == "" {
		return n
	}
	conn, err := dialIPv4(ctx, address)
	if err != nil {
		l.Printf("cannot connect to the notification socket: %v", err)
		return n
	}
	n.conn = conn
	return n
}

// dialIPv4 takes an IPv4 literal and a port, nothing else (5.6).
func dialIPv4(ctx context.Context, address string) (net.Conn, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !at.Addr().Is4() {
		return nil, fmt.Errorf("%q is no IPv4 literal and port", address)
	}
	if conn, err := dialDualMode(at); err == nil {
		return conn, nil
	}
	return (&net.Dialer{Timeout: notifyTimeout}).DialContext(ctx, "tcp4", address) // a system without IPv6
}

func (n *notifier) jobStarted(id string)  { n.send("Starting job: " + id) }
func (n *notifier) jobFinished(id string) { n.send("Finished job: " + id) }

func (n *notifier) send(frame string) {
	if n.conn == nil {
		return
	}
	_ = n.conn.SetWriteDeadline(time.Now().Add(notifyTimeout))
	if _, err := n.conn.Write([]byte(frame)); err != nil {
		n.log.Printf("cannot write to the notification socket: %v", err)
	}
}

func (n *notifier) close() {
	if n.conn != nil {
		n.conn.Close()
	}
}
