//go:build unix && !linux

package control

import (
	"net"
	"os"
)

// peerUser is not asked for outside Linux: there the folder's mode alone keeps
// other users out.
func peerUser(*net.UnixConn) (int, error) { return os.Geteuid(), nil }

// shortPath is the folder's own path: too long a one cannot be opened here.
func shortPath(f *socketDir) string { return f.path }
