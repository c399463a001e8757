package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/azptend/azptend/internal/safefile"
)

// pidfd is a pidfd: it stands for one process, and not for a number.
type pidfd struct {
	file *os.File
	pid  int
}

// openPidfd needs Linux 5.3.
func openPidfd(pid int) (*pidfd, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true) // so that waiting takes no thread
	}
	if err != nil {
		return nil, fmt.Errorf("cannot watch process %d: %w", pid, err)
	}
	return &pidfd{file: os.NewFile(uintptr(fd), "pidfd"), pid: pid}, nil
}

// await returns when the process has ended: then its descriptor is readable.
func (d *pidfd) await() {
	conn, err := d.file.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Read(func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return n > 0 || (err != nil && !errors.Is(err, unix.EINTR))
	})
}

func (d *pidfd) close() { d.file.Close() }

// ended says whether the process has ended.
func (d *pidfd) ended() (has bool) {
	conn, err := d.file.SyscallConn()
	if err != nil {
		return true
	}
	err = conn.Control(func(fd uintptr) {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		has = n > 0 || err != nil
	})
	return has || err != nil
}

// kill sends SIGKILL to the process that was listed, and to no other that has its
// number by now: the descriptor is opened before the number is looked at again.
func (p process) kill() bool {
	if p.pid < 0 { // a group, where processes cannot be listed
		return syscall.Kill(p.pid, syscall.SIGKILL) == nil
	}
	d, err := openPidfd(p.pid)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) { // Linux before 5.3, or a sandbox
		return syscall.Kill(p.pid, syscall.SIGKILL) == nil
	}
	if err != nil {
		return false
	}
	defer d.close()
	now, err := processOf(p.pid)
	return err == nil && now.same(p) && d.signal(syscall.SIGKILL) == nil
}

// statInside looks at a directory as a process finds it. Links on the way lead to where
// they lead for that process.
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

// statSameNamespace is statIn for a process that finds at a path what this one finds
// there, for they share mount namespace and root directory. Of another it is not
// known.
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

func inOtherMountNamespace(pid int) bool {
	theirs, ours := mountNamespace("/proc/"+strconv.Itoa(pid)), mountNamespace("/proc/self")
	return theirs != "" && ours != "" && theirs != ours
}

// mountNamespace names a process's mount namespace, "" where that may not be known.
func mountNamespace(proc string) string {
	name, _ := os.Readlink(proc + "/ns/mnt")
	return name
}

func (d *pidfd) signal(sig syscall.Signal) error {
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

// realUser is a process's real user, -1 where that is not known. A process cannot give
// itself another without a privilege. The owner of /proc/PID says less: of a process
// that has closed itself it is root.
func realUser(pid int) int {
	// The line is the ninth, after a name of at most 64 bytes.
	status, err := readPrefix("/proc/"+strconv.Itoa(pid)+"/status", make([]byte, 512))
	if err != nil {
		return -1
	}
	_, after, found := bytes.Cut(status, []byte("\nUid:\t"))
	first, _, whole := bytes.Cut(after, []byte("\t"))
	uid, err := strconv.Atoi(string(first))
	if !found || !whole || err != nil {
		return -1
	}
	return uid
}

// environOf is what a process was started with, nil where it may not be read.
func environOf(pid int) []string { return stringsOf(pid, "environ") }

// argsOf are a process's arguments, nil where they may not be read.
func argsOf(pid int) []string { return stringsOf(pid, "cmdline") }

// maxExecSize is the most that Linux lets an exec pass on as arguments and
// environment together: three quarters of the usual 8 MiB stack.
const maxExecSize = 6 << 20

// stringsOf reads no more than an exec can have passed on. A process may name any
// memory of its own as its arguments and its environment (PR_SET_MM_MAP), terabytes
// of zeros too.
func stringsOf(pid int, file string) []string {
	b, err := safefile.ReadFile("/proc/"+strconv.Itoa(pid)+"/"+file, maxExecSize)
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimRight(string(b), "\x00"), "\x00")
}
