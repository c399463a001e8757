// Package safefile reads files that another process can replace at any moment.
//
// A job, and the processes that it leaves, can write to the agent's directory. A name there
// may be a named pipe, on which a plain open blocks forever; a link to /dev/zero, which has
// no end; or a sparse file of terabytes. Everything below such a directory is read through
// [Dir]:
//
//   - it follows no link below the directory, neither at the end of a name nor before; the
//     directory itself is trusted, and may be a link
//   - to open a file never waits for another process
//   - only regular files are read; the type is checked after the open
//   - each read has a size limit
//
// [Open] and [ReadFile] are for trusted files, such as a token file, which Kubernetes mounts
// through links. They follow links, and keep the other three rules, because such a file may
// be wrong too.
//
// Only [ReadFileInTime] and [Dir.ReadFileInTime] start a goroutine that accesses a file, so
// the others work under proc.User.Do. A read still blocks if the file system hangs (NFS,
// FUSE): a caller that must not block uses these two, or package bounded.
package safefile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/azptend/azptend/internal/bounded"
)

// Dir is the path of a directory whose content is not trusted. Its methods take names that
// are relative to it ("_diag/Agent_1.log"), and must stay below it.
type Dir string

// NotRegularError says that a name is not that of a regular file.
type NotRegularError struct {
	Is string // "a named pipe", "a directory", …
}

func (e *NotRegularError) Error() string { return "it is " + e.Is + ", not a regular file" }

// TooLargeError says that a file, or what was appended to it, is larger than the limit.
type TooLargeError struct {
	Size  int64 // at least Limit+1
	Limit int64
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("it is too large: %d bytes, and the limit is %d", e.Size, e.Limit)
}

// TooManyError says that a directory has more entries than the limit.
type TooManyError struct{ Limit int }

func (e *TooManyError) Error() string {
	return fmt.Sprintf("it has too many entries: more than %d", e.Limit)
}

// Open opens a regular file of the directory for reading.
func (d Dir) Open(name string) (*os.File, error) { return d.open(name, regularFile) }

// ReadFile reads a whole file of the directory. If it is larger than limit, the error is a
// *TooLargeError.
func (d Dir) ReadFile(name string, limit int64) ([]byte, error) {
	f, err := d.Open(name)
	if err != nil {
		return nil, err
	}
	return readAll(f, limit)
}

// ReadFrom reads at most limit bytes of a file of the directory, beginning at offset.
func (d Dir) ReadFrom(name string, offset, limit int64) ([]byte, error) {
	f, err := d.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.NewSectionReader(f, offset, limit))
}

// Entries lists a subdirectory of the directory ("." for itself), unsorted, and returns the
// entries that want accepts. It reads at most limit entries. If there are more, it returns
// those that it found and a *TooManyError.
func (d Dir) Entries(name string, limit int, want func(fs.DirEntry) bool) ([]fs.DirEntry, error) {
	f, err := d.open(name, directory)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var found []fs.DirEntry
	for seen := 0; ; {
		some, err := f.ReadDir(256)
		for _, entry := range some {
			if seen++; seen > limit {
				return found, &fs.PathError{Op: "list", Path: f.Name(), Err: &TooManyError{limit}}
			}
			if want(entry) {
				found = append(found, entry)
			}
		}
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return found, err
		}
	}
}

// maxMatched is how many entries Match reads at most. Jobs can create any number of them,
// and a hundred thousand take a tenth of a second.
const maxMatched = 1 << 17

// Match lists the entries of the directory whose names match a pattern. It ignores errors,
// and returns the entries that it could list.
func (d Dir) Match(pattern string) []fs.DirEntry {
	found, _ := d.Entries(".", maxMatched, func(e fs.DirEntry) bool {
		matches, _ := filepath.Match(pattern, e.Name())
		return matches
	})
	return found
}

// Open opens a trusted regular file. It follows links.
func Open(path string) (*os.File, error) { return openTrusted(path, regularFile) }

// CheckReadable returns an error if a trusted file cannot be opened for reading.
func CheckReadable(path string) error {
	f, err := Open(path)
	if err != nil {
		return err
	}
	return f.Close()
}

// OpenDir opens a trusted directory. It follows links.
func OpenDir(path string) (*os.File, error) { return openTrusted(path, directory) }

// ReadFile reads a whole trusted file. It follows links. If the file is larger than limit,
// the error is a *TooLargeError.
func ReadFile(path string, limit int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	return readAll(f, limit)
}

// readTimeout is how long ReadFileInTime waits for a file system.
const readTimeout = 5 * time.Second

// ReadFileInTime is ReadFile for a caller that must not block on a file system that hangs.
// After five seconds, or when ctx ends, it returns an error, and the read continues in the
// background. It does not work under proc.User.Do, because it reads in a goroutine.
func ReadFileInTime(ctx context.Context, path string, limit int64) ([]byte, error) {
	return readInTime(ctx, path, func() ([]byte, error) { return ReadFile(path, limit) })
}

// ReadFileInTime is Dir.ReadFile for a caller that must not block.
func (d Dir) ReadFileInTime(ctx context.Context, name string, limit int64) ([]byte, error) {
	return readInTime(ctx, filepath.Join(string(d), name), func() ([]byte, error) { return d.ReadFile(name, limit) })
}

func readInTime(ctx context.Context, path string, read func() ([]byte, error)) ([]byte, error) {
	ctx, done := context.WithTimeout(ctx, readTimeout)
	defer done()
	content, err := bounded.Call(ctx, read, nil)
	if err != nil && errors.Is(err, context.Cause(ctx)) {
		err = &fs.PathError{Op: "read", Path: path, Err: err}
	}
	return content, err
}

// fileType is the type that a name must have.
type fileType bool

const (
	regularFile fileType = false
	directory   fileType = true
)

// check returns an error unless a file of this mode is of the type.
func (t fileType) check(path string, mode fs.FileMode) error {
	switch {
	case t == regularFile && !mode.IsRegular():
		return &fs.PathError{Op: "open", Path: path, Err: &NotRegularError{typeName(mode)}}
	case t == directory && !mode.IsDir():
		return &fs.PathError{Op: "open", Path: path, Err: errors.New("it is " + typeName(mode) + ", not a directory")}
	}
	return nil
}

// checkOpened checks a file that was opened, and closes it if it has another type.
func (t fileType) checkOpened(f *os.File) (*os.File, error) {
	info, err := f.Stat()
	if err == nil {
		err = t.check(f.Name(), info.Mode())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// typeName is the name of a file type for an error.
func typeName(m fs.FileMode) string {
	switch m.Type() {
	case 0:
		return "a regular file"
	case fs.ModeDir:
		return "a directory"
	case fs.ModeSymlink:
		return "a link"
	case fs.ModeNamedPipe:
		return "a named pipe"
	case fs.ModeSocket:
		return "a socket"
	case fs.ModeDevice, fs.ModeDevice | fs.ModeCharDevice:
		return "a device"
	}
	return "something else"
}

// readAll reads a file to its end, and closes it.
func readAll(f *os.File, limit int64) ([]byte, error) {
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	tooLarge := func(size int64) error {
		return &fs.PathError{Op: "read", Path: f.Name(), Err: &TooLargeError{size, limit}}
	}
	if info.Size() > limit {
		return nil, tooLarge(info.Size())
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1)) // it may grow meanwhile
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, tooLarge(int64(len(b)))
	}
	return b, nil
}

// RemoveAll removes a path and everything below it. It follows no link out of the path's
// directory. Jobs may leave directories without write permission for their owner: it adds
// the permission first.
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
