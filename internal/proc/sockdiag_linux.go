package proc

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// sockDiag asks the kernel for the sockets of single connections, as ss does
// (sock_diag(7)). Unlike /proc/net/tcp, whose reading takes a tenth of a second
// where thousands of connections were closed lately, that is one look-up in one
// moment.
type sockDiag struct{ fd int }

func openSockDiag() (sockDiag, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return sockDiag{}, err
	}
	patience := unix.NsecToTimeval(int64(time.Second))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience); err != nil {
		unix.Close(fd)
		return sockDiag{}, err
	}
	return sockDiag{fd}, nil
}

func (d sockDiag) close() { unix.Close(d.fd) }

// diagAnswers says that the kernel has answered about some socket: one without
// tcp_diag, and gVisor, say of each that it is not there.
var diagAnswers atomic.Bool

// inode is the socket of a connection, "" where there is none any more. Answered is
// false where the kernel has no answer to such questions.
func (d sockDiag) inode(local, remote netip.AddrPort) (inode string, answered bool) {
	local, remote = unmapped(local), unmapped(remote)
	if !local.Addr().Is4() || !remote.Addr().Is4() {
		return "", false
	}
	if inode, found := d.query(local, remote); found {
		return inode, true
	}
	if !diagAnswers.Load() { // our own end is there, or who listens at it
		d.query(remote, local)
	}
	return "", diagAnswers.Load()
}

func (d sockDiag) query(local, remote netip.AddrPort) (inode string, found bool) {
	if err := unix.Sendto(d.fd, diagRequest(socketID(local, remote)), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return "", false
	}
	answer := make([]byte, 4096) // one socket is some hundred bytes
	n, _, err := unix.Recvfrom(d.fd, answer, 0)
	if err != nil {
		return "", false
	}
	return diagInode(answer[:n], local, remote)
}

// The kernel's answer is an inet_diag_msg (linux/inet_diag.h).
const (
	diagID      = 4                         // family, state, timer, retransmissions
	diagEnds    = 2 + 2 + 16 + 16           // of the inet_diag_sockid: the two ports and addresses
	diagIDSize  = diagEnds + 4 + 8          // with the interface and the cookie
	diagInodeAt = diagID + diagIDSize + 4*4 // after expiry, queues and user
)

// socketID is both ends of a connection as inet_diag_sockid has them: in network
// byte order, whatever the machine's. An IPv4 address is the first four of sixteen
// bytes.
func socketID(local, remote netip.AddrPort) []byte {
	var a, b [16]byte
	copy(a[:], local.Addr().AsSlice())
	copy(b[:], remote.Addr().AsSlice())
	return diagSockID(local.Port(), remote.Port(), a, b)
}

// mappedID is the same for a socket of IPv6.
func mappedID(local, remote netip.AddrPort) []byte {
	return diagSockID(local.Port(), remote.Port(), local.Addr().As16(), remote.Addr().As16())
}

func diagSockID(localPort, remotePort uint16, local, remote [16]byte) []byte {
	id := binary.BigEndian.AppendUint16(nil, localPort)
	id = binary.BigEndian.AppendUint16(id, remotePort)
	return append(append(id, local[:]...), remote[:]...)
}

// diagRequest asks for one socket by its ends, in any state and on any interface.
// A socket of IPv6 that holds an IPv4 connection is found as one of IPv4.
func diagRequest(id []byte) []byte {
	const anyCookie = ^uint32(0)
	body := []byte{unix.AF_INET, unix.IPPROTO_TCP, 0, 0} // an inet_diag_req_v2
	body = binary.NativeEndian.AppendUint32(body, ^uint32(0))
	body = append(body, id...)
	body = binary.NativeEndian.AppendUint32(body, 0)
	body = binary.NativeEndian.AppendUint32(body, anyCookie)
	body = binary.NativeEndian.AppendUint32(body, anyCookie)

	m := binary.NativeEndian.AppendUint32(nil, uint32(syscall.NLMSG_HDRLEN+len(body)))
	m = binary.NativeEndian.AppendUint16(m, unix.SOCK_DIAG_BY_FAMILY)
	m = binary.NativeEndian.AppendUint16(m, unix.NLM_F_REQUEST)
	m = append(m, make([]byte, 8)...) // sequence and sender: there is one question
	return append(m, body...)
}

// diagInode reads the inode in an answer about a connection. The kernel answers
// with who listens at one end where there is no connection: that is another
// socket. One of IPv6 is told with mapped addresses.
func diagInode(answer []byte, local, remote netip.AddrPort) (inode string, found bool) {
	messages, err := syscall.ParseNetlinkMessage(answer)
	if err != nil {
		return "", false
	}
	of, mapped := string(socketID(local, remote)), string(mappedID(local, remote))
	for _, m := range messages {
		if m.Header.Type != unix.SOCK_DIAG_BY_FAMILY || len(m.Data) < diagInodeAt+4 {
			continue
		}
		diagAnswers.Store(true)
		ends, n := string(m.Data[diagID:diagID+diagEnds]), binary.NativeEndian.Uint32(m.Data[diagInodeAt:])
		if (ends == of || ends == mapped) && n != 0 {
			return strconv.FormatUint(uint64(n), 10), true
		}
	}
	return "", false
}
