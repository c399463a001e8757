package install

import (
	"errors"
	"io"
	"os"
	"sync"
)

// download is the archive while it arrives, in a file. A follower reads it meanwhile, and
// never makes the network wait, because the file holds what it has not read yet. The file
// begins again if what is in it turns out to be of another archive.
type download struct {
	file   *os.File
	report func(Progress)

	mu      sync.Mutex
	changed *sync.Cond
	size    int64 // of what arrived
	round   int   // how often the file began again
	end     error // nil: it still arrives; io.EOF: it is complete and verified
}

// newDownload continues what the file holds.
func newDownload(f *os.File, report func(Progress)) (*download, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	d := &download{file: f, report: report, size: info.Size()}
	d.changed = sync.NewCond(&d.mu)
	return d, nil
}

// Write adds what arrived.
func (d *download) Write(p []byte) (int, error) {
	n, err := d.file.Write(p)
	d.arrived(int64(n))
	return n, err
}

func (d *download) arrived(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.size += n
	d.changed.Broadcast()
}

// restart empties the file. What was read of it so far does not count.
func (d *download) restart() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.file.Truncate(0); err != nil {
		return err
	}
	if d.size > 0 {
		d.size, d.round = 0, d.round+1
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

// follower reads a download from its beginning, and waits for what has not arrived.
type follower struct {
	*download
	of int // the round that it reads
	at int64
}

func (d *download) follow() *follower {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &follower{download: d, of: d.round}
}

// Read returns io.EOF only for an archive that is verified. It reports progress from then on.
// It holds the lock, so that nothing is read of a file that begins again.
func (f *follower) Read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.of == f.round && f.at == f.size && f.end == nil {
		f.changed.Wait()
	}
	switch {
	case f.of != f.round:
		return 0, io.ErrNoProgress // its caller begins again
	case f.end != nil && !errors.Is(f.end, io.EOF), f.at == f.size:
		return 0, f.end
	}
	n, err := f.file.ReadAt(p[:min(int64(len(p)), f.size-f.at)], f.at)
	f.at += int64(n)
	if f.end != nil {
		f.report(Progress{Unpacking, f.at, f.size})
	}
	if errors.Is(err, io.EOF) { // somebody else shortened the file
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// settled waits until the download has ended, or has begun again; then what this follower
// read is void.
func (f *follower) settled() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.of == f.round && f.end == nil {
		f.changed.Wait()
	}
	return f.of == f.round
}
