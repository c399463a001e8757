package install

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestMoreThanAnAgentHas: an archive that exceeds a limit is refused before it is written,
// because it is unpacked before it is verified.
func TestMoreThanAnAgentHas(t *testing.T) {
	most := limits{entries: 10, bytes: 1000, name: 100, links: 150}
	many := make([]entry, 11)
	for i := range many {
		many[i] = entry{name: fmt.Sprint("f", i), content: "x"}
	}
	for name, entries := range map[string][]entry{
		"a large file":     {{name: "zeros", content: strings.Repeat("\x00", 1001)}},
		"large together":   {{name: "a", content: strings.Repeat("a", 600)}, {name: "b", content: strings.Repeat("b", 600)}},
		"many files":       many,
		"many links":       append(many[:9:9], entry{name: "l1", link: "f1"}, entry{name: "l2", link: "f2"}),
		"many folders":     {{name: "a/b/c/d/e/f/", kind: tar.TypeDir}, {name: "g/h/i/j/k/l/", kind: tar.TypeDir}},
		"many in one path": {{name: "1/2/3/4/5/6/7/8/9/10/11/12/file", content: "x"}},
		"a long name":      {{name: strings.Repeat("n", 101), content: "x"}},
		"a long target":    {{name: "l", link: strings.Repeat("n", 101)}},
		"long targets":     {{name: "l1", link: strings.Repeat("n", 80)}, {name: "l2", link: strings.Repeat("n", 80)}},
		"a large header":   {{name: "f", content: "x", pax: map[string]string{"X.comment": strings.Repeat("c", 1000)}}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			root, err := os.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			if _, err := unpackWithin(t.Context(), io.NopCloser(bytes.NewReader(pack(t, entries...))), root, most); !errors.Is(err, errTooMuch) {
				t.Errorf("error is %v", err)
			}
			size, count := int64(0), 0
			err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
				if info, infoErr := d.Info(); infoErr == nil && info.Mode().IsRegular() {
					size += info.Size()
				}
				count++
				return err
			})
			if err != nil || size > most.bytes || count > most.entries+1 {
				t.Errorf("%d bytes in %d entries, %v", size, count, err)
			}
		})
	}
}

// TestHeadersAreNotHeldInMemory: an entry's name can be a small part of a large header.
func TestHeadersAreNotHeldInMemory(t *testing.T) {
	const count, size = 40, 500_000
	comment := map[string]string{"X.comment": strings.Repeat("c", size)}
	long := strings.Repeat("n", 120) // does not fit outside the large header
	var entries []entry
	for i := range count {
		name := fmt.Sprint(long, i)
		entries = append(entries, entry{name: name, link: long, pax: comment}, entry{name: name + "d/", kind: tar.TypeDir, pax: comment})
	}
	inflated, err := gzip.NewReader(bytes.NewReader(pack(t, entries...)))
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	u := unpacker{root: root, left: agentLimits, madeFolders: map[string]bool{}}
	before := heapInUse()
	archive := tar.NewReader(inflated)
	for h, err := archive.Next(); !errors.Is(err, io.EOF); h, err = archive.Next() {
		if err != nil {
			t.Fatal(err)
		}
		if err := u.addEntry(h, nil); err != nil {
			t.Fatal(err)
		}
	}
	if held := heapInUse() - before; held > 10*size || len(u.links) != count || len(u.madeFolders) != count {
		t.Errorf("%d links and %d folders hold %d bytes", len(u.links), len(u.madeFolders), held)
	}
	runtime.KeepAlive(archive)
}

func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestAnErrorIsShort, and still one of the file system: the exit code depends on it.
func TestAnErrorIsShort(t *testing.T) {
	for name, last := range map[string]entry{
		"a link":      {name: "a", link: strings.Repeat("t/", 1500)},
		"a hard link": {name: "l", link: strings.Repeat("t/", 1500), kind: tar.TypeLink},
	} {
		_, err := unpackInto(t, t.TempDir(), pack(t, entry{name: "a", content: "x"}, last))
		if !errors.As(err, new(*os.PathError)) || len(err.Error()) > 500 {
			t.Errorf("%s: %T %.600v", name, err, err)
		}
	}
}
