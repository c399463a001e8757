package proc

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// HoldsConnection says whether the process holds the other end of a TCP
// connection on this machine: of the one that goes from theirs to ours.
func (c *Child) HoldsConnection(ours, theirs netip.AddrPort) (bool, error) {
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return false, fmt.Errorf("cannot list connections: %w", err)
	}
	inode, found := socketInode(table, theirs, ours)
	if !found {
		return false, nil
	}
	dir := "/proc/" + strconv.Itoa(c.pid) + "/fd"
	names, err := os.ReadDir(dir)
	if err != nil {
		return false, fmt.Errorf("cannot list the descriptors of process %d: %w", c.pid, err)
	}
	for _, name := range names {
		if target, err := os.Readlink(dir + "/" + name.Name()); err == nil && target == "socket:["+inode+"]" {
			return true, nil
		}
	}
	return false, nil
}

// socketInode finds a connection in the form of /proc/net/tcp:
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
		if okL && okR && l == local && r == remote && f[9] != "0" {
			return f[9], true
		}
	}
	return "", false
}

func parseHexAddr(s string) (netip.AddrPort, bool) {
	host, port, found := strings.Cut(s, ":")
	b, err := hex.DecodeString(host)
	if !found || err != nil || len(b) != 4 {
		return netip.AddrPort{}, false
	}
	p, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, false
	}
	var ip [4]byte
	binary.BigEndian.PutUint32(ip[:], binary.NativeEndian.Uint32(b))
	return netip.AddrPortFrom(netip.AddrFrom4(ip), uint16(p)), true
}
