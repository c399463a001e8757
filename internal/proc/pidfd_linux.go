package proc

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// pidfd is a file descriptor of a process, which stays valid if its pid is reused.
type pidfd struct {
	file *os.File
	pid  int
}

// openPidfd needs Linux 5.3.
func openPidfd(pid int) (*pidfd, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true) // so that the runtime polls it and no thread waits
	}
	if err != nil {
		return nil, fmt.Errorf("cannot watch process %d: %w", pid, err)
	}
	return &pidfd{file: os.NewFile(uintptr(fd), "pidfd"), pid: pid}, nil
}

// poll says whether the process of a pidfd has ended: the pidfd is readable then.
func poll(fd uintptr) (ended bool, err error) {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	return n > 0, err
}

// await returns when the process has ended.
func (d *pidfd) await() {
	conn, err := d.file.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Read(func(fd uintptr) bool {
		ended, err := poll(fd)
		return ended || (err != nil && !errors.Is(err, unix.EINTR))
	})
}

// hasEnded says whether the process has ended. It is true if that is not known.
func (d *pidfd) hasEnded() bool {
	var ended bool
	var failed error
	conn, err := d.file.SyscallConn()
	if err == nil {
		err = conn.Control(func(fd uintptr) { ended, failed = poll(fd) })
	}
	return ended || failed != nil || err != nil
}

func (d *pidfd) close() { d.file.Close() }

func (d *pidfd) signal(sig syscall.Signal) error {
	var sent error
	conn, err := d.file.SyscallConn()
	if err == nil {
		err = conn.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), sig, nil, 0) })
	}
	if err = errors.Join(err, sent); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("cannot send %s to process %d: %w", sig, d.pid, err)
	}
	return nil
}
