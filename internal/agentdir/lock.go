//go:build unix

package agentdir

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/azptend/azptend/internal/safefile"
)

// Lock locks the directory for one azptend. Two of them in one directory would write the
// same files, and each would remove the other's agent as that of a previous run. It is a
// flock on the directory itself: it leaves no file, and ends with the process. If the file
// system does not support locks (some network file systems), or the directory cannot be
// opened (Check reports that), Lock succeeds without one. The error is a *DirError.
func (d Dir) Lock() (release func(), err error) {
	release, taken := lock(d.Root)
	if !taken {
		return release, nil
	}
	pid, sameMounts := lockHolder(d.Root)
	if sameMounts {
		return nil, d.dirError("another azptend uses it", "give each agent its own directory (AZP_AGENT_DIR), or stop the other azptend", nil)
	}
	where := "in another container or on another machine"
	if pid != 0 {
		where = fmt.Sprintf("process %d, in another container", pid)
	}
	why := "another azptend uses it (" + where + ")"
	if r, found := d.Owner(); found {
		why += fmt.Sprintf(": agent %q of %q", r.AgentName, r.Home)
	}
	return nil, d.inUseError(why)
}

// lockInterval is the pause between two attempts to lock a directory that is in use.
const lockInterval = 2 * time.Second

// LockWithin locks the directory as its user. If another container uses it, LockWithin calls
// waiting once, and waits up to wait.
func (d Dir) LockWithin(ctx context.Context, wait time.Duration, waiting func(error)) (release func(), err error) {
	ctx, done := context.WithTimeout(ctx, wait)
	defer done()
	for first := true; ; first = false {
		err = d.AsUser(func() (err error) { release, err = d.Lock(); return err })
		var unusable *DirError
		if err == nil || !errors.As(err, &unusable) || !unusable.InUse || ctx.Err() != nil {
			return release, err
		}
		if first {
			waiting(err)
		}
		select {
		case <-time.After(lockInterval):
		case <-ctx.Done():
		}
	}
}

// IsLocked reports whether a process, which may be this one, has locked the directory. After
// Lock it shows whether the file system supports locks.
func (d Dir) IsLocked() bool {
	release, taken := lock(d.Root)
	release()
	return taken
}

// UsedByAnother reports whether another process has locked the directory. The agent in its
// files belongs to that process then.
func (d Dir) UsedByAnother() bool {
	if !d.IsLocked() {
		return false
	}
	pid, _ := lockHolder(d.Root)
	return pid != os.Getpid()
}

// LockLogs is Lock, as the agent's user, for the directory of the listener's logs, if it is
// not below Root. shared says that another azptend has locked it. The agent can run then, but
// the logs may show the exit of another agent's listener.
func (d Dir) LockLogs() (release func(), shared bool) {
	release = func() {}
	if d.LogDir == "" {
		return release, false
	}
	_ = d.AsUser(func() error {
		_ = os.MkdirAll(d.LogDir, 0o755) // it must exist to be locked
		root, err1 := os.Stat(d.Root)
		logs, err2 := os.Stat(d.LogDir)
		if err1 != nil || err2 != nil || !os.SameFile(root, logs) {
			release, shared = lock(d.LogDir)
		}
		return nil
	})
	return release, shared
}

func lock(path string) (release func(), taken bool) {
	dir, err := safefile.OpenDir(path)
	if err != nil {
		return func() {}, false
	}
	if errors.Is(syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK) {
		dir.Close()
		return func() {}, true
	}
	return func() { dir.Close() }, false
}

// maxProcFile is how many bytes of a file in /proc are read.
const maxProcFile = 4 << 20

// lockHolder finds the process that has locked a directory. pid is 0 if the process is not
// visible here, because it is in another container or on another machine. sameMounts says
// that it has our mounts, so that two agents use one directory by mistake. It is also true if
// nothing can be found out, as on systems without /proc.
func lockHolder(dir string) (pid int, sameMounts bool) {
	info, err := os.Stat(dir)
	if err != nil {
		return 0, true
	}
	locks, err := safefile.ReadFile("/proc/locks", maxProcFile) // bounded, because a job can hold any number of locks
	if err != nil {
		return 0, true
	}
	stat, is := info.Sys().(*syscall.Stat_t)
	if !is {
		return 0, true
	}
	if pid = flockHolder(locks, stat.Ino); pid == 0 {
		return 0, false
	}
	ours, theirs := rootMountID("self"), rootMountID(strconv.Itoa(pid))
	return pid, ours == "" || theirs == "" || ours == theirs
}

// flockHolder finds the process with a flock on this inode in /proc/locks (proc_locks(5)).
// The device there is not always that of stat(2) (btrfs), so it is not compared.
func flockHolder(locks []byte, inode uint64) (pid int) {
	for line := range strings.Lines(string(locks)) {
		// 1: FLOCK  ADVISORY  WRITE 4711 fe:01:1234 0 EOF
		fields := strings.Fields(line)
		if len(fields) < 6 || fields[1] != "FLOCK" || fields[3] != "WRITE" {
			continue
		}
		if !strings.HasSuffix(fields[5], ":"+strconv.FormatUint(inode, 10)) {
			continue
		}
		if n, err := strconv.Atoi(fields[4]); err == nil && n > 0 {
			return n
		}
	}
	return 0
}

// rootMountID is the id of a process's root mount, which is different in each mount
// namespace; "" if it may not be read. Unlike ns/mnt, it can be read for an undumpable
// process.
func rootMountID(pid string) string {
	b, err := safefile.ReadFile(fmt.Sprintf("/proc/%s/mountinfo", pid), maxProcFile)
	if err != nil {
		return ""
	}
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		// 36 35 98:0 / / rw,noatime - ext4 /dev/root rw
		if fields := strings.Fields(lines.Text()); len(fields) > 4 && fields[4] == "/" {
			return fields[0]
		}
	}
	return ""
}
