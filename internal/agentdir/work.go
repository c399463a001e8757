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

// MakeWork creates the work directory, owned by the jobs' user, if it is outside of this
// directory and does not exist. The agent creates it only when its first job starts, which
// would fail without the permission. The error is a *DirError.
func (d Dir) MakeWork(work string) error { return d.prepareWork(work, true) }

// CheckWork reports whether MakeWork would succeed, and creates nothing.
func (d Dir) CheckWork(work string) error { return d.prepareWork(work, false) }

func (d Dir) prepareWork(work string, create bool) error {
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
