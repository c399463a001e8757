//go:build unix

package agentdir

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/azptend/azptend/internal/safefile"
)

// Lock takes the folder for one life. Two azptends in one folder would write the
// same files, take each other's agent for an earlier life's and remove it, over
// and over. The lock is the kernel's, on the folder itself: it leaves no file,
// and ends with the process however that ends. A folder that cannot be locked
// (some network file systems) is taken as it is; one that cannot be opened is
// for Check to explain. The error is an *UnfitError.
func (f Dir) Lock() (release func(), err error) {
	release, taken := lock(f.Root)
	if !taken {
		return release, nil
	}
	pid, beside := lockHolder(f.Root)
	if beside {
		return nil, f.dirError("another azptend lives in it", "give each agent a folder of its own (AZP_AGENT_DIR), or end the other one", nil)
	}
	where := "in another container or on another machine"
	if pid != 0 {
		where = fmt.Sprintf("process %d, in another container", pid)
	}
	return nil, f.inUseError("another azptend lives in it (" + where + ")" + f.describeOwner())
}

// inUseError is the error for a folder that another container or machine is at work in.
// A rolling update of a container with a volume ends it sooner or later.
func (f Dir) inUseError(why string) error {
	return &DirError{Dir: f.Root, Why: why, InUse: true,
		Hint: "give each agent a folder of its own (AZP_AGENT_DIR). If the other container is being replaced by this one, let it end first, or raise AZP_NAME_WAIT (--name-wait)"}
}

// describeOwner names the agent that the folder's files tell of, as far as they do.
func (f Dir) describeOwner() string {
	if r, found := f.Owner(); found {
		return fmt.Sprintf(": agent %q of %q", r.AgentName, r.Home)
	}
	return ""
}

// IsLocked says whether a process, this one included, has locked the folder. The
// holder of a lock learns by it whether the file system has locks at all.
func (f Dir) IsLocked() bool {
	release, taken := lock(f.Root)
	release()
	return taken
}

// LockLogDir is Lock for the folder that the listener's logs were sent to, if it was
// told of one; shared says that another life has it. An agent can live so: but what
// a listener's logs say of its end may be another's then.
func (f Dir) LockLogDir() (release func(), shared bool) {
	if f.LogDir == "" {
		return func() {}, false
	}
	_ = os.MkdirAll(f.LogDir, 0o755) // or the first two lives would not meet
	root, err1 := os.Stat(f.Root)
	logs, err2 := os.Stat(f.LogDir)
	if err1 == nil && err2 == nil && os.SameFile(root, logs) {
		return func() {}, false // Lock's
	}
	return lock(f.LogDir)
}

func lock(folder string) (release func(), taken bool) {
	dir, err := safefile.OpenDir(folder)
	if err != nil {
		return func() {}, false
	}
	if errors.Is(syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK) {
		dir.Close()
		return func() {}, true
	}
	return func() { dir.Close() }, false
}
