//go:build unix && !linux

package control

import (
	"net"
	"os"
)

// peerUser is not known outside Linux. There only the directory's mode keeps other users out.
func peerUser(*net.UnixConn) (int, error) { return os.Geteuid(), nil }

// shortPath is the directory's own path, which must not be too long here.
func shortPath(f *socketDir) string { return f.path }
