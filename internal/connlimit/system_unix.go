//go:build unix

package connlimit

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// descriptors is this process's limit of file descriptors.
func descriptors() uint64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return uint64(limit.Cur)
}

// hasUnread reports whether the client has sent data that was not read yet.
func hasUnread(c net.Conn) (is bool) {
	sc, can := c.(syscall.Conn)
	if !can {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	_ = raw.Control(func(fd uintptr) {
		n, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		is = err == nil && n > 0
	})
	return is
}
