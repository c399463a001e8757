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
	// most is how many connections a listener has at most.
	most = 64
	// pause is between two connections that a full listener accepts. It bounds the
	// work that a flood makes, and gives a caller time to ask: pause times most.
	pause = 250 * time.Microsecond
)

// Listener is l with a bound on the connections that it has accepted and that are
// not closed yet.
func Listener(l net.Listener) net.Listener {
	return &listener{Listener: l, most: within(descriptors())}
}

// within is how many connections a listener may have in a process that may have so
// many descriptors: a quarter of them, for there may be two listeners.
func within(descriptors uint64) int { return int(max(4, min(most, descriptors/4))) }

type listener struct {
	net.Listener
	most int

	mu   sync.Mutex
	open []*conn // the oldest first
}

func (l *listener) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: accepted, of: l}
	if tooMany := l.enter(c); tooMany != nil {
		_ = tooMany.Conn.Close() // its server finds out by itself
		time.Sleep(pause)
	}
	return c, nil
}

// enter counts c, and returns the connection that must make room for it.
func (l *listener) enter(c *conn) (tooMany *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) >= l.most {
		i := max(0, slices.IndexFunc(l.open, func(o *conn) bool { return !o.asked && !hasAsked(o.Conn) }))
		tooMany = l.open[i]
		l.open = slices.Delete(l.open, i, i+1)
	}
	l.open = append(l.open, c)
	return tooMany
}

type conn struct {
	net.Conn
	of    *listener
	asked bool // something was read from it; of.mu
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
		c.of.mu.Lock()
		c.asked = true
		c.of.mu.Unlock()
	}
	return n, err
}

func (c *conn) Close() error {
	c.of.mu.Lock()
	if i := slices.Index(c.of.open, c); i >= 0 {
		c.of.open = slices.Delete(c.of.open, i, i+1)
	}
	c.of.mu.Unlock()
	return c.Conn.Close()
}
