package agentdir

import (
	"debug/elf"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/azptend/azptend/internal/safefile"
)

// Loader is the dynamic loader that the listener needs.
type Loader struct {
	Libc   string // "glibc" or "musl"; "" if the program needs no loader
	Path   string // the loader's path
	Exists bool
}

// maxProgramSize bounds what is read of the listener's file, which has some hundred kB. A job
// can put a sparse file there with tables of terabytes.
const maxProgramSize = 16 << 20

// Loader reads the loader's path from the listener's file. A package for another C library
// cannot be started, and the kernel's error, "no such file", does not name the missing
// loader (agent-protocol.md 8: there are packages for glibc and musl).
func (d Dir) Loader() (Loader, error) {
	file, err := safefile.Open(d.Listener())
	if err != nil {
		return Loader{}, d.dirError("bin/Agent.Listener cannot be read: "+withoutPath(err), "make it readable for this user", err)
	}
	defer file.Close()
	program, err := elf.NewFile(io.NewSectionReader(file, 0, maxProgramSize))
	if err != nil {
		return Loader{}, nil //nolint:nilerr // a script, or a program for another system
	}
	for _, part := range program.Progs {
		if part.Type != elf.PT_INTERP || part.Filesz > 4096 {
			continue
		}
		name, err := io.ReadAll(part.Open())
		if err != nil {
			return Loader{}, fmt.Errorf("cannot read %s: %w", d.Listener(), err)
		}
		loader := Loader{Libc: "glibc", Path: strings.TrimRight(string(name), "\x00")}
		if strings.Contains(loader.Path, "ld-musl") {
			loader.Libc = "musl"
		}
		_, err = os.Stat(loader.Path)
		loader.Exists = err == nil
		return loader, nil
	}
	return Loader{}, nil
}

// invariantVariable is .NET's setting to run without ICU (agent-protocol.md 10, 12th
// surprise). It can also be in the program's .runtimeconfig.json.
const invariantVariable = "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT"

// FindICU finds ICU, which .NET needs: a libicuuc in the directories of libraries, or the
// setting to run without it. It returns the file, or where the setting is, and "" if there is
// neither. variable reads the listener's environment; root is the root of the file system
// ("/").
func (d Dir) FindICU(root string, variable func(string) string) string {
	if v := strings.ToLower(variable(invariantVariable)); v == "1" || v == "true" {
		return invariantVariable
	}
	settings := d.Listener() + ".runtimeconfig.json"
	if b, err := safefile.ReadFile(settings, maxFileSize); err == nil && strings.Contains(strings.ReplaceAll(string(b), " ", ""), `"System.Globalization.Invariant":true`) {
		return settings
	}
	dirs := append(filepath.SplitList(variable("LD_LIBRARY_PATH")), filepath.Join(d.Root, "bin"))
	for _, dir := range append(libraryDirs(root), dirs...) {
		if found := safefile.Dir(dir).Match("libicuuc.so*"); len(found) > 0 {
			return filepath.Join(dir, found[0].Name())
		}
	}
	return ""
}

// libraryDirs are the loaders' default directories, and those in ld.so.conf and
// ld.so.conf.d.
func libraryDirs(root string) []string {
	var dirs []string
	for _, dir := range []string{"lib", "lib64", "usr/lib", "usr/lib64", "usr/local/lib"} {
		dirs = append(dirs, filepath.Join(root, dir))
		below, _ := filepath.Glob(filepath.Join(root, dir, "*-linux-*"))
		dirs = append(dirs, below...)
	}
	more, _ := filepath.Glob(filepath.Join(root, "etc/ld.so.conf.d/*.conf"))
	for _, file := range append(more, filepath.Join(root, "etc/ld.so.conf")) {
		b, _ := safefile.ReadFile(file, maxFileSize)
		for line := range strings.Lines(string(b)) {
			if dir := strings.TrimSpace(line); filepath.IsAbs(dir) {
				dirs = append(dirs, filepath.Join(root, dir))
			}
		}
	}
	return dirs
}
