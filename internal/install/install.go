// Package install puts Microsoft's agent package into a directory, completely or not at
// all. It is for Dockerfiles, for machines without a network, and for a start without a
// custom image.
//
//	fetch and unpack → verify → place
//
// The archive is downloaded into [stagingName] in the agent's directory, which only its
// user can read. Its file name is its SHA-256, so that an interrupted download is resumed,
// even after a kill. It is hashed and unpacked next to it while it arrives, and nothing
// leaves that directory before the checksum is verified. Until then its content can be
// anybody's: a path or a link that leads elsewhere is an error, and so is more content
// than an agent has. Then renames move the parts to their places, bin last. Until the
// listener is there, the directory counts as empty, and the next install finishes it.
//
// What is installed is recorded in [packageRecordName], so that the same install
// again does nothing.
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

// Stage is a part of an install.
type Stage string

// The stages that take long enough to report progress.
const (
	Downloading Stage = "downloading"
	Unpacking   Stage = "unpacking"
)

// Progress is how far a stage has come. Unpacking counts the bytes of the archive.
type Progress struct {
	Stage Stage
	Done  int64
	Total int64 // 0: unknown
}

// Options are one install.
type Options struct {
	Dir        string // the agent's directory; created if it does not exist
	Package    Package
	File       string         // a local archive; "": download it
	Get        GetFunc        // downloads it
	OnProgress func(Progress) // called often; may be nil
}

// Result is what an install did.
type Result struct {
	Unchanged bool // the package was installed already
	Resumed   int64
	Files     int
	Bytes     int64 // unpacked
	Fetch     time.Duration
	Unpack    time.Duration // time from the end of the fetch to the end of unpacking
}

// stagingName is the directory in the agent's directory in which an install works.
const stagingName = ".azptend-install"

// Install installs the package into the directory. If it fails or is killed, the directory
// holds what it held before, or no listener: then the next install of the package finishes
// it. The caller makes sure that there is one install at a time. The error may be a
// *ChecksumError.
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
	defer s.agentDir.Close()
	if err := s.agentDir.Chmod(stagingName, 0o700); err != nil { // nobody else sees what is not verified
		return Result{}, fmt.Errorf("cannot install into %s: %w", o.Dir, err)
	}
	done, err := s.fetchAndUnpack(ctx, o)
	if err != nil {
		return Result{}, err
	}
	p := o.Package
	if err := s.place(records{packageRecordName: PackageRecord{p.Kind, p.Platform, p.Version, p.SHA256}}); err != nil {
		return Result{}, fmt.Errorf("cannot install into %s: %w", o.Dir, err)
	}
	return done, safefile.RemoveAll(s.dir)
}

// fetchAndUnpack unpacks the archive into the tree while it arrives. It returns nil only if
// the checksum matches. It keeps the download for the next install if the download or the
// disk failed, and removes everything otherwise.
func (s staging) fetchAndUnpack(ctx context.Context, o Options) (Result, error) {
	begun := time.Now()
	part, err := s.openPart(partName(o.Package), o.OnProgress)
	if err != nil {
		return Result{}, fmt.Errorf("cannot install into %s: %w", o.Dir, err)
	}
	defer part.file.Close()
	done := Result{Resumed: part.size}
	unpacked := make(chan error, 1)
	go func() {
		sum, err := s.unpack(ctx, part)
		done.Files, done.Bytes = sum.files, sum.bytes
		unpacked <- err
	}()
	if o.File != "" {
		done.Resumed, err = 0, copyArchive(ctx, part, o)
	} else {
		err = fetch(ctx, o.Get, o.Package, part)
	}
	part.finish(err)
	done.Fetch = time.Since(begun)
	unpackErr := <-unpacked
	done.Unpack = time.Since(begun) - done.Fetch
	rejected := errors.As(err, new(*contentError))
	if unpackErr != nil && (err == nil || rejected) {
		err = fmt.Errorf("cannot unpack %s: %w", o.Package, unpackErr)
	}
	if rejected {
		err = &unverifiedError{err}
	}
	switch {
	case err == nil:
		return done, nil
	case o.File != "", errors.As(err, new(*ChecksumError)), errors.As(err, new(*contentError)):
		return Result{}, errors.Join(err, safefile.RemoveAll(s.dir))
	}
	return Result{}, errors.Join(err, s.agentDir.RemoveAll(s.path(treeName)))
}

// staging is the directory in which an install works, on the same file system as the agent's
// directory. Jobs may be able to write there, and azptend may be root: every operation goes
// through the opened agent's directory, so that a link cannot lead outside it.
type staging struct {
	agentDir *os.Root
	dir      string // the path of the staging folder
}

// openStaging creates the directory, and removes what an interrupted install left in it,
// except keep, a download of the same package. It keeps only a file of its own user: another
// user could change theirs after it was verified.
func openStaging(dir, keep string) (s staging, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return s, err
	}
	s = staging{dir: filepath.Join(dir, stagingName)}
	if s.agentDir, err = os.OpenRoot(dir); err != nil {
		return s, err
	}
	if info, err := s.agentDir.Lstat(stagingName); err == nil && (!info.IsDir() || safefile.Owner(info) != os.Geteuid()) {
		if err := safefile.RemoveAll(s.dir); err != nil {
			return s, errors.Join(err, s.agentDir.Close())
		}
	}
	if err := s.agentDir.Mkdir(stagingName, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return s, errors.Join(err, s.agentDir.Close())
	}
	left, err := s.list(".")
	for _, entry := range left {
		info, statErr := entry.Info()
		if statErr == nil && entry.Name() == keep && info.Mode().IsRegular() && safefile.Owner(info) == os.Geteuid() {
			continue
		}
		err = errors.Join(err, s.agentDir.RemoveAll(s.path(entry.Name())))
	}
	if err != nil {
		return s, errors.Join(err, s.agentDir.Close())
	}
	return s, nil
}

// path is a path in the staging directory, relative to the agent's directory.
func (s staging) path(parts ...string) string {
	return filepath.Join(append([]string{stagingName}, parts...)...)
}

func (s staging) list(name string) ([]fs.DirEntry, error) {
	return fs.ReadDir(s.agentDir.FS(), s.path(name))
}

// partName names the download of a package.
func partName(p Package) string { return p.SHA256[:16] + ".part" }

// maxArchive limits an archive, and what is resumed of one. Microsoft's packages have
// 300 MB.
const maxArchive = 8 << 30

// openPart opens the download, which is there if an earlier install was killed.
func (s staging) openPart(name string, report func(Progress)) (*download, error) {
	f, err := s.agentDir.OpenFile(s.path(name), os.O_RDWR|os.O_CREATE|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	part, err := newDownload(f, report)
	if err != nil {
		f.Close()
	}
	return part, err
}

// copyArchive copies a local file, which could change after it was verified.
func copyArchive(ctx context.Context, to *download, o Options) error {
	from, err := safefile.Open(o.File)
	if err != nil {
		return fmt.Errorf("cannot read the archive: %w", err)
	}
	defer from.Close()
	if err := to.restart(); err != nil {
		return err
	}
	n, err := io.Copy(to.file, from) // a reflink where the file system has it
	if err != nil {
		return fmt.Errorf("cannot read the archive: %w", err)
	}
	to.arrived(n)
	digest := sha256.New()
	if _, err := to.hash(ctx, digest); err != nil {
		return err
	}
	if got := hex.EncodeToString(digest.Sum(nil)); got != o.Package.SHA256 {
		return &ChecksumError{o.File, o.Package.SHA256, got}
	}
	return nil
}

// treeName is where the archive is unpacked; formerName is where files go that it replaces.
const treeName, formerName = "tree", "former"

// unpack unpacks the archive while it arrives, again from its beginning if it restarts. It
// stops the download of what cannot be unpacked.
func (s staging) unpack(ctx context.Context, archive *download) (unpackResult, error) {
	for {
		arriving := archive.follow()
		sum, err := s.unpackTree(ctx, arriving)
		if errors.As(err, new(*contentError)) {
			arriving.reject(err)
		}
		if arriving.settled() {
			return sum, err
		}
		if err := s.agentDir.RemoveAll(s.path(treeName)); err != nil {
			return sum, err
		}
	}
}

func (s staging) unpackTree(ctx context.Context, archive io.ReadCloser) (unpackResult, error) {
	if err := s.agentDir.Mkdir(s.path(treeName), 0o755); err != nil {
		return unpackResult{}, err
	}
	root, err := s.agentDir.OpenRoot(s.path(treeName))
	if err != nil {
		return unpackResult{}, err
	}
	defer root.Close()
	sum, err := unpack(ctx, archive, root)
	if err != nil {
		return sum, err
	}
	_, err = root.Stat(listenerPath)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		err = &contentError{fmt.Errorf("it holds no %s, so it is not an agent package", listenerPath)}
	}
	return sum, err
}

// listenerPath is the program that shows that a directory holds an agent.
const listenerPath = "bin/Agent.Listener"

// HasAgent says whether the directory holds an agent, installed by anybody.
func HasAgent(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, listenerPath))
	return !errors.Is(err, fs.ErrNotExist)
}
