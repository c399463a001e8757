//go:build unix && !linux

package control

import (
	"net"
	"os"
	"path/filepath"
)

// peerUser is not known outside Linux. There only the directory's mode keeps other users out.
func peerUser(*net.UnixConn) (int, error) { return os.Geteuid(), nil }

// socket is the socket's own path, which must not be too long here.
func (f *socketDir) socket() string { return filepath.Join(f.path, socketName) }
