//go:build unix

package agentdir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/azptend/azptend/internal/safefile"
)

// Lock takes the directory for one azptend. Two of them in one directory would write
// the same files, take each other's agent for that of a previous run, and remove it,
// over and over. The kernel holds the lock, on the directory itself: it leaves no file,
// and ends with the process. A directory that does not support locks (some network file
// systems) is used without one; Check explains one that cannot be opened. The error is a
// *DirError.
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

// inUseError is the error for a directory that another container or machine uses. When
// a container with a volume is replaced, the old one ends sooner or later.
func (d Dir) inUseError(why string) error {
	return &DirError{Dir: d.Root, Why: why, InUse: true,
		Hint: "give each agent its own directory (AZP_AGENT_DIR); if this container replaces the other one, stop that one first, or raise AZP_NAME_WAIT (--name-wait)"}
}

// lockInterval is between two attempts to lock a directory that is in use.
const lockInterval = 2 * time.Second

// LockWithin locks the directory as its user, and waits up to wait for another
// container that uses it. It calls waiting once if it has to.
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

// IsLocked reports whether a process, this one included, has locked the directory. The
// holder of a lock finds out whether the file system supports locks.
func (d Dir) IsLocked() bool {
	release, taken := lock(d.Root)
	release()
	return taken
}

// LockLogs is Lock, as the agent's user, for the directory that the listener's logs go
// to, if that is not below Root. Shared means that another azptend has it. The agent can
// run anyway, but the logs may then show how another agent's listener ended.
func (d Dir) LockLogs() (release func(), shared bool) {
	release = func() {}
	if d.LogDir == "" {
		return release, false
	}
	_ = d.AsUser(func() error {
		_ = os.MkdirAll(d.LogDir, 0o755) // two azptends can only meet in one that exists
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
