package install

import (
	"context"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"
	"sync"
)

// download is a file that fetch writes and followers read at the same time. restart empties
// it if its content belongs to another archive. A follower reads without the lock, so that
// the network does not wait for it.
type download struct {
	file   *os.File
	report func(Progress)

	mu       sync.Mutex
	changed  *sync.Cond
	size     int64 // of what arrived
	restarts int
	rejected error // why what arrived since the last restart cannot be unpacked
	end      error // nil: it still arrives; io.EOF: it is complete and verified
}

// newDownload continues what the file holds.
func newDownload(f *os.File, report func(Progress)) (*download, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: f.Name(), Err: errors.New("it is not a regular file")}
	}
	d := &download{file: f, report: report, size: info.Size()}
	d.changed = sync.NewCond(&d.mu)
	if d.size > maxArchive {
		return d, d.restart()
	}
	return d, nil
}

// length is how much arrived.
func (d *download) length() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.size
}

// Write adds what arrived. It fails if a follower has rejected what arrived before.
func (d *download) Write(p []byte) (int, error) {
	d.mu.Lock()
	at, rejected := d.size, d.rejected
	d.mu.Unlock()
	if rejected != nil {
		return 0, rejected
	}
	n, err := d.file.WriteAt(p, at)
	d.arrived(int64(n))
	return n, err
}

func (d *download) arrived(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.size += n
	d.changed.Broadcast()
}

// hash adds what arrived to the digest, and returns its size.
func (d *download) hash(ctx context.Context, digest hash.Hash) (int64, error) {
	size := d.length()
	return size, hashContent(ctx, io.NewSectionReader(d.file, 0, size), digest)
}

// restart empties the file. What was read of it so far does not count.
func (d *download) restart() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.file.Truncate(0); err != nil {
		return err
	}
	if d.size > 0 {
		d.size, d.rejected = 0, nil
		d.restarts++
	}
	d.changed.Broadcast()
	return nil
}

// finish ends the download. Without an error it is complete, and verified.
func (d *download) finish(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.end = err
	if err == nil {
		d.end = io.EOF
	}
	d.changed.Broadcast()
}

// errRestarted says that what a follower read belongs to another archive.
var errRestarted = errors.New("the download restarted")

// follower reads a download from its beginning, and waits for what has not arrived.
type follower struct {
	*download
	restartsSeen int
	at           int64
	closed       bool
}

func (d *download) follow() *follower {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &follower{download: d, restartsSeen: d.restarts}
}

// Read returns io.EOF only for an archive that is verified. It reports progress from then on.
func (f *follower) Read(p []byte) (int, error) {
	size, end := f.wait()
	verified := errors.Is(end, io.EOF)
	if verified {
		defer func() { f.report(Progress{Unpacking, f.at, size}) }()
	}
	if end != nil && !verified || f.at == size {
		return 0, end
	}
	return f.readArrived(p[:min(int64(len(p)), size-f.at)])
}

// readArrived reads what has arrived, without the lock.
func (f *follower) readArrived(p []byte) (int, error) {
	n, err := f.file.ReadAt(p, f.at)
	if f.restarted() { // perhaps while it was being read
		return 0, errRestarted
	}
	f.at += int64(n)
	if errors.Is(err, io.EOF) { // somebody else shortened the file
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// wait waits until there is more to read, or the download ends or restarts. It returns how
// much arrived, and why no more will.
func (f *follower) wait() (size int64, end error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.restartsSeen == f.restarts && f.at == f.size && f.end == nil && !f.closed {
		f.changed.Wait()
	}
	switch {
	case f.restartsSeen != f.restarts:
		return f.size, errRestarted
	case f.closed:
		return f.size, fs.ErrClosed
	}
	return f.size, f.end
}

// Close ends a Read that waits.
func (f *follower) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.changed.Broadcast()
	return nil
}

func (f *follower) restarted() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.restartsSeen != f.restarts
}

// reject stops the download, because what this follower read of it cannot be unpacked.
func (f *follower) reject(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.restartsSeen == f.restarts {
		f.rejected = err
	}
}

// settled waits for the end of the download and returns true. It returns false if the
// download restarted: discard what was read.
func (f *follower) settled() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.restartsSeen == f.restarts && f.end == nil {
		f.changed.Wait()
	}
	return f.restartsSeen == f.restarts
}
