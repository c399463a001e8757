package safefile

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
)

// LineFollower follows a file that another process appends lines to. It remembers how far
// it has read, and reads what came since. It keeps no file open between two calls,
// and is for one goroutine at a time.
//
//	perf := safefile.Dir(dir).Lines("Agent.perf")
//	for {
//		lines, replaced, err := perf.Next()
//		… // replaced: what was counted before is of another file
//		if len(lines) == 0 {
//			break // until something changes
//		}
//	}
type LineFollower struct {
	dir    Dir
	name   string
	offset int64
	before []byte // the last bytes before offset; they identify the file, because inode numbers are reused
}

// What Next reads at most, and by how much a file may be ahead of what was read.
// A listener writes some hundred bytes for a job.
const (
	maxRead         = 256 << 10
	maxAhead        = 64 << 20
	fingerprintSize = 128
)

// FollowLines begins at the file's start. The file need not be there yet.
func (d Dir) FollowLines(name string) *LineFollower { return &LineFollower{dir: d, name: name} }

// Next returns whole lines that came since the last call, newlines included, a
// part of them if there are many: a caller asks again until it gets none. A file
// that is not there has no lines. Replaced says that these lines begin at the start
// of another file than before: it was truncated or replaced. A file that is further
// ahead than anyone writes between two calls is a *TooLargeError.
func (l *LineFollower) Next() (lines []byte, replaced bool, err error) {
	f, err := l.dir.Open(l.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	before := make([]byte, len(l.before))
	if n, err := f.ReadAt(before, l.offset-int64(len(before))); err != nil && !errors.Is(err, io.EOF) {
		return nil, false, err
	} else if !bytes.Equal(before[:n], l.before) {
		replaced, l.offset, l.before = true, 0, nil
	}
	info, err := f.Stat()
	if err != nil {
		return nil, replaced, err
	}
	if ahead := info.Size() - l.offset; ahead > maxAhead {
		return nil, replaced, &fs.PathError{Op: "read", Path: f.Name(), Err: &TooLargeError{ahead, maxAhead}}
	}
	b, err := io.ReadAll(io.NewSectionReader(f, l.offset, maxRead))
	if err != nil {
		return nil, replaced, err
	}
	end := bytes.LastIndexByte(b, '\n') + 1
	if end == 0 && len(b) == maxRead { // no line is as long; what follows it is one again
		end = len(b)
	}
	l.offset += int64(end)
	l.before = append(l.before, b[:end]...)
	l.before = bytes.Clone(l.before[max(0, len(l.before)-fingerprintSize):])
	return b[:end], replaced, nil
}
