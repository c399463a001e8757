package fakeagent

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// notifyTimeout bounds one write, so that a reader that does not read cannot stop a job.
const notifyTimeout = 10 * time.Second

// notifier sends notifications of the start and the end of a job to the address in .agent
// (5.6). They have no delimiter. Errors are logged, and do not stop the listener.
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

// dialIPv4 accepts only an IPv4 literal and a port (5.6).
func dialIPv4(ctx context.Context, address string) (net.Conn, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !at.Addr().Is4() {
		return nil, fmt.Errorf("%q is no IPv4 literal and port", address)
	}
	if conn, err := dialDualMode(at); err == nil {
		return conn, nil
	}
	return (&net.Dialer{Timeout: notifyTimeout}).DialContext(ctx, "tcp4", address) // the system has no IPv6
}

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

// dialDualMode connects to an IPv4 address from an IPv6 socket, as .NET's
// new Socket(SocketType.Stream, ProtocolType.Tcp) does in the real listener's JobNotification.
// Its end of the connection is in the kernel's table of IPv6 connections.
func dialDualMode(to netip.AddrPort) (net.Conn, error) {
	syscall.ForkLock.RLock()
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, err
	}
	socket := os.NewFile(uintptr(fd), "notification socket")
	defer socket.Close()
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0); err != nil {
		return nil, err
	}
	mapped := unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
	if err := unix.Connect(fd, &mapped); err != nil {
		return nil, err
	}
	return net.FileConn(socket)
}

// perf is the directory in VSTS_AGENT_PERFLOG, in which counters are written (5.6): lines
// "Name:ISO8601" in Agent.perf. If it is empty, none are written. Errors are ignored.
type perf string

func (p perf) count(name string) {
	if p == "" {
		return
	}
	if err := os.MkdirAll(string(p), 0o755); err != nil {
		return
	}
	f, err := os.OpenFile(filepath.Join(string(p), "Agent.perf"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return
	}
	defer f.Close()
	fmt.Fprintf(f, "%s:%s\n", name, jsonTime(time.Now()))
}
