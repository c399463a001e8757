package mslistener

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"regexp"
	"time"
)

// Notification is what the listener sends on its notification socket.
type Notification struct {
	Started bool   // "Starting job", otherwise "Finished job"
	Job     string // the job's id, a GUID
}

// notificationPattern matches one notification. The listener writes no separator between
// notifications (agent-protocol.md 5.6): each ends with the GUID.
var notificationPattern = regexp.MustCompile(`(Starting|Finished) job: ([0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12})`)

// maxNotificationLength is the length of the longest notification. Of text without a
// notification, only this many bytes at the end can be the beginning of one.
const maxNotificationLength = len("Finished job: ") + 36

// parseNotifications returns the complete notifications in buf, and the text after the last.
func parseNotifications(buf []byte) (found []Notification, rest []byte) {
	rest = buf
	for {
		at := notificationPattern.FindSubmatchIndex(rest)
		if at == nil {
			break
		}
		found = append(found, Notification{
			Started: string(rest[at[2]:at[3]]) == "Starting",
			Job:     string(rest[at[4]:at[5]]),
		})
		rest = rest[at[1]:]
	}
	if len(rest) > maxNotificationLength {
		rest = rest[len(rest)-maxNotificationLength:]
	}
	return found, rest
}

// ReadNotifications reads until the stream ends, and returns why it ended; nil is
// io.EOF.
func ReadNotifications(r io.Reader, report func(Notification)) error {
	var rest []byte
	chunk := make([]byte, 512)
	for {
		n, err := r.Read(chunk)
		var found []Notification
		found, rest = parseNotifications(append(rest, chunk[:n]...))
		for _, f := range found {
			report(f)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot read the notification socket: %w", err)
		}
	}
}

// NotificationPort is where the listener connects to report its jobs. It connects after its
// session exists and before it first polls for messages. In between it asks the server for
// feature flags, which can take long (agent-protocol.md, corrections, 5.6). Any process on
// the machine can connect, so only data of the listener's own connection is read.
type NotificationPort struct{ *net.TCPListener }

// OpenPort opens a port on the loopback interface.
func (Files) OpenPort() (Port, error) {
	l, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		return nil, fmt.Errorf("cannot open the notification port: %w", err)
	}
	return &NotificationPort{l}, nil
}

const (
	// pendingWait is how long accept waits for a connection that is pending. With a
	// deadline in the past, AcceptTCP would not check for one.
	pendingWait = 5 * time.Millisecond
	// drainPendingWithin bounds the check of all pending connections. The kernel holds
	// up to 4096.
	drainPendingWithin = 10 * time.Second
	// maxBatch is how many connections are checked together.
	maxBatch = 256
	// acceptPause is the pause after an accept that failed.
	acceptPause = 100 * time.Millisecond
)

// ErrNotConnected says that the listener had not connected when it exited.
var ErrNotConnected = errors.New("none of the connections is the listener's")

// Accept waits for the listener's connection, and then closes the port. It closes other
// connections at once, so that they use no resources and do not delay the listener.
// identify returns which of several connections is the listener's, by the addresses of both
// ends; -1 is none. Once listenerEnded is closed, Accept only checks the connections that
// exist then.
func (p *NotificationPort) Accept(ctx context.Context, listenerEnded <-chan struct{}, identify func(ours netip.AddrPort, theirs []netip.AddrPort) int) (net.Conn, error) {
	accepted := make(chan *net.TCPConn, maxBatch)
	done := make(chan struct{})
	defer func() {
		close(done)
		p.Close()
		for conn := range accepted {
			reject(conn)
		}
	}()
	go p.stopWaitingAfter(listenerEnded, done)
	go p.accept(accepted, done)
	for {
		var first *net.TCPConn
		var open bool
		select {
		case first, open = <-accepted:
		case <-ctx.Done():
			return nil, fmt.Errorf("the listener did not connect to the notification port: %w", context.Cause(ctx))
		}
		if !open {
			return nil, fmt.Errorf("the listener did not connect to the notification port: %w", ErrNotConnected)
		}
		if conn := selectListener(pendingWith(first, accepted), identify); conn != nil {
			return conn, nil
		}
	}
}

// pendingWith returns the first connection and further ones that are pending.
func pendingWith(first *net.TCPConn, accepted <-chan *net.TCPConn) []*net.TCPConn {
	all := []*net.TCPConn{first}
	for len(all) < maxBatch {
		select {
		case conn, open := <-accepted:
			if !open {
				return all
			}
			all = append(all, conn)
		default:
			return all
		}
	}
	return all
}

// selectListener returns the listener's connection if it is one of these, and closes the
// others.
func selectListener(conns []*net.TCPConn, identify func(ours netip.AddrPort, theirs []netip.AddrPort) int) net.Conn {
	var theirs []netip.AddrPort
	for _, conn := range conns {
		theirs = append(theirs, conn.RemoteAddr().(*net.TCPAddr).AddrPort())
	}
	at := identify(conns[0].LocalAddr().(*net.TCPAddr).AddrPort(), theirs)
	for i, conn := range conns {
		if i != at {
			reject(conn)
		}
	}
	if at < 0 {
		return nil
	}
	return conns[at]
}

// reject closes a connection with RST, so that no TIME_WAIT entry stays in the kernel.
func reject(conn *net.TCPConn) {
	_ = conn.SetLinger(0)
	conn.Close()
}

// stopWaitingAfter ends the wait for connections once listenerEnded is closed.
func (p *NotificationPort) stopWaitingAfter(listenerEnded, done <-chan struct{}) {
	select {
	case <-listenerEnded:
		_ = p.TCPListener.SetDeadline(time.Unix(1, 0))
	case <-done:
	}
}

// accept passes on connections until the port is closed. After stopWaitingAfter it passes
// on those that exist then, and returns.
func (p *NotificationPort) accept(accepted chan<- *net.TCPConn, done <-chan struct{}) {
	defer close(accepted)
	var until time.Time // of the check of pending connections; zero before that
	for {
		conn, err := p.TCPListener.AcceptTCP()
		switch {
		case err == nil:
			accepted <- conn
		case errors.Is(err, net.ErrClosed), !until.IsZero():
			return
		case errors.Is(err, os.ErrDeadlineExceeded): // stopWaitingAfter
			until = time.Now().Add(drainPendingWithin)
		default: // for example, no file descriptor is free: try again
			select {
			case <-time.After(acceptPause):
			case <-done:
			}
		}
		if until.IsZero() {
			continue
		}
		soon := time.Now().Add(pendingWait)
		if soon.After(until) {
			return
		}
		_ = p.TCPListener.SetDeadline(soon)
	}
}
