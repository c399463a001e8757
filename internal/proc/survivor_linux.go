package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// descriptor is a pidfd: it stands for one process, and not for a number.
type descriptor struct {
	file *os.File
	pid  int
}

// describe needs Linux 5.3.
func describe(pid int) (*descriptor, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true) // so that waiting takes no thread
	}
	if err != nil {
		return nil, fmt.Errorf("cannot watch process %d: %w", pid, err)
	}
	return &descriptor{file: os.NewFile(uintptr(fd), "pidfd"), pid: pid}, nil
}

// await returns when the process has ended: then its descriptor is readable.
func (d *descriptor) await() {
	conn, err := d.file.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Read(func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return n > 0 || (err != nil && !errors.Is(err, unix.EINTR))
	})
}

func (d *descriptor) signal(sig syscall.Signal) error {
	conn, err := d.file.SyscallConn()
	if err != nil {
		return fmt.Errorf("cannot send %s to process %d: %w", sig, d.pid, err)
	}
	var sent error
	err = conn.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), sig, nil, 0) })
	if err = errors.Join(err, sent); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("cannot send %s to process %d: %w", sig, d.pid, err)
	}
	return nil
}

// executable is the file a process runs, "" where that may not be known.
func executable(pid int) string {
	exe, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe")
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(exe, " (deleted)") // an update has moved it
}

// environOf is what a process was started with, nil where it may not be read.
func environOf(pid int) []string { return stringsOf(pid, "environ") }

// argsOf are a process's arguments, nil where they may not be read.
func argsOf(pid int) []string { return stringsOf(pid, "cmdline") }

func stringsOf(pid int, file string) []string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/" + file)
	if err != nil {
		return nil
	}
	var all []string
	for s := range bytes.SplitSeq(bytes.TrimRight(b, "\x00"), []byte{0}) {
		all = append(all, string(s))
	}
	return all
}
