package control

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// socketName is the socket's name in its directory.
const socketName = "control.sock"

// ErrInUse says that a running process, probably another azptend, has locked the directory.
var ErrInUse = errors.New("another azptend has its control socket there")

// socketDir is the opened directory of the socket. Operations through the open file concern
// this directory, even if a job replaces it meanwhile.
type socketDir struct {
	path string
	file *os.File
}

// makeDir creates the directory for azptend's user only, and locks it until it is closed.
func makeDir(path string) (*socketDir, error) {
	var err error
	for range 3 { // another azptend may be removing it now
		var f *socketDir
		if f, err = tryMakeDir(path); err == nil || errors.Is(err, ErrInUse) {
			return f, err
		}
	}
	return nil, err
}

func tryMakeDir(path string) (*socketDir, error) {
	if err := removeObstacle(path); err != nil {
		return nil, err
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	f, err := openDir(path)
	if err != nil {
		return nil, err
	}
	if err := f.lock(); err != nil {
		f.file.Close()
		return nil, err
	}
	return f, nil
}

// removeObstacle removes anything with the directory's name that is not a directory of our
// user.
func removeObstacle(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.IsDir() && owner(info) == os.Geteuid() {
		return nil
	}
	return os.RemoveAll(path)
}

func openDir(path string) (*socketDir, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	return &socketDir{path, file}, nil
}

// lock locks an opened directory. It checks that our user owns it and that it still has its
// path, and removes the permissions of others.
func (f *socketDir) lock() error {
	info, err := f.file.Stat()
	if err != nil {
		return err
	}
	if owner(info) != os.Geteuid() {
		return fmt.Errorf("%s belongs to another user", f.path)
	}
	if err := syscall.Flock(int(f.file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("%s: %w", f.path, ErrInUse)
	}
	now, err := os.Lstat(f.path)
	if err != nil {
		return err
	}
	if !os.SameFile(info, now) {
		return fmt.Errorf("%s was replaced while azptend opened it", f.path)
	}
	return f.file.Chmod(0o700)
}

// remove removes the socket and the directory, and then unlocks the directory.
func (f *socketDir) remove() error {
	err := os.RemoveAll(f.socket())
	if now, statErr := os.Lstat(f.path); statErr == nil {
		if info, statErr := f.file.Stat(); statErr == nil && os.SameFile(info, now) {
			err = errors.Join(err, os.Remove(f.path))
		}
	}
	return errors.Join(err, f.file.Close())
}

func owner(info fs.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }
