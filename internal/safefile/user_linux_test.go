package safefile_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/azptend/azptend/internal/proc"
)

// asUser calls a function with the rights of the directory's owner. If the test runs as root,
// which may do everything, it changes the owner first.
func asUser(t *testing.T, dir string, f func() error) {
	t.Helper()
	if os.Geteuid() != 0 {
		must(t, f())
		return
	}
	for at := dir; at != os.TempDir() && at != "/"; at = filepath.Dir(at) {
		must(t, os.Chmod(at, 0o755))
	}
	const nobody = 65534
	must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, nobody, nobody)
	}))
	must(t, (&proc.User{UID: nobody, GID: nobody}).Do(f))
}
