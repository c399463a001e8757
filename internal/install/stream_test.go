package install

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
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

// TestInflatingStopsWhileItWaits for the network, so that a bad download is rejected at once.
func TestInflatingStopsWhileItWaits(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "part"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	archive := largeArchive(t)
	if _, err := f.Write(archive[:len(archive)/2]); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		d, err := newDownload(f, func(Progress) {})
		if err != nil {
			t.Fatal(err)
		}
		_, stop, err := inflate(d.follow())
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		stop() // a deadlock if it waits
	})
}

// TestARestartDuringARead makes what was read void.
func TestARestartDuringARead(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "part"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d, err := newDownload(f, func(Progress) {})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Write([]byte("one archive")); err != nil {
		t.Fatal(err)
	}
	arriving := d.follow()
	if size, end := arriving.wait(); size != 11 || end != nil {
		t.Fatalf("%d bytes arrived, %v", size, end)
	}
	_, err = d.Write([]byte("more"))
	if err = errors.Join(err, d.restart()); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Write([]byte("the other archive")); err != nil {
		t.Fatal(err)
	}
	if n, err := arriving.readArrived(make([]byte, 11)); n != 0 || !errors.Is(err, errRestarted) {
		t.Errorf("it reads %d bytes, %v", n, err)
	}
	if arriving.settled() {
		t.Error("what it read counts")
	}
	arriving.reject(errTooMuch)
	if _, err := d.Write([]byte(" goes on")); err != nil {
		t.Errorf("its rejection stops the other archive: %v", err)
	}
}
