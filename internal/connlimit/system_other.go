//go:build !unix

package connlimit

import (
	"math"
	"net"
)

func descriptors() uint64 { return math.MaxUint64 }

func hasUnread(net.Conn) bool { return false }
