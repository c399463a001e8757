package agentdir

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// program is an ELF file that names a loader.
func program(loader string) []byte {
	const head, part = 64, 56
	name := append([]byte(loader), 0)
	var b bytes.Buffer
	h := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1, Phoff: head, Ehsize: head, Phentsize: part, Phnum: 1, Shentsize: 64}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	_ = binary.Write(&b, binary.LittleEndian, h)
	_ = binary.Write(&b, binary.LittleEndian, elf.Prog64{Type: uint32(elf.PT_INTERP), Off: head + part, Filesz: uint64(len(name)), Memsz: uint64(len(name))})
	b.Write(name)
	return b.Bytes()
}

func folderWith(t *testing.T, listener []byte) Dir {
	t.Helper()
	f := Dir{Root: t.TempDir()}
	write(t, f.Listener(), listener)
	return f
}

func write(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, content, 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestLoader(t *testing.T) {
	there := filepath.Join(t.TempDir(), "ld-linux-x86-64.so.2")
	write(t, there, nil)
	for _, tt := range []struct {
		what     string
		listener []byte
		want     Loader
	}{
		{"glibc", program(there), Loader{"glibc", there, true}},
		{"glibc that is not there", program("/no/ld-linux-x86-64.so.2"), Loader{"glibc", "/no/ld-linux-x86-64.so.2", false}},
		{"musl", program("/no/ld-musl-x86_64.so.1"), Loader{"musl", "/no/ld-musl-x86_64.so.1", false}},
		{"a script", []byte("#!/bin/sh\n"), Loader{}},
		{"nothing", nil, Loader{}},
		{"half a file", program(there)[:70], Loader{}},
	} {
		got, err := folderWith(t, tt.listener).Loader()
		if got != tt.want || err != nil {
			t.Errorf("%s: %+v, %v", tt.what, got, err)
		}
	}
	if _, err := (Dir{Root: t.TempDir()}).Loader(); err == nil {
		t.Error("a listener that is not there needs nothing")
	}
}

func FuzzLoader(f *testing.F) {
	f.Add(program("/lib64/ld-linux-x86-64.so.2"))
	f.Add([]byte("\x7fELF"))
	file := filepath.Join(f.TempDir(), "bin", "Agent.Listener")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(file, b, 0o755); err != nil {
			t.Fatal(err)
		}
		needs, err := Dir{Root: filepath.Dir(filepath.Dir(file))}.Loader()
		if err == nil && (needs.Libc == "") != (needs == Loader{}) {
			t.Errorf("%+v", needs)
		}
	})
}

func TestFindICU(t *testing.T) {
	nobody := func(string) string { return "" }
	variable := func(name, value string) func(string) string {
		return func(n string) string {
			if n == name {
				return value
			}
			return ""
		}
	}
	root := func(file, content string) string {
		dir := t.TempDir()
		if file != "" {
			write(t, filepath.Join(dir, file), []byte(content))
		}
		return dir
	}
	f := folderWith(t, nil)
	for _, tt := range []struct {
		what string
		root string
		env  func(string) string
		want string // end of the result
	}{
		{"nowhere", root("", ""), nobody, ""},
		{"Debian", root("usr/lib/x86_64-linux-gnu/libicuuc.so.72", ""), nobody, "/usr/lib/x86_64-linux-gnu/libicuuc.so.72"},
		{"Alpine", root("usr/lib/libicuuc.so.74", ""), nobody, "/usr/lib/libicuuc.so.74"},
		{"Fedora", root("usr/lib64/libicuuc.so.73", ""), nobody, "/usr/lib64/libicuuc.so.73"},
		{"needless", root("", ""), variable(invariantVariable, "true"), invariantVariable},
		{"asked for", root("usr/lib/libicuuc.so.74", ""), variable(invariantVariable, "0"), "/usr/lib/libicuuc.so.74"},
		{"a folder of one's own", root("", ""), variable("LD_LIBRARY_PATH", filepath.Join(root("libicuuc.so.70", ""))), "/libicuuc.so.70"},
	} {
		got := f.FindICU(tt.root, tt.env)
		if (tt.want == "") != (got == "") || len(got) < len(tt.want) || got[len(got)-len(tt.want):] != tt.want {
			t.Errorf("%s: %q", tt.what, got)
		}
	}
	told := root("opt/icu/libicuuc.so.70", "")
	write(t, filepath.Join(told, "etc/ld.so.conf.d/icu.conf"), []byte("# ours\n/opt/icu\n"))
	if got := f.FindICU(told, nobody); got != filepath.Join(told, "opt/icu/libicuuc.so.70") {
		t.Errorf("ld.so.conf.d: %q", got)
	}
	write(t, f.Listener()+".runtimeconfig.json", []byte(`{"runtimeOptions":{"configProperties":{"System.Globalization.Invariant": true}}}`))
	if got := f.FindICU(root("", ""), nobody); got != f.Listener()+".runtimeconfig.json" {
		t.Errorf("the program's own settings: %q", got)
	}
}

func TestDiskSpace(t *testing.T) {
	f := Dir{Root: t.TempDir()}
	for _, work := range []string{"_work", filepath.Join(f.Root, "not", "made", "yet"), ""} {
		free, total, err := f.DiskSpace(work)
		if err != nil || total == 0 || free > total {
			t.Errorf("%q has %d of %d, %v", work, free, total, err)
		}
	}
}
