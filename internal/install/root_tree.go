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

// Making is a root being made; its bytes are the installation's.
const Making Stage = "making the root"

// rootMaker fills a root's tree.
type rootMaker struct {
	options RootOptions
	methods copyMethods
	done    RootResult
	// How many of bin's and externals' files came by each method.
	reflinked, linked int
}

// method names the closest that bin and externals are to the installation's.
func (m *rootMaker) method() Method {
	switch {
	case m.linked > 0:
		return HardLink
	case m.reflinked > 0:
		return Reflink
	}
	return Copy
}

// copyInstallation makes the tree from the installation's folder.
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
			err = m.addProgramFolder(ctx, from, to)
		case ownEntry:
			err = m.options.As(func() error { return m.addOwnFile(from, to) })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// addProgramFolder brings bin or externals in. One that is a link, as after an update,
// becomes a folder: through a link the listener would take the installation for
// its own (agent-protocol.md 3.9).
func (m *rootMaker) addProgramFolder(ctx context.Context, from, to string) error {
	target, err := filepath.EvalSymlinks(from)
	if err != nil {
		return err
	}
	return m.addFolder(ctx, target, to)
}

// addFolder brings a folder in, and what is below it. Links are made by this process
// itself, in folders that were opened as the agent's user: the kernel gives nobody
// a name of a file that is neither theirs nor theirs to write
// (fs.protected_hardlinks).
func (m *rootMaker) addFolder(ctx context.Context, from, to string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f := &rootFolder{from: from, to: to, maker: m}
	defer f.close()
	if err := m.options.As(f.open); err != nil {
		return err
	}
	for _, name := range f.toLink {
		if err := link(f.source, f.target, name); err != nil {
			m.methods = m.methods.without(HardLink)
			f.toCopy = append(f.toCopy, name)
			continue
		}
		m.linked++
		m.count(f.sizes[name], 0)
	}
	err := m.options.As(func() error {
		for _, name := range f.toCopy {
			if err := m.copyFile(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
				return err
			}
			if err := ctx.Err(); err != nil {
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

// rootFolder is one folder of a tree being made.
type rootFolder struct {
	from, to       string
	maker          *rootMaker
	source, target *os.File
	sizes          map[string]int64
	toLink, toCopy []string
	below          []string
}

func (f *rootFolder) close() {
	f.source.Close()
	f.target.Close()
}

// open makes the folder, sorts what goes into it, and makes the links that are
// files of their own.
func (f *rootFolder) open() (err error) {
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
	f.sizes = map[string]int64{}
	shared := isSafeToLinkFrom(info, f.maker.options.Jobs)
	for _, entry := range entries {
		if err := f.addEntry(entry, shared); err != nil {
			return err
		}
	}
	return nil
}

// isSafeToLinkFrom says the same of a folder as mayLink of a file: who can put
// another file in one's place must not have root give it a second name.
func isSafeToLinkFrom(folder fs.FileInfo, jobs JobUser) bool {
	return mayLink(inode{owner(folder), folder.Mode().Perm()}, jobs)
}

func (f *rootFolder) addEntry(entry fs.DirEntry, shared bool) error {
	name := entry.Name()
	info, err := entry.Info()
	if err != nil {
		return err
	}
	switch {
	case info.IsDir():
		f.below = append(f.below, name)
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(filepath.Join(f.from, name))
		if err != nil {
			return err
		}
		return os.Symlink(target, filepath.Join(f.to, name))
	case info.Mode().IsRegular(): // no package has anything else
		return f.addFile(name, info, shared && mayLink(inode{owner(info), info.Mode()}, f.maker.options.Jobs))
	}
	return nil
}

// addFile brings a file in by the best way there is, or puts it on the list for it.
// From the first file it learns whether the file systems know reflinks.
func (f *rootFolder) addFile(name string, info fs.FileInfo, linkable bool) error {
	m := f.maker
	switch m.methods.best(linkable) {
	case HardLink:
		f.toLink = append(f.toLink, name)
		f.sizes[name] = info.Size()
	case Copy:
		f.toCopy = append(f.toCopy, name)
	case Reflink:
		err := m.reflink(filepath.Join(f.from, name), filepath.Join(f.to, name))
		if errors.Is(err, errNoReflink) {
			m.methods = m.methods.without(Reflink)
			return f.addFile(name, info, linkable)
		}
		if err != nil {
			return err
		}
		m.reflinked++
		m.count(info.Size(), 0)
	}
	return nil
}

var errNoReflink = errors.New("no reflink")

// reflink makes a file that shares its blocks. A failure of the sharing itself
// leaves no file.
func (m *rootMaker) reflink(from, to string) error {
	return makeFile(from, to, func(t, f *os.File) error {
		if reflink(t, f) != nil {
			return errNoReflink
		}
		return nil
	})
}

// copyFile copies a file of bin or externals.
func (m *rootMaker) copyFile(from, to string) error {
	var n int64
	err := makeFile(from, to, func(t, f *os.File) (err error) { n, err = io.Copy(t, f); return err })
	if err == nil {
		m.count(n, n)
	}
	return err
}

// addOwnFile brings in a file that each root has for itself.
func (m *rootMaker) addOwnFile(from, to string) error {
	if m.methods.reflink {
		err := m.reflink(from, to)
		if err == nil {
			if info, err := os.Stat(to); err == nil {
				m.count(info.Size(), 0)
			}
			return nil
		}
		if !errors.Is(err, errNoReflink) {
			return err
		}
		m.methods = m.methods.without(Reflink)
	}
	return m.copyFile(from, to)
}

func (m *rootMaker) count(bytes, copied int64) {
	m.done.Files++
	m.done.Bytes += bytes
	m.done.Copied += copied
	m.options.OnProgress(Progress{Stage: Making, Done: m.done.Bytes})
}

// makeFile makes a file with another's mode, and what fill puts in; nothing is
// left of one that failed.
func makeFile(from, to string, fill func(to, from *os.File) error) error {
	source, err := safefile.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil {
		return err
	}
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm()|0o400)
	if err != nil {
		return err
	}
	err = errors.Join(fill(target, source), target.Close())
	if err != nil {
		return errors.Join(err, os.Remove(to))
	}
	return nil
}

func owner(info fs.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }
