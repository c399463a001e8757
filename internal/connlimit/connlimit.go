// Package connlimit bounds how many connections a server has open, in favour of
// those that ask something now.
//
// A probe must get its answer however many connections a job opens to the same
// port and holds. So a full server does not make newcomers wait: it closes the
// oldest connection that has said nothing, or else the oldest of all. An honest
// caller asks at once and is served within milliseconds.
//
// Each connection costs a descriptor. The bound leaves most of them to the
// process, which needs some to remove its agents.
package connlimit

import (
	"net"
	"slices"
	"sync"
	"time"
)

const (
	// maxConns is how many connections a listener has at most.
	maxConns = 64
	// pause is between two connections that a full listener accepts. It bounds the
	// work that a flood makes, and gives a caller time to ask: pause times most.
	pause = 250 * time.Microsecond
)

// Limit is l with a bound on the connections that it has accepted and that are
// not closed yet.
func Limit(l net.Listener) net.Listener {
	return &listener{Listener: l, maxConns: connsFor(descriptors())}
}

// connsFor is how many connections a listener may have in a process that may have so
// many descriptors: a quarter of them, for there may be two listeners.
func connsFor(descriptors uint64) int { return int(max(4, min(maxConns, descriptors/4))) }

type listener struct {
	net.Listener
	maxConns int

	mu   sync.Mutex
	open []*conn // the oldest first
}

func (l *listener) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: accepted, listener: l}
	if tooMany := l.add(c); tooMany != nil {
		_ = tooMany.Conn.Close() // its server finds out by itself
		time.Sleep(pause)
	}
	return c, nil
}

// add counts c, and returns the connection that must make room for it.
func (l *listener) add(c *conn) (tooMany *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) >= l.maxConns {
		i := max(0, slices.IndexFunc(l.open, func(o *conn) bool { return !o.hasSent && !hasUnread(o.Conn) }))
		tooMany = l.open[i]
		l.open = slices.Delete(l.open, i, i+1)
	}
	l.open = append(l.open, c)
	return tooMany
}

type conn struct {
	net.Conn
	listener *listener
	hasSent  bool // something was read from it; of.mu
}

// Unwrap returns the connection that a Listener's Accept has wrapped.
func Unwrap(c net.Conn) net.Conn {
	if wrapped, is := c.(*conn); is {
		return wrapped.Conn
	}
	return c
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.listener.mu.Lock()
		c.hasSent = true
		c.listener.mu.Unlock()
	}
	return n, err
}

func (c *conn) Close() error {
	c.listener.mu.Lock()
	if i := slices.Index(c.listener.open, c); i >= 0 {
		c.listener.open = slices.Delete(c.listener.open, i, i+1)
	}
	c.listener.mu.Unlock()
	return c.Conn.Close()
}
