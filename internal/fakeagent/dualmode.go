//go:build unix

package fakeagent

import (
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// dialDualMode connects to an IPv4 address from an IPv6 socket, as .NET's
// new Socket(SocketType.Stream, ProtocolType.Tcp) does in the real listener's
// JobNotification: whoever looks for our end of the connection finds it among
// the IPv6 ones.
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
