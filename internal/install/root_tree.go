//go:build unix

package install

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/azptend/azptend/internal/safefile"
)

// Making is the stage of making a root. Its progress counts the installation's bytes.
const Making Stage = "making the root"

// rootMaker makes the tree of a root.
type rootMaker struct {
	options           RootOptions
	methods           copyMethods
	done              RootResult
	reflinked, linked int // of the files in bin and externals
}

// method is how bin and externals were made: the method that shares the most.
func (m *rootMaker) method() Method {
	switch {
	case m.linked > 0:
		return HardLink
	case m.reflinked > 0:
		return Reflink
	}
	return Copy
}

// copyInstallation makes the tree from the installation.
func (m *rootMaker) copyInstallation(ctx context.Context, tree string) error {
	var entries []fs.DirEntry
	err := m.options.As(func() (err error) {
		if err = os.Mkdir(tree, 0o755); err == nil {
			entries, err = os.ReadDir(m.options.From)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, entry := range entries {
		from, to := filepath.Join(m.options.From, entry.Name()), filepath.Join(tree, entry.Name())
		switch classifyEntry(entry.Name(), entry.Type()) {
		case programEntry:
			// One that is a link, as after an update, becomes a directory: through a link the
			// listener would take the installation for its own (agent-protocol.md 3.9).
			if from, err = filepath.EvalSymlinks(from); err == nil {
				err = m.addFolder(ctx, from, to)
			}
		case ownEntry:
			err = m.options.As(func() error { _, err := m.copyFile(from, to, false); return err })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// addFolder adds a directory with all that is in it. This process itself makes the links, in
// directories that were opened as the agent's user: the kernel lets nobody link a file that
// they neither own nor may write (fs.protected_hardlinks).
func (m *rootMaker) addFolder(ctx context.Context, from, to string) error {
	f := &rootFolder{from: from, to: to, maker: m, toLink: map[string]int64{}}
	defer f.close()
	if err := m.options.As(func() error { return f.open(ctx) }); err != nil {
		return err
	}
	var notLinked []string
	for name, size := range f.toLink {
		if err := link(f.source, f.target, name); err != nil {
			m.methods = m.methods.without(HardLink)
			notLinked = append(notLinked, name)
			continue
		}
		m.linked++
		m.count(size, 0)
	}
	err := m.options.As(func() error {
		for _, name := range notLinked {
			if err := ctx.Err(); err != nil {
				return err
			}
			if _, err := m.copyFile(filepath.Join(from, name), filepath.Join(to, name), false); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range f.below {
		if err := m.addFolder(ctx, filepath.Join(from, name), filepath.Join(to, name)); err != nil {
			return err
		}
	}
	return nil
}

// rootFolder is one directory of the tree.
type rootFolder struct {
	from, to       string
	maker          *rootMaker
	source, target *os.File
	toLink         map[string]int64 // the files to link, with their sizes
	below          []string
}

func (f *rootFolder) close() {
	f.source.Close()
	f.target.Close()
}

// open makes the directory, and everything in it except hard links and directories.
func (f *rootFolder) open(ctx context.Context) (err error) {
	if f.source, err = safefile.OpenDir(f.from); err != nil {
		return err
	}
	info, err := f.source.Stat()
	if err != nil {
		return err
	}
	if err = os.Mkdir(f.to, info.Mode().Perm()|0o700); err != nil {
		return err
	}
	if f.target, err = os.OpenFile(f.to, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0); err != nil {
		return err
	}
	entries, err := f.source.ReadDir(-1)
	if err != nil {
		return err
	}
	// Who can replace a file here must not get a second name for the replacement from root.
	safe := mayLink(inode{safefile.Owner(info), info.Mode().Perm()}, f.maker.options.Jobs)
	for _, entry := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := f.addEntry(entry, safe); err != nil {
			return err
		}
	}
	return nil
}

func (f *rootFolder) addEntry(entry fs.DirEntry, safe bool) error {
	name := entry.Name()
	from, to := filepath.Join(f.from, name), filepath.Join(f.to, name)
	info, err := entry.Info()
	if err != nil {
		return err
	}
	switch {
	case info.IsDir():
		f.below = append(f.below, name)
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	case info.Mode().IsRegular(): // no package has anything else
		linkable := safe && mayLink(inode{safefile.Owner(info), info.Mode()}, f.maker.options.Jobs)
		method, err := f.maker.copyFile(from, to, linkable)
		switch method {
		case HardLink:
			f.toLink[name] = info.Size()
		case Reflink:
			f.maker.reflinked++
		}
		return err
	}
	return nil
}

var errNoReflink = errors.New("no reflink")

// copyFile copies a file by the best method that is left. It leaves hard links to its
// caller. The first file shows whether the file systems know reflinks.
func (m *rootMaker) copyFile(from, to string, linkable bool) (Method, error) {
	method := m.methods.best(linkable)
	if method == HardLink {
		return method, nil
	}
	copied := int64(0)
	size, err := makeFile(from, to, func(target, source *os.File) (err error) {
		if method == Copy {
			copied, err = io.Copy(target, source)
		} else if reflink(target, source) != nil {
			err = errNoReflink
		}
		return err
	})
	if errors.Is(err, errNoReflink) {
		m.methods = m.methods.without(Reflink)
		return m.copyFile(from, to, linkable)
	}
	if err == nil {
		m.count(max(size, copied), copied)
	}
	return method, err
}

func (m *rootMaker) count(bytes, copied int64) {
	m.done.Files++
	m.done.Bytes += bytes
	m.done.Copied += copied
	m.options.OnProgress(Progress{Stage: Making, Done: m.done.Bytes})
}

// makeFile makes a file with the mode of another one, of this size, and calls fill. If that
// fails, nothing is left.
func makeFile(from, to string, fill func(target, source *os.File) error) (size int64, err error) {
	source, err := safefile.Open(from)
	if err != nil {
		return 0, err
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil {
		return 0, err
	}
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm()|0o400)
	if err != nil {
		return 0, err
	}
	if err := errors.Join(fill(target, source), target.Close()); err != nil {
		return 0, errors.Join(err, os.Remove(to))
	}
	return info.Size(), nil
}
