package install

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/azptend/azptend/internal/safefile"
)

// Stage is what an install is at.
type Stage string

// The stages that take long enough to be told.
const (
	Downloading Stage = "downloading"
	Unpacking   Stage = "unpacking"
)

// Progress is how far a stage has come. Of Unpacking the bytes are the archive's.
type Progress struct {
	Stage Stage
	Done  int64
	Total int64 // 0 when it is not known
}

// Options are one install.
type Options struct {
	Dir        string // the agent's folder; made if it is not there
	Package    Package
	File       string         // the archive, if it is a local file
	Get        GetFunc        // how it is downloaded else
	OnProgress func(Progress) // called often; nil for nobody
}

// Result is what an install did.
type Result struct {
	Unchanged bool // it was there, and nothing was done
	Resumed   int64
	Files     int
	Bytes     int64 // unpacked
	Fetch     time.Duration
	Unpack    time.Duration
}

// stagingName is the folder in the agent's in which an install works.
const stagingName = ".azptend-install"

// Install puts the package into the folder. When it fails, or is killed, the
// folder holds what it held before, or no listener: then the next install of the
// package finishes it. One install at a time is the caller's affair. The error
// may be a *SumError.
func Install(ctx context.Context, o Options) (Result, error) {
	if err := o.Package.Check(); err != nil {
		return Result{}, err
	}
	if m, found := Installed(o.Dir); found && m.SHA256 == o.Package.SHA256 {
		return Result{Unchanged: true}, safefile.RemoveAll(filepath.Join(o.Dir, stagingName))
	}
	if o.OnProgress == nil {
		o.OnProgress = func(Progress) {}
	}
	s, err := openStaging(o.Dir, partName(o.Package))
	if err != nil {
		return Result{}, fmt.Errorf("cannot install into %s: %w", o.Dir, err)
	}
	defer s.close()
	begun := time.Now()
	archive, resumed, err := s.archive(ctx, o)
	if err != nil {
		return Result{}, err
	}
	defer archive.Close()
	fetched := time.Now()
	sum, err := s.unpack(ctx, o, archive)
	if err != nil {
		return Result{}, errors.Join(fmt.Errorf("cannot unpack %s: %w", o.Package, err), s.removeTree())
	}
	if err := s.place(recordsFor(o.Package)); err != nil {
		return Result{}, fmt.Errorf("cannot install into %s: %w", o.Dir, err)
	}
	return Result{Resumed: resumed, Files: sum.files, Bytes: sum.bytes, Fetch: fetched.Sub(begun), Unpack: time.Since(fetched)},
		s.remove()
}

// staging is the folder in which an install works, on the same file system as the
// places its files go to. Jobs may be able to write to the agent's folder, and
// azptend may be root: everything is done through an opened agent's folder, so
// that a link that is put in the way leads nowhere else.
type staging struct {
	agentDir *os.Root
	dir      string // the path of the staging folder
}

// openStaging makes the folder, and takes away what an install that was killed
// left there, but for what is to be kept, a download of the same package. Only
// what is ours is kept: another user could change it after it was verified.
func openStaging(dir, keep string) (s staging, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return s, err
	}
	s = staging{dir: filepath.Join(dir, stagingName)}
	if s.agentDir, err = os.OpenRoot(dir); err != nil {
		return s, err
	}
	if info, err := s.agentDir.Lstat(stagingName); err == nil && (!info.IsDir() || owner(info) != os.Geteuid()) {
		if err := s.remove(); err != nil {
			return s, errors.Join(err, s.close())
		}
	}
	if err := s.agentDir.Mkdir(stagingName, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return s, errors.Join(err, s.close())
	}
	left, err := s.list(".")
	for _, entry := range left {
		info, statErr := entry.Info()
		if statErr == nil && entry.Name() == keep && info.Mode().IsRegular() && owner(info) == os.Geteuid() {
			continue
		}
		err = errors.Join(err, s.agentDir.RemoveAll(s.path(entry.Name())))
	}
	if err != nil {
		return s, errors.Join(err, s.close())
	}
	return s, nil
}

// path is the path, from the agent's folder, of something in the staging folder.
func (s staging) path(parts ...string) string {
	return filepath.Join(append([]string{stagingName}, parts...)...)
}

func (s staging) list(name string) ([]fs.DirEntry, error) {
	return fs.ReadDir(s.agentDir.FS(), s.path(name))
}

func (s staging) remove() error { return safefile.RemoveAll(s.dir) }

func (s staging) close() error { return s.agentDir.Close() }

// partName names a download by what it is to become.
func partName(p Package) string { return p.SHA256[:16] + ".part" }

// archive is the verified archive, at its beginning, and how much of it an
// earlier install had fetched. A local file is copied first: what is verified
// must be what is unpacked, whatever happens to the file meanwhile.
func (s staging) archive(ctx context.Context, o Options) (f *os.File, resumed int64, err error) {
	f, err = s.openPart(partName(o.Package))
	if err != nil {
		return nil, 0, fmt.Errorf("cannot install into %s: %w", o.Dir, err)
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if o.File != "" {
		err = s.copyArchive(ctx, f, o)
	} else {
		if info, statErr := f.Stat(); statErr == nil {
			resumed = info.Size()
		}
		err = fetch(ctx, o.Get, o.Package, f, o.OnProgress)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	return f, resumed, err
}

// maxArchive bounds what is taken over from an earlier download. Microsoft's
// packages are of 300 MB.
const maxArchive = 8 << 30

// openPart opens the download, which is there if an earlier install was killed.
func (s staging) openPart(name string) (*os.File, error) {
	f, err := s.agentDir.OpenFile(s.path(name), os.O_RDWR|os.O_CREATE|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: f.Name(), Err: errors.New("it is not a regular file")}
	}
	if err == nil && info.Size() > maxArchive {
		err = f.Truncate(0)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (s staging) copyArchive(ctx context.Context, to *os.File, o Options) error {
	from, err := safefile.Open(o.File)
	if err != nil {
		return fmt.Errorf("cannot read the archive: %w", err)
	}
	defer from.Close()
	if err := to.Truncate(0); err != nil {
		return err
	}
	if _, err := io.Copy(to, from); err != nil { // a reflink where the file system has it
		return fmt.Errorf("cannot read the archive: %w", err)
	}
	digest := sha256.New()
	if _, err := hashFile(ctx, to, digest); err != nil {
		return err
	}
	if got := hex.EncodeToString(digest.Sum(nil)); got != o.Package.SHA256 {
		return errors.Join(&ChecksumError{o.File, o.Package.SHA256, got}, s.agentDir.Remove(s.path(partName(o.Package))))
	}
	return nil
}

// treeName is where the archive is unpacked; formerName, where what it replaces
// goes.
const treeName, formerName = "tree", "former"

func (s staging) unpack(ctx context.Context, o Options, archive *os.File) (unpackResult, error) {
	if err := s.agentDir.Mkdir(s.path(treeName), 0o755); err != nil {
		return unpackResult{}, err
	}
	root, err := s.agentDir.OpenRoot(s.path(treeName))
	if err != nil {
		return unpackResult{}, err
	}
	defer root.Close()
	info, err := archive.Stat()
	if err != nil {
		return unpackResult{}, err
	}
	from := &progressReader{Reader: archive, progress: Progress{Stage: Unpacking, Total: info.Size()}, say: o.OnProgress}
	sum, err := unpack(ctx, from, root)
	if err != nil {
		return sum, err
	}
	if _, err := root.Stat(listenerPath); err != nil {
		return sum, fmt.Errorf("it holds no %s, so it is not an agent package", listenerPath)
	}
	return sum, nil
}

// removeTree takes an unpacking that failed away; the archive stays, it is verified.
func (s staging) removeTree() error { return s.agentDir.RemoveAll(s.path(treeName)) }

// progressReader tells how much was read.
type progressReader struct {
	io.Reader
	progress Progress
	say      func(Progress)
}

func (c *progressReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.progress.Done += int64(n)
	c.say(c.progress)
	return n, err
}

// listenerPath is the program by which a folder is known to hold an agent.
const listenerPath = "bin/Agent.Listener"

// HasAgent says whether the folder holds an agent, whoever put it there.
func HasAgent(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, listenerPath))
	return !errors.Is(err, fs.ErrNotExist)
}
