//go:build unix

package connlimit

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// descriptors is how many this process may have.
func descriptors() uint64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return uint64(limit.Cur)
}

// hasUnread says whether something was sent that nobody has read yet. A caller who
// has left has not.
func hasUnread(c net.Conn) (is bool) {
	over, can := c.(syscall.Conn)
	if !can {
		return false
	}
	raw, err := over.SyscallConn()
	if err != nil {
		return false
	}
	_ = raw.Control(func(fd uintptr) {
		n, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		is = err == nil && n > 0
	})
	return is
}
