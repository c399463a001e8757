package agentdir

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

// Notification is something the listener said on its notification socket.
type Notification struct {
	Started bool   // "Starting job", else "Finished job"
	Job     string // the job's id, a GUID
}

// notificationPattern matches one notice. The listener writes them one after the other with
// nothing between them (agent-protocol.md 5.6), so it is the GUID that ends one.
var notificationPattern = regexp.MustCompile(`(Starting|Finished) job: ([0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12})`)

// maxNotificationLength is how much of a stream without a notice in it is kept: what is
// before the last so many bytes cannot be part of one.
const maxNotificationLength = len("Finished job: ") + 36

// parseNotifications takes all whole notices off the front of buf, and returns what is
// left.
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

// ReadNotifications reads notices until the stream ends, and returns why it did; io.EOF
// is told as nil.
func ReadNotifications(r io.Reader, tell func(Notification)) error {
	var rest []byte
	chunk := make([]byte, 512)
	for {
		n, err := r.Read(chunk)
		var found []Notification
		found, rest = parseNotifications(append(rest, chunk[:n]...))
		for _, f := range found {
			tell(f)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot read the notification socket: %w", err)
		}
	}
}

// NotificationPort is where the listener connects to tell about its jobs. It does
// so after its session exists and before it first polls for messages, and in
// between it asks its server for feature flags, for as long as that takes
// (agent-protocol.md, corrections, 5.6). Anybody on the machine can connect in the
// meantime, so what others say is not even read.
type NotificationPort struct{ listener *net.TCPListener }

// OpenNotificationPort opens a port on the loopback interface.
func OpenNotificationPort() (*NotificationPort, error) {
	l, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		return nil, fmt.Errorf("cannot open the notification port: %w", err)
	}
	return &NotificationPort{l}, nil
}

// Address is the port's address, in the form of .agent.
func (p *NotificationPort) Address() string { return p.listener.Addr().String() }

// Close closes the port; a connection that was accepted lives on.
func (p *NotificationPort) Close() error { return p.listener.Close() }

const (
	// pendingWait is what taking a connection that waits to be taken may cost: a
	// deadline in the past would not even look.
	pendingWait = 5 * time.Millisecond
	// drainPendingWithin bounds the looks at those that wait. The system lets 4096 wait.
	drainPendingWithin = 10 * time.Second
)

// maxBatch is how many connections are looked at together.
const maxBatch = 256

// Accept waits for the listener and closes the port behind it. Others are turned
// away at once, so that they hold nothing and keep nobody out, however many they
// are and however fast they come. Whose says which of some connections is the
// listener's, by the two ends as we see them; -1 is none. Once last is closed,
// those that have connected by then are looked at, and nobody is waited for.
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
	go p.stopWaitingAfter(done, listenerEnded)
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

// pendingWith are the first and those that are there with it.
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

// selectListener returns the listener's connection, if it is one of them. The others are
// turned away.
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

// reject closes a connection so that nothing of it stays in the system.
func reject(conn *net.TCPConn) {
	_ = conn.SetLinger(0)
	conn.Close()
}

// stopWaitingAfter ends the waiting for connections once last is closed.
func (p *NotificationPort) stopWaitingAfter(done, listenerEnded <-chan struct{}) {
	select {
	case <-listenerEnded:
		_ = p.listener.SetDeadline(time.Unix(1, 0))
	case <-done:
	}
}

// accept hands on who connects, until the port is closed. After wakeUp it takes
// those who have connected by then, and ends.
func (p *NotificationPort) accept(accepted chan<- *net.TCPConn, done <-chan struct{}) {
	defer close(accepted)
	var until time.Time // of the last looks; zero before them
	for {
		conn, err := p.listener.AcceptTCP()
		switch {
		case err == nil:
			accepted <- conn
		case errors.Is(err, net.ErrClosed), !until.IsZero():
			return
		case errors.Is(err, os.ErrDeadlineExceeded): // wakeUp
			until = time.Now().Add(drainPendingWithin)
		default: // a machine that has no descriptor to spare now may have one later
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
		_ = p.listener.SetDeadline(soon)
	}
}

// ErrNotConnected says that the listener had not connected when it ended.
var ErrNotConnected = errors.New("none of the connections is the listener's")

// acceptPause is between two tries to accept that fail.
const acceptPause = 100 * time.Millisecond
