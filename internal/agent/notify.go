package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"time"
)

// Notice is something the listener said on its notification socket.
type Notice struct {
	Started bool   // "Starting job", else "Finished job"
	Job     string // the job's id, a GUID
}

// notice matches one notice. The listener writes them one after the other with
// nothing between them (agent-protocol.md 5.6), so it is the GUID that ends one.
var notice = regexp.MustCompile(`(Starting|Finished) job: ([0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12})`)

// longestNotice is how much of a stream without a notice in it is kept: what is
// before the last so many bytes cannot be part of one.
const longestNotice = len("Finished job: ") + 36

// parseNotices takes all whole notices off the front of buf, and returns what is
// left.
func parseNotices(buf []byte) (found []Notice, rest []byte) {
	rest = buf
	for {
		at := notice.FindSubmatchIndex(rest)
		if at == nil {
			break
		}
		found = append(found, Notice{
			Started: string(rest[at[2]:at[3]]) == "Starting",
			Job:     string(rest[at[4]:at[5]]),
		})
		rest = rest[at[1]:]
	}
	if len(rest) > longestNotice {
		rest = rest[len(rest)-longestNotice:]
	}
	return found, rest
}

// ReadNotices reads notices until the stream ends, and returns why it did; io.EOF
// is told as nil.
func ReadNotices(r io.Reader, tell func(Notice)) error {
	var rest []byte
	chunk := make([]byte, 512)
	for {
		n, err := r.Read(chunk)
		var found []Notice
		found, rest = parseNotices(append(rest, chunk[:n]...))
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

// NotificationPort is where the listener connects to tell about its jobs. A job
// could connect too and lie, so it is open only until the listener has come.
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

// alreadyHere is what taking a connection that is waiting to be taken may cost: a
// deadline in the past would not even look.
const alreadyHere = 5 * time.Millisecond

// Accept waits for the listener and closes the port behind it. Whoever else
// connects first is turned away: isListener tells them apart, by the two ends of
// the connection as we see them. Who has connected by the time that ctx ends is
// still looked at.
func (p *NotificationPort) Accept(ctx context.Context, isListener func(ours, theirs netip.AddrPort) bool) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() { _ = p.listener.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	defer p.Close()
	last := false
	for {
		conn, err := p.listener.Accept()
		if err != nil && ctx.Err() != nil && !last {
			last = true
			_ = p.listener.SetDeadline(time.Now().Add(alreadyHere))
			continue
		}
		if err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return nil, fmt.Errorf("the listener did not connect to the notification port: %w", err)
		}
		ours, theirs := conn.LocalAddr().(*net.TCPAddr).AddrPort(), conn.RemoteAddr().(*net.TCPAddr).AddrPort()
		if isListener(ours, theirs) {
			return conn, nil
		}
		conn.Close()
	}
}
