package install

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
)

// limitFiles lets this process open no file until lift is called.
func limitFiles(t *testing.T) (lift func()) {
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	none := was
	none.Cur = 0
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
			t.Error(err)
		}
	}
}

// atEnd is called when a body was read.
type atEnd func()

func (f atEnd) Read([]byte) (int, error) {
	f()
	return 0, io.EOF
}

// TestAFailureOfTheDiskKeepsTheDownload, which is verified: the next install needs no network.
func TestAFailureOfTheDiskKeepsTheDownload(t *testing.T) {
	file := string(largeArchive(t)[:2*chunkSize])
	archive := pack(t, entry{name: listenerPath, content: file}, entry{name: "externals/node", content: file}, entry{name: "lib/last", content: file})
	dir, p := t.TempDir(), packageOf(archive, "5.282.3")
	synctest.Test(t, func(t *testing.T) {
		lift := func() {}
		defer func() { lift() }()
		h := pauseHalfway(archive, func() {
			synctest.Wait()
			lift = limitFiles(t)
		})
		halfway := h.answer
		h.answer = func(n int, from int64) (*http.Response, error) {
			resp, err := halfway(n, from)
			resp.Body = io.NopCloser(io.MultiReader(resp.Body, atEnd(func() {
				synctest.Wait() // the last file could not be opened
				lift()
			})))
			return resp, err
		}
		if _, err := Install(t.Context(), Options{Dir: dir, Package: p, Get: h.get}); !errors.Is(err, syscall.EMFILE) {
			t.Errorf("error is %v", err)
		}
	})
	if info, err := os.Stat(filepath.Join(dir, stagingName, partName(p))); err != nil || info.Size() != int64(len(archive)) {
		t.Fatalf("the download is %v, %v", info, err)
	}
	again := &host{archive: archive}
	if install(t, dir, again, "5.282.3"); len(again.asked) != 0 || !HasAgent(dir) {
		t.Errorf("the next install asks from %v", again.asked)
	}
}

// TestAFailureOfTheDisk: an error of the disk is no contentError, and a damaged archive is
// one. Only a contentError removes the download.
func TestAFailureOfTheDisk(t *testing.T) {
	archive := agentArchive(t, "5.282.3")
	for _, cause := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.EIO, syscall.EACCES} {
		disk := failing{&os.PathError{Op: "read", Path: "part", Err: cause}}
		root, err := os.OpenRoot(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		_, err = unpack(t.Context(), io.NopCloser(io.MultiReader(bytes.NewReader(archive[:len(archive)/2]), disk)), root)
		if !errors.Is(err, cause) || errors.As(err, new(*contentError)) {
			t.Errorf("%v: %v", cause, err)
		}
	}
	for name, content := range map[string][]byte{"cut": archive[:len(archive)/2], "empty": nil, "no gzip": []byte("<html>, a whole page of it")} {
		if _, err := unpackInto(t, t.TempDir(), content); !errors.As(err, new(*contentError)) {
			t.Errorf("an archive that is %s: %v", name, err)
		}
	}
}

// TestAnInstallFromAFileKeepsNoCopy, even if it is cancelled.
func TestAnInstallFromAFileKeepsNoCopy(t *testing.T) {
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "agent.tar.gz")
	archive := agentArchive(t, "5.282.3")
	if err := os.WriteFile(file, archive, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	o := Options{Dir: dir, Package: packageOf(archive, "5.282.3"), File: file, OnProgress: func(Progress) { cancel() }}
	if _, err := Install(ctx, o); !errors.Is(err, context.Canceled) {
		t.Fatalf("error is %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("it leaves %v, %v", entries, err)
	}
}

// TestABadDownloadIsStopped where its content is found to be bad, and nothing stays of it.
func TestABadDownloadIsStopped(t *testing.T) {
	rest := strings.Repeat("r", 4*chunkSize)
	for name, bad := range map[string]entry{"outside": {name: "../evil", content: "x"}, "a device": {name: "dev", kind: tar.TypeChar}} {
		t.Run(name, func(t *testing.T) {
			random := rand.NewChaCha8([32]byte{2})
			filler := make([]byte, 2*chunkSize)
			_, _ = random.Read(filler)
			archive := pack(t, bad, entry{name: "filler", content: string(filler)}, entry{name: "more", content: string(filler)}, entry{name: "rest", content: rest})
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				h := pauseHalfway(archive, synctest.Wait)
				var last Progress
				_, err := Install(t.Context(), Options{Dir: dir, Package: packageOf(archive, "5.282.3"), Get: h.get, OnProgress: func(p Progress) { last = p }})
				var hint interface{ Hint() string }
				if !errors.As(err, new(*contentError)) || !strings.Contains(err.Error(), "cannot unpack agent linux-x64 5.282.3: ") || !errors.As(err, &hint) {
					t.Errorf("error is %v", err)
				}
				if len(h.asked) != 1 || last.Stage != Downloading || last.Done > int64(len(archive)/2) {
					t.Errorf("asked from %v, received %+v of %d bytes", h.asked, last, len(archive))
				}
			})
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
				t.Errorf("it leaves %v, %v", entries, err)
			}
		})
	}
}

// TestABadBeginningIsDownloadedAgain: a part that an earlier install left can be another's.
func TestABadBeginningIsDownloadedAgain(t *testing.T) {
	archive := largeArchive(t)
	p := packageOf(archive, "5.282.3")
	dir := t.TempDir()
	page := strings.Repeat("<html>", 100)
	if err := os.Mkdir(filepath.Join(dir, stagingName), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, stagingName, partName(p)), []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		received := int64(0)
		h := &host{archive: archive}
		h.answer = func(n int, from int64) (*http.Response, error) {
			synctest.Wait() // the page is found not to be an archive
			return nil, nil
		}
		o := Options{Dir: dir, Package: p, Get: h.get, OnProgress: func(p Progress) {
			if p.Stage == Downloading && len(h.asked) == 1 {
				received = p.Done
			}
		}}
		_, err := Install(t.Context(), o)
		if err != nil || received != 0 || len(h.asked) != 2 {
			t.Errorf("asked from %v, received %d bytes of the first answer, %v", h.asked, received, err)
		}
	})
}
