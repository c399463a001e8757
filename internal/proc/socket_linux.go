package proc

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// HoldsConnection says whether the process holds the other end of a TCP
// connection on this machine: of the one that goes from theirs to ours. It fails
// with ErrEnded when the process has ended: nobody can know any more.
func (c *Child) HoldsConnection(ours, theirs netip.AddrPort) (holds bool, err error) {
	for range looks {
		err = c.user.Do(func() (err error) { holds, err = c.holdsConnection(ours, theirs); return err })
		if holds || err != nil {
			break
		}
	}
	return holds, err
}

// looks is how often a connection is looked for that is not found. No table is
// handed out at once: a program that duplicates its descriptor and closes the first
// (as Go's net.FileConn does) may have neither where we look, and where the kernel
// cannot be asked, one of many connections may fall between two pieces of
// /proc/net/tcp. To turn away the listener for that would mean not to hear of its
// jobs, and to leave the port open.
const looks = 5

// holdsConnection looks once. A process loses its descriptors before they are
// closed: one that has them was alive, and so were its connections.
func (c *Child) holdsConnection(ours, theirs netip.AddrPort) (bool, error) {
	dir := "/proc/" + strconv.Itoa(c.pid) + "/fd"
	names, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, ErrEnded
	}
	if err != nil {
		return false, fmt.Errorf("cannot list the descriptors of process %d: %w", c.pid, err)
	}
	inode, err := connectionInode(theirs, ours)
	if err != nil || inode == "" {
		return false, err
	}
	for _, name := range names {
		if target, err := os.Readlink(dir + "/" + name.Name()); err == nil && target == "socket:["+inode+"]" {
			return true, nil
		}
	}
	return false, nil
}

// connectionInode finds the socket of a connection, "" when there is none. It is
// looked for among the IPv6 sockets too: the listener connects from one of
// those, to a mapped IPv4 address (.NET's new Socket(SocketType, ProtocolType)
// is dual-mode; JobNotification.cs of the agent).
func connectionInode(local, remote netip.AddrPort) (string, error) {
	if inode, found := askInode(local, remote); found {
		return inode, nil
	}
	return listedInode(local, remote)
}

// listedInode looks for it in the tables of all connections.
func listedInode(local, remote netip.AddrPort) (string, error) {
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		table, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) { // this system has no IPv6
			continue
		}
		if err != nil {
			return "", fmt.Errorf("cannot list connections: %w", err)
		}
		if inode, found := socketInode(table, local, remote); found {
			return inode, nil
		}
	}
	return "", nil
}

// socketInode finds a connection in the form of /proc/net/tcp and tcp6:
// "sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …",
// addresses as hexadecimal of the machine's words.
func socketInode(table []byte, local, remote netip.AddrPort) (string, bool) {
	rows := bufio.NewScanner(bytes.NewReader(table))
	for rows.Scan() {
		f := strings.Fields(rows.Text())
		if len(f) < 10 {
			continue
		}
		l, okL := parseHexAddr(f[1])
		r, okR := parseHexAddr(f[2])
		if okL && okR && l == unmapped(local) && r == unmapped(remote) && f[9] != "0" {
			return f[9], true
		}
	}
	return "", false
}

func parseHexAddr(s string) (netip.AddrPort, bool) {
	host, port, found := strings.Cut(s, ":")
	b, err := hex.DecodeString(host)
	if !found || err != nil || (len(b) != 4 && len(b) != 16) {
		return netip.AddrPort{}, false
	}
	p, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, false
	}
	for w := 0; w < len(b); w += 4 {
		binary.BigEndian.PutUint32(b[w:], binary.NativeEndian.Uint32(b[w:]))
	}
	ip, _ := netip.AddrFromSlice(b)
	return unmapped(netip.AddrPortFrom(ip, uint16(p))), true
}

// unmapped writes an IPv4 address as one, though an IPv6 socket holds it.
func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
