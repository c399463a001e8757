package safefile

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
)

// LineFollower follows a file to which another process appends lines. It remembers how far
// it has read, and reads what was added. It keeps no file open between two calls, and is for
// one goroutine at a time.
//
//	perf := safefile.Dir(dir).FollowLines("Agent.perf")
//	for {
//		lines, replaced, err := perf.Next()
//		… // replaced: the lines before were those of another file
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

// How much Next reads at most, and how much may have been added. A listener writes some
// hundred bytes for a job.
const (
	maxRead         = 256 << 10
	maxAhead        = 64 << 20
	fingerprintSize = 128
)

// FollowLines starts at the beginning of the file, which need not exist yet.
func (d Dir) FollowLines(name string) *LineFollower { return &LineFollower{dir: d, name: name} }

// Next returns whole lines that were added since the last call, newlines included. If there
// are many, it returns a part of them: call it until it returns none. A file that does not
// exist has no lines. Replaced means that the file was truncated or replaced, and that these
// lines are at its beginning. If more was added than anyone writes between two calls, the
// error is a *TooLargeError.
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
	if end == 0 && len(b) == maxRead { // no real line is as long
		end = len(b)
	}
	l.offset += int64(end)
	l.before = append(l.before, b[:end]...)
	l.before = bytes.Clone(l.before[max(0, len(l.before)-fingerprintSize):])
	return b[:end], replaced, nil
}
