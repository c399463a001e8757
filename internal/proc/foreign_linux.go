package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// openPidfd opens a file descriptor of a process, which stays valid if its pid is reused. It
// needs Linux 5.3.
func openPidfd(pid int) (*os.File, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true) // so that the runtime polls it and no thread waits
	}
	if err != nil {
		return nil, fmt.Errorf("cannot watch process %d: %w", pid, err)
	}
	return os.NewFile(uintptr(fd), "pidfd"), nil
}

// poll says whether the process of a pidfd has ended: the pidfd is readable then.
func poll(fd uintptr) (ended bool, err error) {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	return n > 0, err
}

// awaitEnd returns when the process of a pidfd has ended.
func awaitEnd(pidfd *os.File) {
	conn, err := pidfd.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Read(func(fd uintptr) bool {
		ended, err := poll(fd)
		return ended || (err != nil && !errors.Is(err, unix.EINTR))
	})
}

// hasEnded says whether the process of a pidfd has ended. It is true if that is not known.
func hasEnded(pidfd *os.File) bool {
	var ended bool
	var failed error
	conn, err := pidfd.SyscallConn()
	if err == nil {
		err = conn.Control(func(fd uintptr) { ended, failed = poll(fd) })
	}
	return ended || failed != nil || err != nil
}

// errPidReused says that another process may have the pid now.
var errPidReused = errors.New("it has exited, and another process may have its pid")

// Adopt begins to watch a process that is not a child of this one. It calls is again for
// the process that it watches: the one that Find listed may have ended.
func (i *Init) Adopt(pid int, is func(Info) bool) (*ForeignProcess, error) {
	pidfd, err := openPidfd(pid)
	if err != nil {
		return nil, err
	}
	// The pid cannot be reused before the process has ended. So if it has not ended after
	// the reads, they were about this process.
	if proven := is(infoOf(pid)); !proven || hasEnded(pidfd) {
		pidfd.Close()
		return nil, fmt.Errorf("cannot watch process %d: %w", pid, errPidReused)
	}
	p := &ForeignProcess{watched{pid: pid, done: make(chan struct{})}, pidfd}
	go func() {
		awaitEnd(pidfd)
		close(p.done)
	}()
	return p, nil
}

// Signal sends sig to the process. It returns nil if the process has ended.
func (p *ForeignProcess) Signal(sig syscall.Signal) error {
	var sent error
	conn, err := p.pidfd.SyscallConn()
	if err == nil {
		err = conn.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), sig, nil, 0) })
	}
	if err = errors.Join(err, sent); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("cannot send %s to process %d: %w", sig, p.pid, err)
	}
	return nil
}

// statInside is os.Stat of a directory as a process sees it. Symbolic links are resolved
// below that process's root directory.
func statInside(pid int, dir string) (fs.FileInfo, error) {
	proc := "/proc/" + strconv.Itoa(pid)
	root, err := os.OpenFile(proc+"/root", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	fd, err := unix.Openat2(int(root.Fd()), dir, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) { // Linux before 5.6, or a sandbox
		return statSameNamespace(proc, root, dir)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: proc + "/root" + dir, Err: err}
	}
	found := os.NewFile(uintptr(fd), dir)
	defer found.Close()
	return found.Stat()
}

// statSameNamespace is statInside without openat2. It works only for a process with the same
// mount namespace and root directory as this one, where paths are the same.
func statSameNamespace(proc string, root *os.File, dir string) (fs.FileInfo, error) {
	theirs, err := root.Stat()
	if err != nil {
		return nil, err
	}
	ours, err := os.Stat("/")
	if err != nil {
		return nil, err
	}
	if !os.SameFile(ours, theirs) || mountNamespace(proc) == "" || mountNamespace(proc) != mountNamespace("/proc/self") {
		return nil, &fs.PathError{Op: "stat", Path: proc + "/root" + dir, Err: errors.ErrUnsupported}
	}
	return os.Stat(dir)
}
