package agentdir

import (
	"debug/elf"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/azptend/azptend/internal/safefile"
)

// Loader is what the listener was built to find on its system.
type Loader struct {
	Libc   string // "glibc" or "musl"; "" for a program that needs none
	Path   string // the file that the kernel starts it with
	Exists bool
}

// maxProgramSize bounds what is read of the listener's file, which is of some
// hundred kB: a job can put a sparse one there whose tables are terabytes.
const maxProgramSize = 16 << 20

// Loader reads what the listener's file asks for: a package for another C library
// cannot even be started, and the system's word for it, "no such file", names
// the wrong file (agent-protocol.md 8: there are packages for glibc and musl).
func (f Dir) Loader() (Loader, error) {
	file, err := safefile.Open(f.Listener())
	if err != nil {
		return Loader{}, f.dirError("bin/Agent.Listener cannot be read: "+withoutPath(err), "is it readable for this user?", err)
	}
	defer file.Close()
	program, err := elf.NewFile(io.NewSectionReader(file, 0, maxProgramSize))
	if err != nil {
		return Loader{}, nil //nolint:nilerr // a script, or a program of another system
	}
	for _, part := range program.Progs {
		if part.Type != elf.PT_INTERP || part.Filesz > 4096 {
			continue
		}
		name, err := io.ReadAll(part.Open())
		if err != nil {
			return Loader{}, fmt.Errorf("cannot read %s: %w", f.Listener(), err)
		}
		needs := Loader{Libc: "glibc", Path: strings.TrimRight(string(name), "\x00")}
		if strings.Contains(needs.Path, "ld-musl") {
			needs.Libc = "musl"
		}
		_, err = os.Stat(needs.Path)
		needs.Exists = err == nil
		return needs, nil
	}
	return Loader{}, nil
}

// invariantVariable is .NET's setting to do without ICU (agent-protocol.md 10, 12th
// surprise), as a variable and in the program's own settings.
const invariantVariable = "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT"

// FindICU finds what .NET ends without: a libicuuc in the folders where libraries
// are, or the setting that makes it needless. It returns the file or the setting,
// and "" where there is neither. Variable is the listener's environment, root the
// file system ("/").
func (f Dir) FindICU(root string, variable func(string) string) string {
	if v := strings.ToLower(variable(invariantVariable)); v == "1" || v == "true" {
		return invariantVariable
	}
	settings := f.Listener() + ".runtimeconfig.json"
	if b, err := safefile.ReadFile(settings, maxFileSize); err == nil && strings.Contains(strings.ReplaceAll(string(b), " ", ""), `"System.Globalization.Invariant":true`) {
		return settings
	}
	folders := append(filepath.SplitList(variable("LD_LIBRARY_PATH")), filepath.Join(f.Root, "bin"))
	for _, dir := range append(libraryDirs(root), folders...) {
		if found := entries(dir, "libicuuc.so*"); len(found) > 0 {
			return filepath.Join(dir, found[0].Name())
		}
	}
	return ""
}

// libraryDirs are where loaders look by themselves, and where ld.so.conf.d
// tells them to.
func libraryDirs(root string) []string {
	var folders []string
	for _, dir := range []string{"lib", "lib64", "usr/lib", "usr/lib64", "usr/local/lib"} {
		folders = append(folders, filepath.Join(root, dir))
		below, _ := filepath.Glob(filepath.Join(root, dir, "*-linux-*"))
		folders = append(folders, below...)
	}
	more, _ := filepath.Glob(filepath.Join(root, "etc/ld.so.conf.d/*.conf"))
	for _, file := range append(more, filepath.Join(root, "etc/ld.so.conf")) {
		b, _ := safefile.ReadFile(file, maxFileSize)
		for line := range strings.Lines(string(b)) {
			if dir := strings.TrimSpace(line); filepath.IsAbs(dir) {
				folders = append(folders, filepath.Join(root, dir))
			}
		}
	}
	return folders
}

// DiskSpace is what is left, and what there is, on the disk that the work folder is
// on, or will be: in bytes, for users without privileges.
func (f Dir) DiskSpace(work string) (free, total uint64, err error) {
	dir := work
	if !filepath.IsAbs(work) {
		dir = filepath.Join(f.Root, work)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil {
			break
		}
	}
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return 0, 0, fmt.Errorf("cannot see how much space %s has: %w", dir, err)
	}
	return disk.Bavail * uint64(disk.Bsize), disk.Blocks * uint64(disk.Bsize), nil
}
