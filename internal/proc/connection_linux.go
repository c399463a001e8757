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

// FindConnection says of which of some TCP connections on this machine the process
// holds the other end: of those that go from theirs to ours. It is -1 when it holds
// none. It fails with ErrEnded when the process has ended: nobody can know any more.
//
// Many are asked about at once, for anybody can make thousands of connections, and
// the descriptors of a process take longer to list than a connection to look up.
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

// descriptorTries is how often descriptors are looked at where none is found. They are not
// handed out at once: a program that duplicates its descriptor and closes the first
// (as Go's net.FileConn does) may have neither where we look. If the listener is
// turned away, azptend learns nothing of its jobs.
const descriptorTries = 5

// findSocket looks once. A process loses its descriptors before they are closed: one
// that has them was alive, and so were its connections.
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

// socketsBetween finds the sockets at the other ends of connections, by the name
// that a descriptor of theirs has; the values are indexes of theirs. They are looked
// for among the IPv6 sockets too: the listener connects from one of those, to a
// mapped IPv4 address (.NET's new Socket(SocketType, ProtocolType) is dual-mode;
// JobNotification.cs of the agent).
func socketsBetween(ours netip.AddrPort, theirs []netip.AddrPort) (map[string]int, error) {
	sockets := map[string]int{}
	asks, err := openSockDiag()
	if err == nil {
		defer asks.close()
	}
	for i, remote := range theirs {
		var inode string
		answered := false
		if err == nil {
			inode, answered = asks.inode(remote, ours)
		}
		if !answered {
			// One of many connections may fall between two pieces of the table.
			for range descriptorTries {
				var err error
				if inode, err = listedInode(remote, ours); err != nil {
					return nil, err
				}
				if inode != "" {
					break
				}
			}
		}
		if inode != "" {
			sockets["socket:["+inode+"]"] = i
		}
	}
	return sockets, nil
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
