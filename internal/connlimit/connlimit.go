// Package connlimit limits how many connections a server has open, and prefers clients that
// have sent a request.
//
// With netutil.LimitListener, new clients wait when the limit is reached. A job can open
// connections to the port and keep them open, so a probe would wait forever, and the
// platform would kill azptend. Here the server always accepts the new connection. At the
// limit it closes the oldest one that has sent nothing, or else the oldest of all. A normal
// client sends its request at once and gets the answer within milliseconds.
//
// Each connection needs a file descriptor. The limit leaves most of them to the rest of the
// process, which needs some to remove its agents.
package connlimit

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/azptend/azptend/internal/text"
)

const (
	// maxConns is the maximum number of connections of a listener.
	maxConns = 64
	// pause is the pause after a connection that is accepted at the limit. It bounds the
	// work that a flood causes. A client has pause times maxConns to send its request.
	pause = 250 * time.Microsecond
)

// Limit limits the number of open connections that a listener has accepted.
func Limit(l net.Listener) net.Listener {
	return &listener{Listener: l, maxConns: connsFor(descriptors())}
}

// connsFor is how many connections a listener may have: a quarter of the process's
// descriptors, because there may be two listeners.
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
	if surplus := l.add(c); surplus != nil {
		_ = surplus.Conn.Close() // the goroutine that serves it gets an error
		time.Sleep(pause)
	}
	return c, nil
}

// add adds c, and returns the connection to close in exchange, or nil.
func (l *listener) add(c *conn) (surplus *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) >= l.maxConns {
		i := max(0, slices.IndexFunc(l.open, func(o *conn) bool { return !o.hasSent && !hasUnread(o.Conn) }))
		surplus = l.open[i]
		l.open = slices.Delete(l.open, i, i+1)
	}
	l.open = append(l.open, c)
	return surplus
}

type conn struct {
	net.Conn
	listener *listener
	hasSent  bool // data was read from it; guarded by listener.mu
}

// Unwrap returns the connection below the wrapper that Accept returned.
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

// Listen listens on the address in a setting. The error names the setting, and may have a
// hint.
func Listen(address, setting string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err == nil {
		return l, nil
	}
	hint := ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		hint = "choose another port, or stop the process that listens there, perhaps another azptend"
	case errors.Is(err, syscall.EACCES):
		hint = "choose a port of 1024 or higher: lower ports need root"
	}
	return nil, text.WithHint(fmt.Errorf("cannot listen on %s, which is %s: %w", address, setting, err), hint)
}
