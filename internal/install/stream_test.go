package install

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
)

// largeArchive is an agent's of which half arrives before its end is known: what is inflated
// ahead is little of it.
func largeArchive(t testing.TB) []byte {
	random := rand.NewChaCha8([32]byte{1})
	content := func(n int) string {
		b := make([]byte, n)
		_, _ = random.Read(b)
		return string(b)
	}
	return pack(t, entry{name: "bin/Agent.Listener", content: content(2 * chunkSize), mode: 0o755},
		entry{name: "externals/node", content: content(4 * chunkSize)})
}

// pausingBody calls pause when half of it was read.
type pausingBody struct {
	io.Reader
	left  int
	pause func()
}

func (b *pausingBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		b.left = -1
		b.pause()
	}
	if b.left > 0 {
		p = p[:min(len(p), b.left)]
	}
	n, err := b.Reader.Read(p)
	if b.left > 0 {
		b.left -= n
	}
	return n, err
}

// pauseHalfway is a host whose answer stops halfway for a look around.
func pauseHalfway(archive []byte, look func()) *host {
	h := &host{archive: archive}
	h.answer = func(_ int, from int64) (*http.Response, error) {
		resp := h.serve(from, nil)
		resp.Body = io.NopCloser(&pausingBody{resp.Body, len(archive) / 2, look})
		return resp, nil
	}
	return h
}

// TestUnpackedWhileItArrives: halfway through the download there are files, where nobody else
// sees them.
func TestUnpackedWhileItArrives(t *testing.T) {
	dir, staging := t.TempDir(), ""
	staging = filepath.Join(dir, stagingName)
	synctest.Test(t, func(t *testing.T) {
		looked := false
		h := pauseHalfway(largeArchive(t), func() {
			looked = true
			synctest.Wait()
			if info, err := os.Stat(filepath.Join(staging, treeName, listenerPath)); err != nil || info.Size() != 2*chunkSize {
				t.Errorf("halfway the listener is %v, %v", info, err)
			}
			if info, err := os.Stat(staging); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("where it is unpacked, is %v, %v", info, err)
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
				t.Errorf("the directory holds %v, %v", entries, err)
			}
		})
		install(t, dir, h, "5.282.3")
		if !looked || !HasAgent(dir) {
			t.Errorf("looked: %v, installed: %v", looked, HasAgent(dir))
		}
	})
}

// TestAWrongArchiveLeavesNothing, however far it was unpacked.
func TestAWrongArchiveLeavesNothing(t *testing.T) {
	hostile := pack(t, entry{name: "bin/Agent.Listener", content: "x"}, entry{name: "../evil", content: "x"})
	file := filepath.Join(t.TempDir(), "agent.tar.gz")
	for name, archive := range map[string][]byte{
		"an agent's": largeArchive(t), "hostile": hostile, "no archive": []byte("<html>"), "nothing": nil,
	} {
		if err := os.WriteFile(file, archive, 0o600); err != nil {
			t.Fatal(err)
		}
		wanted := packageOf([]byte("another"), "5.282.3")
		for _, from := range []string{"", file} {
			dir := t.TempDir()
			_, err := Install(t.Context(), Options{Dir: dir, Package: wanted, File: from, Get: (&host{archive: archive}).get})
			if !errors.As(err, new(*ChecksumError)) {
				t.Errorf("%s: %v", name, err)
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
				t.Errorf("%s leaves %v, %v", name, entries, err)
			}
		}
	}
}

// TestStoppedHalfway keeps what arrived, and nothing that was unpacked.
func TestStoppedHalfway(t *testing.T) {
	dir := t.TempDir()
	archive := largeArchive(t)
	ctx, cancel := context.WithCancel(t.Context())
	h := &host{archive: archive}
	h.answer = func(_ int, from int64) (*http.Response, error) {
		resp := h.serve(from, nil)
		resp.Body = io.NopCloser(&pausingBody{contextReader{ctx, resp.Body}, len(archive) / 2, cancel})
		return resp, nil
	}
	if _, err := Install(ctx, Options{Dir: dir, Package: packageOf(archive, "5.282.3"), Get: h.get}); !errors.Is(err, context.Canceled) {
		t.Fatalf("error is %v", err)
	}
	left, err := os.ReadDir(filepath.Join(dir, stagingName))
	if err != nil || len(left) != 1 || left[0].Name() != partName(packageOf(archive, "5.282.3")) {
		t.Errorf("it left %v, %v", left, err)
	}
	rest := &host{archive: archive}
	if done := install(t, dir, rest, "5.282.3"); done.Resumed != int64(len(archive)/2) || rest.asked[0] != done.Resumed || !HasAgent(dir) {
		t.Errorf("then it installed %+v, asking from %v", done, rest.asked)
	}
}

// TestMoreThanAnAgentHas is refused before it is written: an archive is unpacked before it is verified.
func TestMoreThanAnAgentHas(t *testing.T) {
	most := limits{entries: 10, bytes: 1000, name: 100}
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
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			root, err := os.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			if _, err := unpackWithin(t.Context(), bytes.NewReader(pack(t, entries...)), root, most); !errors.Is(err, errTooMuch) {
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
