//go:build unix && !linux

package control

import (
	"net"
	"os"
	"path/filepath"
)

// peerUser is not asked for outside Linux: there the folder's mode alone keeps
// other users out.
func peerUser(*net.UnixConn) (int, error) { return os.Geteuid(), nil }

// socket is the socket's own path: too long a one cannot be opened here.
func (f *socketDir) socket() string { return filepath.Join(f.path, socketName) }
