//go:build unix

package agentdir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/azptend/azptend/internal/safefile"
)

// PrepareWork creates the work directory, owned by the jobs' user, if it is outside of this
// directory and does not exist. The agent creates it only when its first job starts, which
// would fail without the permission. The error is a *DirError. Without create it only
// reports whether it would succeed.
func (d Dir) PrepareWork(work string, create bool) error {
	if !filepath.IsAbs(work) {
		return nil // below this directory, which is writable
	}
	var above string
	err := d.AsUser(func() (err error) {
		if above, err = nearestExisting(work); err != nil || above == work {
			return err
		}
		if err = d.checkWritable(above); err == nil && create {
			err = os.MkdirAll(work, 0o755)
		}
		return err
	})
	if err == nil {
		return nil
	}
	if errors.Is(err, fs.ErrPermission) && d.User != nil && d.makeWorkAsRoot(work, above, create) == nil {
		return nil
	}
	return d.AsUser(func() error {
		return d.dirError(fmt.Sprintf("the work directory %s does not exist and cannot be created in %s: %s", work, above, rootCause(err)),
			"create "+work+" and make it writable for this user, or set AZP_WORK (--work) to a directory that is", err)
	})
}

// rootCause is the system's text for an error of a file operation.
func rootCause(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}

// nearestExisting is the path itself, or the nearest directory above it that exists.
func nearestExisting(path string) (string, error) {
	for {
		_, err := os.Lstat(path)
		if !errors.Is(err, fs.ErrNotExist) {
			return path, err
		}
		path = filepath.Dir(path)
	}
}

// makeWorkAsRoot creates the directory for a user without the permission. It does so only if
// nobody but root can change the directories above: otherwise a job could put a link there
// meanwhile.
func (d Dir) makeWorkAsRoot(work, above string, create bool) error {
	if err := safefile.CheckOnlyRootChanges(above); err != nil || !create {
		return err
	}
	if err := os.MkdirAll(work, 0o755); err != nil {
		return err
	}
	return os.Lchown(work, d.User.UID, d.User.GID)
}

// DiskSpace returns the free bytes and the size of the disk of the work directory, which need
// not exist. Free bytes are those that users without privileges can use.
func (d Dir) DiskSpace(work string) (free, total uint64, err error) {
	dir := work
	if !filepath.IsAbs(work) {
		dir = filepath.Join(d.Root, work)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil {
			break
		}
	}
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return 0, 0, fmt.Errorf("cannot see how much space %s has: %w", dir, err)
	}
	return disk.Bavail * uint64(disk.Bsize), disk.Blocks * uint64(disk.Bsize), nil
}
