//go:build unix

package safefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// openFlags are the flags with which untrusted names are opened. With O_NONBLOCK, open does
// not wait for the other end of a named pipe, or for a process that has a lease on the file.
// With O_NOCTTY, a terminal does not become this process's controlling terminal.
const openFlags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC | unix.O_NOCTTY | unix.O_NOFOLLOW

// open opens one directory of the path after the other. openat2 could do it in one call
// (RESOLVE_NO_SYMLINKS), but gVisor, macOS and the seccomp profiles of older engines do not
// support it, and names here have few parts.
func (d Dir) open(name string, want fileType) (*os.File, error) {
	path := filepath.Join(string(d), name)
	if !filepath.IsLocal(name) {
		return nil, &fs.PathError{Op: "open", Path: path, Err: errors.New("the name leads out of the directory")}
	}
	at, err := openTrusted(string(d), directory)
	if err != nil {
		return nil, err
	}
	parts := strings.Split(filepath.Clean(name), "/")
	for i, part := range parts {
		step := directory
		if i == len(parts)-1 {
			step = want
		}
		next, err := openAt(at, part, step)
		at.Close()
		if err != nil {
			return nil, err
		}
		at = next
	}
	return at, nil
}

// openAt opens an entry of a directory. It checks the type before, because to open a device
// can have an effect, and afterwards, because the entry may have been replaced.
func openAt(dir *os.File, name string, want fileType) (*os.File, error) {
	path := filepath.Join(dir.Name(), name)
	fd := int(dir.Fd())
	var stat unix.Stat_t
	if err := retry(func() error { return unix.Fstatat(fd, name, &stat, unix.AT_SYMLINK_NOFOLLOW) }); err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	if err := want.check(path, fileMode(uint32(stat.Mode))); err != nil {
		return nil, err
	}
	return open(path, want, func() (int, error) { return unix.Openat(fd, name, openFlags, 0) })
}

func openTrusted(path string, want fileType) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if err := want.check(path, info.Mode()); err != nil {
		return nil, err
	}
	return open(path, want, func() (int, error) { return unix.Open(path, openFlags&^unix.O_NOFOLLOW, 0) })
}

func open(path string, want fileType, call func() (int, error)) (*os.File, error) {
	var fd int
	if err := retry(func() (err error) { fd, err = call(); return err }); err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return want.checkOpened(os.NewFile(uintptr(fd), path))
}

// retry repeats a call while it is interrupted by a signal.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// fileMode is the file type of a mode that the kernel returned.
func fileMode(mode uint32) fs.FileMode {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return 0
	case unix.S_IFDIR:
		return fs.ModeDir
	case unix.S_IFLNK:
		return fs.ModeSymlink
	case unix.S_IFIFO:
		return fs.ModeNamedPipe
	case unix.S_IFSOCK:
		return fs.ModeSocket
	case unix.S_IFBLK, unix.S_IFCHR:
		return fs.ModeDevice
	}
	return fs.ModeIrregular
}

// Owner is the user that a file belongs to.
func Owner(info fs.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }

// CheckOnlyRootChanges returns an error unless only root can change the content of a
// directory, or replace it or a directory above it.
func CheckOnlyRootChanges(dir string) error {
	for {
		info, err := os.Lstat(dir)
		if err != nil {
			return err
		}
		stat, known := info.Sys().(*syscall.Stat_t)
		if !info.IsDir() || !known || stat.Uid != 0 || info.Mode().Perm()&0o022 != 0 {
			return fmt.Errorf("%s is not a directory that only root can change", dir)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
		dir = filepath.Dir(dir)
	}
}
