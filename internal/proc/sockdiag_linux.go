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

// sockDiag asks the kernel for the socket of one connection, as ss does (sock_diag(7)).
// That is a single look-up. Reading /proc/net/tcp is not atomic, and takes a tenth of a
// second after thousands of connections were closed.
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

// sockDiagAnswers says that the kernel has found any socket this way. A kernel without
// tcp_diag, and gVisor, answer for each socket that it does not exist.
var sockDiagAnswers atomic.Bool

// inode returns the inode of a connection's socket; "" if it no longer exists. answered is
// false if the kernel does not support sock_diag.
func (d sockDiag) inode(local, remote netip.AddrPort) (inode string, answered bool) {
	local, remote = unmapped(local), unmapped(remote)
	if !local.Addr().Is4() || !remote.Addr().Is4() {
		return "", false
	}
	if inode, found := d.query(local, remote); found {
		return inode, true
	}
	if !sockDiagAnswers.Load() { // check with our own end, or the listening socket, which exists
		d.query(remote, local)
	}
	return "", sockDiagAnswers.Load()
}

func (d sockDiag) query(local, remote netip.AddrPort) (inode string, found bool) {
	if err := unix.Sendto(d.fd, diagRequest(local, remote), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return "", false
	}
	answer := make([]byte, 4096) // enough for one socket
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
	// diagEnds are both ends of a connection, in network byte order. An IPv4 address has
	// the first four of sixteen bytes.
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

// connectionEnds are the ends of a connection: for an IPv4 socket, or with mapped addresses
// for an IPv6 socket.
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

// diagRequest asks for one socket by its ends, in any state and on any interface. The kernel
// also finds an IPv6 socket with an IPv4 connection this way.
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

// diagInode returns the inode in an answer about a connection. If the connection does not
// exist, the kernel may answer with the listening socket, so the ends are compared. For an
// IPv6 socket they are mapped addresses.
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
