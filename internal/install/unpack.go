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

	"github.com/klauspost/compress/gzip"
)

// unpackResult is what an archive held.
type unpackResult struct {
	files int
	bytes int64
}

// unpack writes the archive's files below root, and nothing anywhere else. Owners
// and times of the archive are not kept, nor set-user-id bits. Links are made
// last, when nothing is written through them any more.
func unpack(ctx context.Context, archive io.Reader, root *os.Root) (unpackResult, error) {
	return unpackWithin(ctx, archive, root, agentLimits)
}

// limits bound what an archive may hold. It is unpacked before it is verified, so it may be
// made to fill the disk.
type limits struct {
	entries int // files and links, and for each folder the folders above it
	bytes   int64
	name    int // bytes of an entry's name
}

// agentLimits are far above Microsoft's packages, which have some 10,000 entries and 1 GB.
var agentLimits = limits{entries: 200_000, bytes: 4 << 30, name: 4096}

func unpackWithin(ctx context.Context, archive io.Reader, root *os.Root, most limits) (unpackResult, error) {
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
			return u.sum, fmt.Errorf("the archive cannot be read: %w", err)
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
	links       []tar.Header
	sum         unpackResult
	left        limits // what more may come
	buffer      []byte
}

var (
	errOutsideFolder = errors.New("it leads out of the directory")
	errEntryType     = errors.New("it is neither a file, a directory nor a link")
	errTooMuch       = errors.New("the archive holds more than an agent package can hold")
)

func (u *unpacker) addEntry(h *tar.Header, content io.Reader) error {
	if u.left.entries--; u.left.entries < 0 || len(h.Name) > u.left.name {
		return errTooMuch
	}
	name, err := localPath(h.Name)
	if err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return u.addFolder(name)
	case tar.TypeReg:
		return u.addFile(name, h, content)
	case tar.TypeSymlink, tar.TypeLink:
		h.Name = name
		u.links = append(u.links, *h)
		return nil
	case tar.TypeXGlobalHeader:
		return nil
	}
	return errEntryType
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
	n, err := io.CopyBuffer(onlyWriter{f}, content, u.buffer)
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

// makeLinks makes the links, and then looks where each of them leads: a link may
// go through others, and only the file system knows where that ends.
func (u *unpacker) makeLinks() error {
	for _, h := range u.links {
		if err := u.makeLink(h); err != nil {
			return fmt.Errorf("link %.200q to %.200q: %w", h.Name, h.Linkname, err)
		}
	}
	for _, h := range u.links {
		if _, err := u.root.Stat(h.Name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("link %.200q to %.200q: %w", h.Name, h.Linkname, errOutsideFolder)
		}
	}
	return nil
}

func (u *unpacker) makeLink(h tar.Header) error {
	if err := u.addFolder(path.Dir(h.Name)); err != nil {
		return err
	}
	if h.Typeflag == tar.TypeLink {
		target, err := localPath(h.Linkname)
		if err != nil {
			return err
		}
		return u.root.Link(target, h.Name)
	}
	if path.IsAbs(h.Linkname) || !fs.ValidPath(path.Join(path.Dir(h.Name), h.Linkname)) {
		return errOutsideFolder
	}
	return u.root.Symlink(h.Linkname, h.Name)
}

// The number and size of the chunks that are inflated ahead of what is being written.
const maxChunks, chunkSize = 8, 1 << 20

// inflate gunzips in a goroutine, so that one core inflates while another writes files.
// Stop ends it, and waits until it has ended.
func inflate(archive io.Reader) (r io.Reader, stop func(), err error) {
	zipped, err := gzip.NewReader(bufio.NewReaderSize(archive, chunkSize))
	if err != nil {
		return nil, nil, fmt.Errorf("the archive cannot be read: %w", err)
	}
	a := &readAhead{full: make(chan *bytes.Buffer, maxChunks), free: make(chan *bytes.Buffer, maxChunks), quit: make(chan struct{}), done: make(chan struct{})}
	for range maxChunks {
		a.free <- bytes.NewBuffer(make([]byte, 0, chunkSize+bytes.MinRead))
	}
	go a.fill(zipped)
	return a, func() { close(a.quit); <-a.done }, nil
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
