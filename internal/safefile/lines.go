package safefile

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
)

// LineFollower reads the lines that another process appends to a file. It remembers how far
// it has read. It keeps no file open between two calls, and is not safe for concurrent use.
//
//	perf := safefile.Dir(dir).FollowLines("Agent.perf")
//	for {
//		lines, replaced, err := perf.Next()
//		… // replaced: earlier lines were of another file
//		if len(lines) == 0 {
//			break // until something changes
//		}
//	}
type LineFollower struct {
	dir    Dir
	name   string
	offset int64
	before []byte // the last bytes before offset, to detect another file: inode numbers are reused
}

// Next reads at most maxRead bytes, and fails if more than maxAhead bytes were added. A
// listener writes a few hundred bytes for a job.
const (
	maxRead         = 256 << 10
	maxAhead        = 64 << 20
	fingerprintSize = 128
)

// FollowLines starts at the beginning of the file, which need not exist yet.
func (d Dir) FollowLines(name string) *LineFollower { return &LineFollower{dir: d, name: name} }

// Next returns whole lines that were added since the last call, including newlines. If there
// are many, it returns some of them: call it until it returns none. A file that does not
// exist has no lines. replaced says that the file was truncated or replaced, and that these
// lines are at its beginning. If more than 64 MiB were added, the error is a *TooLargeError.
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
	if end == 0 && len(b) == maxRead { // a line of maxRead bytes without an end: skip it in pieces
		end = len(b)
	}
	l.offset += int64(end)
	l.before = append(l.before, b[:end]...)
	l.before = bytes.Clone(l.before[max(0, len(l.before)-fingerprintSize):])
	return b[:end], replaced, nil
}
