package safefile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// RemoveAll removes a path and everything below it. It follows no link that leads
// out of the path's directory. Directories that are closed to their own user, as
// jobs may leave them, are opened first.
func RemoveAll(path string) error {
	err := os.RemoveAll(path)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	root, openErr := os.OpenRoot(filepath.Dir(path))
	if openErr != nil {
		return err
	}
	defer root.Close()
	name := filepath.Base(path)
	_ = fs.WalkDir(root.FS(), filepath.ToSlash(name), func(at string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = root.Chmod(at, 0o700)
		}
		return nil
	})
	return root.RemoveAll(name)
}
