//go:build unix

package agent

import (
	"errors"
	"os"
	"syscall"
)

// Lock takes the folder for one life. Two azptends in one folder would write the
// same files, take each other's agent for an earlier life's and remove it, over
// and over. The lock is the kernel's, on the folder itself: it leaves no file,
// and ends with the process however that ends. A folder that cannot be locked
// (some network file systems) is taken as it is; one that cannot be opened is
// for Check to explain. The error is an *UnfitError.
func (f Folder) Lock() (release func(), err error) {
	dir, err := os.Open(f.Root)
	if err != nil {
		return func() {}, nil
	}
	if errors.Is(syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK) {
		dir.Close()
		return nil, f.unfit("another azptend lives in it", "give each agent a folder of its own (AZP_AGENT_DIR), or end the other one", nil)
	}
	return func() { dir.Close() }, nil
}
