package install

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// unpacked is what an archive held.
type unpacked struct {
	files int
	bytes int64
}

// unpack writes the archive's files below root, and nothing anywhere else. Owners
// and times of the archive are not kept, nor set-user-id bits. Links are made
// last, when nothing is written through them any more.
func unpack(ctx context.Context, archive io.Reader, root *os.Root) (unpacked, error) {
	inflated, stop, err := inflate(archive)
	if err != nil {
		return unpacked{}, err
	}
	defer stop()
	u := unpacking{root: root, made: map[string]bool{".": true}, buffer: make([]byte, 1<<20)}
	defer u.leave()
	entries := tar.NewReader(inflated)
	for {
		if err := context.Cause(ctx); err != nil {
			return u.sum, err
		}
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return u.sum, fmt.Errorf("the archive cannot be read: %w", err)
		}
		if err := u.entry(h, entries); err != nil {
			return u.sum, fmt.Errorf("entry %.200q: %w", h.Name, err)
		}
	}
	return u.sum, u.makeLinks()
}

// unpacking is an archive on its way to the disk.
type unpacking struct {
	root   *os.Root
	made   map[string]bool // the folders that are there
	at     string          // the folder of the last file, whose neighbours come next
	here   *os.Root        // it; nil before the first
	links  []tar.Header
	sum    unpacked
	buffer []byte
}

var (
	errOutside = errors.New("it leads out of the folder")
	errKind    = errors.New("it is neither a file, a folder nor a link")
)

func (u *unpacking) entry(h *tar.Header, content io.Reader) error {
	name, err := inside(h.Name)
	if err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return u.folder(name)
	case tar.TypeReg:
		return u.file(name, h, content)
	case tar.TypeSymlink, tar.TypeLink:
		h.Name = name
		u.links = append(u.links, *h)
		return nil
	case tar.TypeXGlobalHeader:
		return nil
	}
	return errKind
}

// inside is an archive's name as a path below its folder.
func inside(name string) (string, error) {
	clean := path.Clean(strings.TrimPrefix(name, "./"))
	if name == "" || strings.ContainsRune(name, 0) || !fs.ValidPath(clean) {
		return "", errOutside
	}
	return clean, nil
}

func (u *unpacking) folder(name string) error {
	if u.made[name] {
		return nil
	}
	if err := u.root.MkdirAll(name, 0o755); err != nil {
		return err
	}
	u.made[name] = true
	return nil
}

func (u *unpacking) file(name string, h *tar.Header, content io.Reader) error {
	if name == "." {
		return errOutside
	}
	if err := u.folder(path.Dir(name)); err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if h.Mode&0o111 != 0 {
		mode = 0o755
	}
	if err := u.enter(path.Dir(name)); err != nil {
		return err
	}
	f, err := u.here.OpenFile(path.Base(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	n, err := io.CopyBuffer(onlyWriter{f}, content, u.buffer)
	if closed := f.Close(); err == nil {
		err = closed
	}
	u.sum.files++
	u.sum.bytes += n
	return err
}

// enter opens a folder, so that the files in it cost one step each and not one
// for each folder above them.
func (u *unpacking) enter(dir string) error {
	if u.here != nil && u.at == dir {
		return nil
	}
	here, err := u.root.OpenRoot(dir)
	if err != nil {
		return err
	}
	u.leave()
	u.at, u.here = dir, here
	return nil
}

func (u *unpacking) leave() {
	if u.here != nil {
		u.here.Close()
	}
}

// onlyWriter hides the file's ReadFrom, which would bring a buffer of its own.
type onlyWriter struct{ io.Writer }

// makeLinks makes the links, and then looks where each of them leads: a link may
// go through others, and only the file system knows where that ends.
func (u *unpacking) makeLinks() error {
	for _, h := range u.links {
		if err := u.link(h); err != nil {
			return fmt.Errorf("link %.200q to %.200q: %w", h.Name, h.Linkname, err)
		}
	}
	for _, h := range u.links {
		if _, err := u.root.Stat(h.Name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("link %.200q to %.200q: %w", h.Name, h.Linkname, errOutside)
		}
	}
	return nil
}

func (u *unpacking) link(h tar.Header) error {
	if err := u.folder(path.Dir(h.Name)); err != nil {
		return err
	}
	if h.Typeflag == tar.TypeLink {
		target, err := inside(h.Linkname)
		if err != nil {
			return err
		}
		return u.root.Link(target, h.Name)
	}
	if path.IsAbs(h.Linkname) || !fs.ValidPath(path.Join(path.Dir(h.Name), h.Linkname)) {
		return errOutside
	}
	return u.root.Symlink(h.Linkname, h.Name)
}

// The pieces that are inflated ahead of what is being written, and their size.
const pieces, pieceSize = 8, 1 << 20

// inflate gunzips beside its reader, so that one core inflates while another
// writes files. Stop ends it, and waits until it has.
func inflate(archive io.Reader) (r io.Reader, stop func(), err error) {
	zipped, err := gzip.NewReader(bufio.NewReaderSize(archive, pieceSize))
	if err != nil {
		return nil, nil, fmt.Errorf("the archive cannot be read: %w", err)
	}
	a := &ahead{full: make(chan piece, pieces), free: make(chan []byte, pieces), quit: make(chan struct{}), done: make(chan struct{})}
	for range pieces {
		a.free <- make([]byte, pieceSize)
	}
	go a.fill(zipped)
	return a, func() { close(a.quit); <-a.done }, nil
}

// piece is some inflated bytes, or the error that ended them.
type piece struct {
	bytes []byte
	err   error
}

// ahead is a reader of what a goroutine reads ahead.
type ahead struct {
	full       chan piece
	free       chan []byte
	quit, done chan struct{}
	now        piece
	rest       []byte
}

func (a *ahead) fill(r io.Reader) {
	defer close(a.done)
	for {
		var buffer []byte
		select {
		case buffer = <-a.free:
		case <-a.quit:
			return
		}
		n, err := readPiece(r, buffer)
		select {
		case a.full <- piece{buffer[:n], err}:
		case <-a.quit:
			return
		}
		if err != nil {
			return
		}
	}
}

// readPiece fills buffer, unless the end or an error comes first.
func readPiece(r io.Reader, buffer []byte) (n int, err error) {
	for n < len(buffer) && err == nil {
		var m int
		m, err = r.Read(buffer[n:])
		n += m
	}
	return n, err
}

// Read gives what was inflated, in its order.
func (a *ahead) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.now.err != nil {
			return 0, a.now.err
		}
		if a.now.bytes != nil {
			a.free <- a.now.bytes[:pieceSize]
		}
		a.now = <-a.full
		a.rest = a.now.bytes
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}
