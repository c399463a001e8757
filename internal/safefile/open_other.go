//go:build !unix

package safefile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// open is for systems on which azptend runs no agent. It refuses a link at the end of the
// name, because os.Root follows links that stay below the directory.
func (d Dir) open(name string, want fileType) (*os.File, error) {
	if !filepath.IsLocal(name) {
		return nil, &fs.PathError{Op: "open", Path: filepath.Join(string(d), name), Err: errors.New("the name leads out of the directory")}
	}
	root, err := os.OpenRoot(string(d))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if err := want.check(filepath.Join(string(d), name), info.Mode()); err != nil {
		return nil, err
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	return want.checkOpened(f)
}

func openTrusted(path string, want fileType) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if err := want.check(path, info.Mode()); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return want.checkOpened(f)
}

// Owner is this process's user: Windows has no such number.
func Owner(fs.FileInfo) int { return os.Geteuid() }

// CheckOnlyRootChanges always fails on this system, on which azptend runs no agent.
func CheckOnlyRootChanges(dir string) error {
	return errors.New("cannot find out who can change " + dir)
}
