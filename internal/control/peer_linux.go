package control

import (
	"net"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// peerUser is the user at the other end when the connection was made. For a server it is the
// user when it began to listen.
func peerUser(c *net.UnixConn) (int, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var peer *unix.Ucred
	var asked error
	if err := raw.Control(func(fd uintptr) {
		peer, asked = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if asked != nil {
		return 0, asked
	}
	return int(peer.Uid), nil
}

// socket is a short path of the socket. A process may use its own /proc/self/fd even if it is
// undumpable (fs/proc/fd.c, proc_fd_permission).
func (f *socketDir) socket() string {
	return filepath.Join("/proc/self/fd", strconv.Itoa(int(f.file.Fd())), socketName)
}
