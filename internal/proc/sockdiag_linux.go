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
// (sock_diag(7)). That is one look-up in one moment. Reading /proc/net/tcp takes a
// tenth of a second instead if thousands of connections were closed lately.
type sockDiag struct{ fd int }

func openSockDiag() (sockDiag, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return sockDiag{}, err
	}
	timeout := unix.NsecToTimeval(int64(time.Second))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		unix.Close(fd)
		return sockDiag{}, err
	}
	return sockDiag{fd}, nil
}

// sockDiagAnswers says that the kernel has answered about some socket. A kernel
// without tcp_diag, and gVisor, say of each socket that it is not there.
var sockDiagAnswers atomic.Bool

// inode is the socket of a connection, "" if there is none any more. Answered is
// false if the kernel does not answer such questions.
func (d sockDiag) inode(local, remote netip.AddrPort) (inode string, answered bool) {
	local, remote = unmapped(local), unmapped(remote)
	if !local.Addr().Is4() || !remote.Addr().Is4() {
		return "", false
	}
	if inode, found := d.query(local, remote); found {
		return inode, true
	}
	if !sockDiagAnswers.Load() { // our own end exists, or what listens there
		d.query(remote, local)
	}
	return "", sockDiagAnswers.Load()
}

func (d sockDiag) query(local, remote netip.AddrPort) (inode string, found bool) {
	if err := unix.Sendto(d.fd, diagRequest(local, remote), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return "", false
	}
	answer := make([]byte, 4096) // one socket is some hundred bytes
	n, _, err := unix.Recvfrom(d.fd, answer, 0)
	if err != nil {
		return "", false
	}
	return diagInode(answer[:n], local, remote)
}

// The kernel's structures (linux/inet_diag.h).
type (
	diagSockID struct { // inet_diag_sockid
		Ends      diagEnds
		Interface uint32
		Cookie    [2]uint32
	}
	// diagEnds are both ends of a connection, in network byte order on any machine. An
	// IPv4 address is the first four of sixteen bytes.
	diagEnds struct {
		LocalPort, RemotePort [2]byte
		Local, Remote         [16]byte
	}
	diagRequestV2 struct { // inet_diag_req_v2
		Family, Protocol, Extensions, Pad uint8
		States                            uint32
		ID                                diagSockID
	}
	diagMessage struct { // inet_diag_msg
		Family, State, Timer, Retransmissions        uint8
		ID                                           diagSockID
		Expires, ReceiveQueue, SendQueue, UID, Inode uint32
	}
)

// connectionEnds are the ends of a connection of a socket of IPv4, or of IPv6 with
// mapped addresses.
func connectionEnds(local, remote netip.AddrPort, mapped bool) (e diagEnds) {
	binary.BigEndian.PutUint16(e.LocalPort[:], local.Port())
	binary.BigEndian.PutUint16(e.RemotePort[:], remote.Port())
	if mapped {
		e.Local, e.Remote = local.Addr().As16(), remote.Addr().As16()
	} else {
		copy(e.Local[:], local.Addr().AsSlice())
		copy(e.Remote[:], remote.Addr().AsSlice())
	}
	return e
}

// diagRequest asks for one socket by its ends, in any state and on any interface. A
// socket of IPv6 that holds an IPv4 connection is found as one of IPv4.
func diagRequest(local, remote netip.AddrPort) []byte {
	const anything = ^uint32(0)
	header := unix.NlMsghdr{Type: unix.SOCK_DIAG_BY_FAMILY, Flags: unix.NLM_F_REQUEST}
	body := diagRequestV2{
		Family: unix.AF_INET, Protocol: unix.IPPROTO_TCP, States: anything,
		ID: diagSockID{Ends: connectionEnds(local, remote, false), Cookie: [2]uint32{anything, anything}},
	}
	header.Len = uint32(binary.Size(header) + binary.Size(body))
	request, _ := binary.Append(nil, binary.NativeEndian, header)
	request, _ = binary.Append(request, binary.NativeEndian, body)
	return request
}

// diagInode reads the inode in an answer about a connection. If there is no such
// connection, the kernel answers with what listens at one end, which is another
// socket. For a socket of IPv6 it answers with mapped addresses.
func diagInode(answer []byte, local, remote netip.AddrPort) (inode string, found bool) {
	messages, err := syscall.ParseNetlinkMessage(answer)
	if err != nil {
		return "", false
	}
	for _, m := range messages {
		var d diagMessage
		if _, err := binary.Decode(m.Data, binary.NativeEndian, &d); err != nil || m.Header.Type != unix.SOCK_DIAG_BY_FAMILY {
			continue
		}
		sockDiagAnswers.Store(true)
		ends := d.ID.Ends
		ours := ends == connectionEnds(local, remote, false) || ends == connectionEnds(local, remote, true)
		if ours && d.Inode != 0 {
			return strconv.FormatUint(uint64(d.Inode), 10), true
		}
	}
	return "", false
}
