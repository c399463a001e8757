package install

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/klauspost/compress/gzip"
)

// unpackResult is what an archive held.
type unpackResult struct {
	files int
	bytes int64
}

// unpack writes the archive's files below root, and nothing anywhere else. Owners
// and times of the archive are not kept, nor set-user-id bits. Links are made
// last, when nothing is written through them any more. It closes the archive.
func unpack(ctx context.Context, archive io.ReadCloser, root *os.Root) (unpackResult, error) {
	return unpackWithin(ctx, archive, root, agentLimits)
}

// limits bound what an archive may hold. It is unpacked before it is verified, so it may be
// made to fill the disk or the memory.
type limits struct {
	entries int   // files and links, and for each folder the folders above it
	bytes   int64 // of files and headers
	name    int   // bytes of an entry's name, and of a link's target
	links   int   // bytes of all links' names and targets, which are held in memory
}

// agentLimits are far above Microsoft's packages, which have some 10,000 entries and 1 GB.
var agentLimits = limits{entries: 200_000, bytes: 4 << 30, name: 4096, links: 16 << 20}

func unpackWithin(ctx context.Context, archive io.ReadCloser, root *os.Root, most limits) (unpackResult, error) {
	inflated, stop, err := inflate(archive)
	if err != nil {
		return unpackResult{}, err
	}
	defer stop()
	u := unpacker{root: root, left: most, madeFolders: map[string]bool{".": true}, buffer: make([]byte, 1<<20)}
	defer u.closeFolder()
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
			return u.sum, readError(err)
		}
		if err := u.addEntry(h, entries); err != nil {
			return u.sum, fmt.Errorf("entry %.200q: %w", h.Name, err)
		}
	}
	return u.sum, u.makeLinks()
}

// unpacker is an archive on its way to the disk.
type unpacker struct {
	root        *os.Root
	madeFolders map[string]bool // the folders that are there
	folderPath  string          // the folder of the last file, whose neighbours come next
	folder      *os.Root        // it; nil before the first
	links       []archiveLink
	sum         unpackResult
	left        limits // what more may come
	buffer      []byte
}

// contentError says that an archive's content is at fault: unpacking it again does not help,
// unlike after a failure of the disk.
type contentError struct{ error }

func (e *contentError) Unwrap() error { return e.error }

var (
	errOutsideFolder = &contentError{errors.New("it leads out of the directory")}
	errEntryType     = &contentError{errors.New("it is neither a file, a directory nor a link")}
	errTooMuch       = &contentError{errors.New("the archive holds more than an agent package can hold")}
)

// readError is a failure to read the archive: of its content, or of the disk that it is on.
func readError(err error) error {
	read := fmt.Errorf("the archive cannot be read: %w", err)
	if errors.As(err, new(*os.PathError)) {
		return read
	}
	return &contentError{read}
}

func (u *unpacker) addEntry(h *tar.Header, content io.Reader) error {
	u.left.entries--
	u.left.bytes -= headerSize(h)
	if u.left.entries < 0 || u.left.bytes < 0 || max(len(h.Name), len(h.Linkname)) > u.left.name {
		return errTooMuch
	}
	name, err := localPath(h.Name)
	if err != nil {
		return err
	}
	name = strings.Clone(name) // it may be a part of a header of 1 MiB, which it would hold in memory
	switch h.Typeflag {
	case tar.TypeDir:
		return u.addFolder(name)
	case tar.TypeReg:
		return u.addFile(name, h, content)
	case tar.TypeSymlink, tar.TypeLink:
		if u.left.links -= len(name) + len(h.Linkname); u.left.links < 0 {
			return errTooMuch
		}
		u.links = append(u.links, archiveLink{name, strings.Clone(h.Linkname), h.Typeflag == tar.TypeLink})
		return nil
	case tar.TypeXGlobalHeader:
		return nil
	}
	return errEntryType
}

// headerSize is what a header adds to the content.
func headerSize(h *tar.Header) int64 {
	size := len(h.Name) + len(h.Linkname)
	for key, value := range h.PAXRecords {
		size += len(key) + len(value)
	}
	return int64(size)
}

// localPath is an archive's name as a path below its folder.
func localPath(name string) (string, error) {
	clean := path.Clean(strings.TrimPrefix(name, "./"))
	if name == "" || strings.ContainsRune(name, 0) || !fs.ValidPath(clean) {
		return "", errOutsideFolder
	}
	return clean, nil
}

func (u *unpacker) addFolder(name string) error {
	if u.madeFolders[name] {
		return nil
	}
	if u.left.entries -= strings.Count(name, "/") + 1; u.left.entries < 0 {
		return errTooMuch
	}
	if err := u.root.MkdirAll(name, 0o755); err != nil {
		return err
	}
	u.madeFolders[name] = true
	return nil
}

func (u *unpacker) addFile(name string, h *tar.Header, content io.Reader) error {
	if name == "." {
		return errOutsideFolder
	}
	if u.left.bytes -= h.Size; u.left.bytes < 0 {
		return errTooMuch
	}
	if err := u.addFolder(path.Dir(name)); err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if h.Mode&0o111 != 0 {
		mode = 0o755
	}
	if err := u.openFolder(path.Dir(name)); err != nil {
		return err
	}
	f, err := u.folder.OpenFile(path.Base(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	n, err := io.CopyBuffer(onlyWriter{f}, contentReader{content}, u.buffer)
	if closed := f.Close(); err == nil {
		err = closed
	}
	u.sum.files++
	u.sum.bytes += n
	return err
}

// openFolder opens a folder, so that the files in it cost one step each and not one
// for each folder above them.
func (u *unpacker) openFolder(dir string) error {
	if u.folder != nil && u.folderPath == dir {
		return nil
	}
	here, err := u.root.OpenRoot(dir)
	if err != nil {
		return err
	}
	u.closeFolder()
	u.folderPath, u.folder = dir, here
	return nil
}

func (u *unpacker) closeFolder() {
	if u.folder != nil {
		u.folder.Close()
	}
}

// onlyWriter hides the file's ReadFrom, which would bring a buffer of its own.
type onlyWriter struct{ io.Writer }

// contentReader reads a file in the archive. Its errors are not those of the file that is written.
type contentReader struct{ io.Reader }

func (c contentReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = readError(err)
	}
	return n, err
}

// archiveLink is a link to make when all files are there.
type archiveLink struct {
	name, target string
	hard         bool
}

// makeLinks makes the links, and then looks where each of them leads: a link may
// go through others, and only the file system knows where that ends.
func (u *unpacker) makeLinks() error {
	for _, l := range u.links {
		if err := u.makeLink(l); err != nil {
			return fmt.Errorf("link %.200q to %.200q: %w", l.name, l.target, err)
		}
	}
	for _, l := range u.links {
		_, err := u.root.Stat(l.name)
		var number syscall.Errno
		switch {
		case err == nil, errors.Is(err, fs.ErrNotExist):
			continue
		case !errors.As(err, &number) || number == syscall.ELOOP: // the others are the disk's
			err = errOutsideFolder
		}
		return fmt.Errorf("link %.200q to %.200q: %w", l.name, l.target, err)
	}
	return nil
}

func (u *unpacker) makeLink(l archiveLink) error {
	if err := u.addFolder(path.Dir(l.name)); err != nil {
		return err
	}
	if l.hard {
		target, err := localPath(l.target)
		if err != nil {
			return err
		}
		return withoutTarget(u.root.Link(target, l.name))
	}
	if path.IsAbs(l.target) || !fs.ValidPath(path.Join(path.Dir(l.name), l.target)) {
		return errOutsideFolder
	}
	return withoutTarget(u.root.Symlink(l.target, l.name))
}

// withoutTarget is an error without the link's target, which can be long. It is still an
// error of the file system.
func withoutTarget(err error) error {
	var failed *os.LinkError
	if errors.As(err, &failed) {
		return &os.PathError{Op: failed.Op, Path: fmt.Sprintf("%.200s", failed.New), Err: failed.Err}
	}
	return err
}

// The number and size of the chunks that are inflated ahead of what is being written.
const maxChunks, chunkSize = 8, 1 << 20

// inflate gunzips in a goroutine, so that one core inflates while another writes files.
// stop ends it, and waits until it has ended: closing the archive ends a read that waits for
// the network.
func inflate(archive io.ReadCloser) (r io.Reader, stop func(), err error) {
	zipped, err := gzip.NewReader(bufio.NewReaderSize(archive, chunkSize))
	if err != nil {
		return nil, nil, readError(err)
	}
	a := &readAhead{full: make(chan *bytes.Buffer, maxChunks), free: make(chan *bytes.Buffer, maxChunks), quit: make(chan struct{}), done: make(chan struct{})}
	for range maxChunks {
		a.free <- bytes.NewBuffer(make([]byte, 0, chunkSize+bytes.MinRead))
	}
	go a.fill(zipped)
	return a, func() { close(a.quit); archive.Close(); <-a.done }, nil
}

// readAhead is a reader of what a goroutine reads ahead. Its buffers go round: free, full.
type readAhead struct {
	full, free chan *bytes.Buffer
	quit, done chan struct{}
	current    *bytes.Buffer
	err        error // why full was closed
}

func (a *readAhead) fill(r io.Reader) {
	defer close(a.done)
	defer close(a.full)
	for a.err == nil {
		select {
		case b := <-a.free:
			b.Reset()
			_, a.err = io.CopyN(b, r, chunkSize)
			a.full <- b // has room for every buffer
		case <-a.quit:
			a.err = io.ErrClosedPipe
		}
	}
}

// Read reads what was inflated, in its order.
func (a *readAhead) Read(p []byte) (int, error) {
	for a.current == nil || a.current.Len() == 0 {
		if a.current != nil {
			a.free <- a.current
		}
		if a.current = <-a.full; a.current == nil {
			return 0, a.err
		}
	}
	return a.current.Read(p)
}
