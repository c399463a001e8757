//go:build linux

package proc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func init() {
	// connect connects to 127.0.0.1:args[1], from an IPv4 socket as most programs do, or
	// from a dual-mode socket as .NET does, and keeps the connection open.
	programs["connect"] = func(args []string) int {
		var port int
		must(fmt.Sscan(args[1], &port))
		var fd int
		if args[0] == "tcp4" {
			fd = must(syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0))
			must(0, syscall.Connect(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}))
		} else {
			fd = must(syscall.Socket(syscall.AF_INET6, syscall.SOCK_STREAM, 0))
			must(0, syscall.SetsockoptInt(fd, syscall.IPPROTO_IPV6, syscall.IPV6_V6ONLY, 0))
			mapped := netip.MustParseAddr("::ffff:127.0.0.1").As16()
			must(0, syscall.Connect(fd, &syscall.SockaddrInet6{Port: port, Addr: mapped}))
		}
		forever()
		return fd
	}
}

var connectionScene = withInit(func(h *host, init *Init) {
	l := must(net.Listen("tcp4", "127.0.0.1:0"))
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	other := start(init, Spec{Path: "/bin/sleep", Args: []string{"60"}})
	kinds := []string{"tcp4"}
	if _, err := os.Stat("/proc/net/tcp6"); err == nil {
		kinds = append(kinds, "dual-mode")
	}
	for _, kind := range kinds {
		c := start(init, testProgram("connect", kind, port))
		conn := must(l.Accept())
		ours, theirs := addr(conn.LocalAddr()), addr(conn.RemoteAddr())
		for name, tt := range map[string]struct {
			c            *Child
			ours, theirs netip.AddrPort
			want         bool
		}{
			"the child that connected":    {c, ours, theirs, true},
			"another child":               {other, ours, theirs, false},
			"the child, for our own side": {c, theirs, ours, false},
			"a connection there is not":   {c, ours, netip.AddrPortFrom(theirs.Addr(), 1), false},
		} {
			if got, err := tt.c.FindConnection(tt.ours, []netip.AddrPort{{}, tt.theirs}); (got == 1) != tt.want || err != nil {
				h.Errorf("%s: %s: %v, %v, want %v", kind, name, got, err, tt.want)
			}
		}
		asked, found := diagSocket(theirs, ours)
		if listed, err := eventuallyListed(h, theirs, ours); asked != listed || !found || err != nil {
			h.Errorf("%s: the kernel says inode %q, %v; its tables %q, %v", kind, asked, found, listed, err)
		}
		must(0, c.Signal(syscall.SIGKILL))
		<-c.Done()
		if got, err := c.FindConnection(ours, []netip.AddrPort{theirs}); got >= 0 || !errors.Is(err, ErrProcessEnded) {
			h.Errorf("%s: a child that ended: %v, %v", kind, got, err)
		}
		_, _ = io.Copy(io.Discard, conn)
		conn.Close()
	}

	// Another process connects, as a job could do to send false notifications.
	own := must(net.Dial("tcp4", l.Addr().String()))
	conn := must(l.Accept())
	if got, err := other.FindConnection(addr(conn.LocalAddr()), []netip.AddrPort{addr(conn.RemoteAddr())}); got >= 0 || err != nil {
		h.Errorf("the host's own connection is the child's: %v, %v", got, err)
	}
	own.Close()
	conn.Close()
	nobody := netip.AddrPortFrom(addr(l.Addr()).Addr(), 1)
	if got, answered := diagSocket(addr(l.Addr()), nobody); got != "" || !answered {
		h.Errorf("the listening socket counts as a connection: %q, %v", got, answered)
	}
	must(0, other.Signal(syscall.SIGKILL))
	<-other.Done()
})

// diagSocket asks the kernel for one connection's socket.
func diagSocket(local, remote netip.AddrPort) (inode string, answered bool) {
	d := must(openSockDiag())
	defer unix.Close(d.fd)
	return d.inode(local, remote)
}

// eventuallyListed reads the tables until they contain the connection: one read may miss it
// while connections are opened and closed (see descriptorTries).
func eventuallyListed(h *host, local, remote netip.AddrPort) (inode string, err error) {
	for inode == "" && err == nil && h.ctx.Err() == nil {
		inode, err = listedInode(local, remote)
	}
	return inode, err
}

func addr(a net.Addr) netip.AddrPort { return a.(*net.TCPAddr).AddrPort() }

func init() { hosts["TestFindConnection"] = connectionScene }

func TestFindConnection(t *testing.T) { runScene(t, connectionScene) }

// hexAddr formats an address as the kernel does, for the round trip of the fuzz test.
func hexAddr(a netip.AddrPort) string {
	b := a.Addr().AsSlice()
	var s strings.Builder
	for w := 0; w < len(b); w += 4 {
		fmt.Fprintf(&s, "%08X", binary.NativeEndian.Uint32(b[w:]))
	}
	return fmt.Sprintf("%s:%04X", s.String(), a.Port())
}

func FuzzDiagInode(f *testing.F) {
	ours, theirs := netip.MustParseAddrPort("127.0.0.1:40000"), netip.MustParseAddrPort("127.0.0.1:8080")
	other := connectionEnds(theirs, ours, false)
	answer := func(ends diagEnds, inode uint32) []byte {
		header := unix.NlMsghdr{Type: unix.SOCK_DIAG_BY_FAMILY}
		body := diagMessage{ID: diagSockID{Ends: ends}, Inode: inode}
		header.Len = uint32(binary.Size(header) + binary.Size(body))
		return must(binary.Append(must(binary.Append(nil, binary.NativeEndian, header)), binary.NativeEndian, body))
	}
	f.Add([]byte{}, uint32(1))
	f.Add(answer(connectionEnds(ours, theirs, false), 7)[:60], uint32(7))
	f.Add(answer(other, 7), uint32(1<<31))
	f.Fuzz(func(t *testing.T, before []byte, inode uint32) {
		_, _ = diagInode(before, ours, theirs)
		for _, ends := range []diagEnds{connectionEnds(ours, theirs, false), connectionEnds(ours, theirs, true)} {
			got, found := diagInode(append(answer(other, 4711), answer(ends, inode)...), ours, theirs)
			if found != (inode != 0) || (found && got != fmt.Sprint(inode)) {
				t.Errorf("inode %d is read as %q, %v", inode, got, found)
			}
		}
	})
}

func FuzzSocketInode(f *testing.F) {
	f.Add("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"+
		"   0: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 12345 1 0000000000000000 20 4 30 10 -1", uint32(0x7f000001), uint16(1), uint16(2))
	f.Add("   0: 0000000000000000FFFF00000100007F:1F90 0000000000000000FFFF00000100007F:0016 01 a b c d e 777", uint32(0), uint16(0), uint16(65535))
	f.Add("0: :: : 1 2 3 4 5 6 7", uint32(1), uint16(1), uint16(1))
	f.Fuzz(func(t *testing.T, table string, ip uint32, localPort, remotePort uint16) {
		var four [4]byte
		binary.BigEndian.PutUint32(four[:], ip)
		for _, host := range []netip.Addr{netip.AddrFrom4(four), netip.AddrFrom16(netip.AddrFrom4(four).As16())} {
			local, remote := netip.AddrPortFrom(host, localPort), netip.AddrPortFrom(host, remotePort)
			if _, found := socketInode([]byte(table), local, remote); found {
				continue
			}
			if strings.Contains(table, "\x00") || len(table) > 1<<12 {
				continue
			}
			row := fmt.Sprintf("\n7: %s %s 01 0:0 0:0 0 0 0 4711\n", hexAddr(local), hexAddr(remote))
			if inode, found := socketInode([]byte(table+row), local, remote); !found || inode != "4711" {
				t.Errorf("%v to %v: %q, %v in\n%s", local, remote, inode, found, table+row)
			}
		}
	})
}

func FuzzParseStat(f *testing.F) {
	f.Add(7, "sh", "S", 1, 7)
	f.Add(7, "a) Z 1 (b", "Z", 2, 3)
	f.Add(2147483647, ")", "X", 0, -1)
	f.Fuzz(func(t *testing.T, pid int, comm, state string, parent, group int) {
		_, _ = parseStat([]byte(comm)) // must not panic
		if len(state) != 1 || state[0] < 'A' || state[0] > 'z' {
			return
		}
		want := process{identity: identity{pid: pid, start: 4711}, parent: parent, group: group, zombie: state == "Z" || state == "X"}
		got, err := parseStat(fmt.Appendf(nil, "%d (%s) %s %d %d 0 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0\n", pid, comm, state, parent, group))
		if err != nil || got != want {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
	})
}
