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

	"golang.org/x/sys/unix"
)

// FindConnection says which of several TCP connections to ours the process has: the index
// of the first address in theirs that belongs to a socket of the process, or -1. The error
// is ErrProcessEnded if the process has ended.
//
// It takes many connections at once, because any process can make thousands of them, and
// listing the descriptors of a process takes longer than looking up a connection.
func (c *Child) FindConnection(ours netip.AddrPort, theirs []netip.AddrPort) (at int, err error) {
	sockets, err := socketsBetween(ours, theirs)
	if err != nil {
		return -1, err
	}
	at = -1
	for range descriptorTries {
		err = c.user.Do(func() (err error) { at, err = c.findSocket(sockets); return err })
		if at >= 0 || err != nil {
			break
		}
	}
	return at, err
}

// descriptorTries is how often the descriptors are listed if none of the sockets is among
// them. A list is not atomic: if a program duplicates its descriptor and closes the first
// (as Go's net.FileConn does), it may contain neither. If the listener's connection were
// rejected, azptend would not learn about its jobs.
const descriptorTries = 5

// findSocket lists the descriptors once. A process that ends loses its descriptors before
// their files are closed. So if it has any, its connections are open.
func (c *Child) findSocket(sockets map[string]int) (int, error) {
	dir := "/proc/" + strconv.Itoa(c.pid) + "/fd"
	names, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return -1, ErrProcessEnded
	}
	if err != nil {
		return -1, fmt.Errorf("cannot list the descriptors of process %d: %w", c.pid, err)
	}
	for _, name := range names {
		target, err := os.Readlink(dir + "/" + name.Name())
		if err != nil {
			continue
		}
		if at, is := sockets[target]; is {
			return at, nil
		}
	}
	return -1, nil
}

// socketsBetween finds the sockets at the other ends of connections. The keys are the
// names of their descriptors, the values indexes of theirs. IPv6 sockets count too:
// the listener connects from one of those to a mapped IPv4 address (.NET's new
// Socket(SocketType, ProtocolType) is dual-mode; JobNotification.cs of the agent).
func socketsBetween(ours netip.AddrPort, theirs []netip.AddrPort) (map[string]int, error) {
	sockets := map[string]int{}
	diag, diagErr := openSockDiag()
	if diagErr == nil {
		defer unix.Close(diag.fd)
	}
	for i, remote := range theirs {
		inode, answered := "", false
		if diagErr == nil {
			inode, answered = diag.inode(remote, ours)
		}
		// The kernel returns the table in pieces, and a connection may be missing.
		for try := 0; !answered && inode == "" && try < descriptorTries; try++ {
			var err error
			if inode, err = listedInode(remote, ours); err != nil {
				return nil, err
			}
		}
		if inode != "" {
			sockets["socket:["+inode+"]"] = i
		}
	}
	return sockets, nil
}

// listedInode finds the socket of a connection in the tables of all connections.
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

// socketInode finds a connection in a table like /proc/net/tcp and tcp6:
// "sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …". Addresses
// are hexadecimal 32-bit words in the machine's byte order.
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

// unmapped turns a mapped IPv6 address into the IPv4 address that it stands for.
func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
