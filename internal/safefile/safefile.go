package safefile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/azptend/azptend/internal/bounded"
)

// Dir is the path of a directory whose content is not trusted. The names that its
// methods take are relative to it ("_diag/Agent_1.log"), and must stay below it.
type Dir string

// NotRegularError says that something other than a regular file has the name.
type NotRegularError struct {
	Is string // "a named pipe", "a directory", …
}

func (e *NotRegularError) Error() string { return "it is " + e.Is + ", not a regular file" }

// TooLargeError says that a file, or what was appended to it, is larger than the
// limit.
type TooLargeError struct {
	Size  int64 // as far as it is known: at least Limit+1
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

// ReadFile reads a file of the directory, whole. A larger one than limit is a
// *TooLargeError.
func (d Dir) ReadFile(name string, limit int64) ([]byte, error) {
	f, err := d.Open(name)
	if err != nil {
		return nil, err
	}
	return readAll(f, limit)
}

// ReadFrom reads at most limit bytes of a file of the directory, from an offset
// on. There may be more.
func (d Dir) ReadFrom(name string, offset, limit int64) ([]byte, error) {
	f, err := d.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.NewSectionReader(f, offset, limit))
}

// Entries lists a directory of the directory ("." for itself), without an order,
// and returns the entries that want accepts. It looks at no more than limit
// entries: if there are others, it returns what it found, and a *TooManyError.
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

// Open opens a trusted regular file for reading. It follows links.
func Open(path string) (*os.File, error) { return openTrusted(path, regularFile) }

// OpenDir opens a trusted directory, and nothing else. It follows links.
func OpenDir(path string) (*os.File, error) { return openTrusted(path, directory) }

// ReadFile reads a trusted file, whole. It follows links. A larger file than limit
// is a *TooLargeError.
func ReadFile(path string, limit int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	return readAll(f, limit)
}

// ReadFileBy is ReadFile for a caller that cannot wait for a file system that is
// stuck: it returns when ctx ends, and leaves the read behind. It does not work
// under proc.User.Do, for it reads in a goroutine.
func ReadFileBy(ctx context.Context, path string, limit int64) ([]byte, error) {
	content, err := bounded.Call(ctx, func() ([]byte, error) { return ReadFile(path, limit) }, nil)
	if err != nil && errors.Is(err, context.Cause(ctx)) {
		err = &fs.PathError{Op: "read", Path: path, Err: err}
	}
	return content, err
}

// fileType is what a name must stand for.
type fileType bool

const (
	regularFile fileType = false
	directory   fileType = true
)

// check says whether a file of this mode is what is wanted.
func (w fileType) check(path string, mode fs.FileMode) error {
	switch {
	case w == regularFile && !mode.IsRegular():
		return &fs.PathError{Op: "open", Path: path, Err: &NotRegularError{typeName(mode)}}
	case w == directory && !mode.IsDir():
		return &fs.PathError{Op: "open", Path: path, Err: errors.New("it is " + typeName(mode) + ", not a directory")}
	}
	return nil
}

// checkOpened checks what was opened, and closes what is not wanted.
func (w fileType) checkOpened(f *os.File) (*os.File, error) {
	info, err := f.Stat()
	if err == nil {
		err = w.check(f.Name(), info.Mode())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// typeName names what is not a regular file.
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
