package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

// host serves one archive; what is asked of it is written down.
type host struct {
	archive []byte
	asked   []int64                                         // the byte each request began at
	answer  func(n int, from int64) (*http.Response, error) // of the n-th request; nil: as it should be
}

func (h *host) get(_ context.Context, _ string, from int64) (*http.Response, error) {
	h.asked = append(h.asked, from)
	if h.answer != nil {
		if resp, err := h.answer(len(h.asked), from); resp != nil || err != nil {
			return resp, err
		}
	}
	return h.serve(from, nil), nil
}

// serve answers with the archive from a byte on; broken ends it early.
func (h *host) serve(from int64, broken error) *http.Response {
	if from > int64(len(h.archive)) {
		return &http.Response{StatusCode: 416, Status: "416 Range Not Satisfiable", Body: http.NoBody}
	}
	rest := h.archive[from:]
	body := io.Reader(bytes.NewReader(rest))
	if broken != nil {
		body = io.MultiReader(bytes.NewReader(rest[:len(rest)/2]), failing{broken})
	}
	resp := &http.Response{StatusCode: 200, Status: "200 OK", Body: io.NopCloser(body), ContentLength: int64(len(rest)), Header: http.Header{}}
	if from > 0 {
		resp.StatusCode = 206
		resp.Header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(h.archive)-1, len(h.archive)))
	}
	return resp
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func status(code int) *http.Response {
	return &http.Response{StatusCode: code, Status: fmt.Sprint(code, " ", http.StatusText(code)), Body: http.NoBody, Header: http.Header{}}
}

// snapshot is what is in a folder: a line for each file and link.
func snapshot(t *testing.T, dir string) []string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		rel, _ := filepath.Rel(dir, name)
		lines = append(lines, rel+": "+string(b))
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return lines
}

func TestInstall(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "azp")
	h := &host{archive: agentArchive(t, "5.282.3")}
	var stages []Stage
	o := Options{Dir: dir, Package: packageOf(h.archive, "5.282.3"), Get: h.get, OnProgress: func(p Progress) {
		if !slices.Contains(stages, p.Stage) {
			stages = append(stages, p.Stage)
		}
		if p.Done > p.Total || p.Total != int64(len(h.archive)) {
			t.Errorf("progress is %+v of %d bytes", p, len(h.archive))
		}
	}}
	done, err := Install(t.Context(), o)
	if err != nil || done.Unchanged || done.Files != 5 {
		t.Fatalf("installed %+v, %v", done, err)
	}
	want := []string{
		`.azptend-package: {"kind":"agent","platform":"linux-x64","version":"5.282.3","sha256":"` + o.Package.SHA256 + `"}` + "\n",
		"bin/Agent.Listener: listener 5.282.3", "externals/node20_1/bin/node: node 5.282.3", "externals/node20_1/bin/npm: npm",
		"externals/node20_1/lib/npm-cli.js: npm", "license.html: license", "run.sh: run 5.282.3",
	}
	if d := cmp.Diff(want, snapshot(t, dir)); d != "" {
		t.Errorf("the folder (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]Stage{Downloading, Unpacking}, stages); d != "" {
		t.Errorf("stages (-want +got):\n%s", d)
	}
	if done, err := Install(t.Context(), o); err != nil || !done.Unchanged || len(h.asked) != 1 {
		t.Errorf("again: %+v, %v, after %d downloads", done, err, len(h.asked))
	}
}

func TestAnotherVersionReplacesAndKeepsWhatIsNotItsOwn(t *testing.T) {
	dir := t.TempDir()
	old, next := &host{archive: agentArchive(t, "5.281.0")}, &host{archive: agentArchive(t, "5.282.3")}
	install(t, dir, old, "5.281.0")
	if err := os.WriteFile(filepath.Join(dir, "mine"), []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	install(t, dir, next, "5.282.3")
	text := strings.Join(snapshot(t, dir), "\n")
	if strings.Contains(text, "listener 5.281.0") || !strings.Contains(text, "listener 5.282.3") || !strings.Contains(text, "mine: kept") {
		t.Errorf("the folder holds:\n%s", text)
	}
}

func install(t *testing.T, dir string, h *host, version string) Result {
	t.Helper()
	done, err := Install(t.Context(), Options{Dir: dir, Package: packageOf(h.archive, version), Get: h.get})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// TestAFailedInstallLosesNothing: what was there works on.
func TestAFailedInstallLosesNothing(t *testing.T) {
	old := &host{archive: agentArchive(t, "5.281.0")}
	good := agentArchive(t, "5.282.3")
	for name, bad := range map[string]struct {
		archive []byte
		sum     string
		want    string
	}{
		"another archive":     {good, sumOf([]byte("x")), "cannot verify"},
		"no agent's archive":  {pack(t, entry{name: "readme", content: "x"}), "", "it holds no bin/Agent.Listener"},
		"one that leads out":  {pack(t, entry{name: "bin/Agent.Listener", content: "x"}, entry{name: "../x", content: "x"}), "", "it leads out of the directory"},
		"no archive but HTML": {[]byte("<html>sign in</html>"), "", "cannot be read"},
		"one without its sum": {good, "?", "its SHA-256 is not known"},
		"another platform's":  {good, "musl", "another platform's"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			install(t, dir, old, "5.281.0")
			before := snapshot(t, dir)
			h := &host{archive: bad.archive}
			p := packageOf(bad.archive, "5.282.3")
			switch bad.sum {
			case "":
			case "musl":
				p.Platform = "linux-musl-x64"
			default:
				p.SHA256 = bad.sum
			}
			_, err := Install(t.Context(), Options{Dir: dir, Package: p, Get: h.get})
			if err == nil || !strings.Contains(err.Error(), bad.want) {
				t.Fatalf("error is %v, want one with %q", err, bad.want)
			}
			after := slices.DeleteFunc(snapshot(t, dir), func(line string) bool { return strings.HasPrefix(line, stagingName) })
			if d := cmp.Diff(before, after); d != "" {
				t.Errorf("the folder (-before +after):\n%s", d)
			}
		})
	}
}

// TestKilledAnywhere: a copy of the folder at each moment an install could be
// killed in holds the old agent, no listener, or the new one; and the same install
// again makes it whole.
func TestKilledAnywhere(t *testing.T) {
	old, next := &host{archive: agentArchive(t, "5.281.0")}, &host{archive: agentArchive(t, "5.282.3")}
	whole := t.TempDir()
	install(t, whole, old, "5.281.0")
	install(t, whole, next, "5.282.3")
	want := snapshot(t, whole)

	p := packageOf(next.archive, "5.282.3")
	for moves := range 13 { // bin aside, externals and two files twice each, two marks aside, one in, bin in
		dir := t.TempDir()
		install(t, dir, old, "5.281.0")
		s, err := openStaging(dir, partName(p))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unpackInto(t, s.dir, next.archive); err != nil {
			t.Fatal(err)
		}
		placeUntil(t, s, records{packageRecordName: PackageRecord{p.Kind, p.Platform, p.Version, p.SHA256}}, moves)
		b, err := os.ReadFile(filepath.Join(dir, listenerPath))
		switch m, is := Installed(dir); {
		case errors.Is(err, fs.ErrNotExist):
			if is {
				t.Errorf("after %d moves it says that %+v is installed, and there is no listener", moves, m)
			}
		case !is || string(b) != "listener "+m.Version:
			t.Errorf("after %d moves the listener is %q, and installed is %+v, %v", moves, b, m, is)
		}
		install(t, dir, next, "5.282.3")
		if d := cmp.Diff(want, snapshot(t, dir)); d != "" {
			t.Errorf("after %d moves and another install (-want +got):\n%s", moves, d)
		}
	}
}

// placeUntil is place, killed after so many of its moves.
func placeUntil(t *testing.T, s staging, m records, moves int) {
	t.Helper()
	all, err := s.moves(m)
	if err != nil {
		t.Fatal(err)
	}
	for _, move := range all[:min(moves, len(all))] {
		if err := move(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestALocalFile(t *testing.T) {
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "agent.tar.gz")
	archive := agentArchive(t, "5.282.3")
	if err := os.WriteFile(file, archive, 0o600); err != nil {
		t.Fatal(err)
	}
	p := Package{Kind: Full, SHA256: sumOf([]byte("x"))}
	if _, err := Install(t.Context(), Options{Dir: dir, Package: p, File: file}); !errors.As(err, new(*ChecksumError)) {
		t.Errorf("a file with another sum: %v", err)
	}
	p.SHA256 = sumOf(archive)
	if _, err := Install(t.Context(), Options{Dir: dir, Package: p, File: file}); err != nil || !HasAgent(dir) {
		t.Errorf("%v", err)
	}
}

func TestADownloadThatBreaksOffGoesOn(t *testing.T) {
	for name, tt := range map[string]struct {
		answer func(*host) func(int, int64) (*http.Response, error)
		asked  func(size int64) []int64
	}{
		"broken in the middle": {
			func(h *host) func(int, int64) (*http.Response, error) {
				return func(n int, from int64) (*http.Response, error) {
					if n == 1 {
						return h.serve(from, syscall.ECONNRESET), nil
					}
					return nil, nil
				}
			}, func(size int64) []int64 { return []int64{0, size / 2} }},
		"a server without ranges": {
			func(h *host) func(int, int64) (*http.Response, error) {
				return func(n int, _ int64) (*http.Response, error) {
					if n == 1 {
						return h.serve(0, syscall.ECONNRESET), nil
					}
					return h.serve(0, nil), nil
				}
			}, func(size int64) []int64 { return []int64{0, size / 2} }},
		"away for a while": {
			func(*host) func(int, int64) (*http.Response, error) {
				return func(n int, _ int64) (*http.Response, error) {
					switch n {
					case 1:
						return nil, syscall.ECONNREFUSED
					case 2:
						return status(503), nil
					case 3:
						return status(429), nil
					}
					return nil, nil
				}
			}, func(int64) []int64 { return []int64{0, 0, 0, 0} }},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			h := &host{archive: agentArchive(t, "5.282.3")}
			h.answer = tt.answer(h)
			synctest.Test(t, func(t *testing.T) { install(t, dir, h, "5.282.3") })
			if d := cmp.Diff(tt.asked(int64(len(h.archive))), h.asked); d != "" {
				t.Errorf("asked from (-want +got):\n%s", d)
			}
		})
	}
}

// TestWhatAnEarlierInstallFetched is used, if it is of the same package, and
// right.
func TestWhatAnEarlierInstallFetched(t *testing.T) {
	archive := agentArchive(t, "5.282.3")
	size := int64(len(archive))
	wrong := append(bytes.Clone(archive), 'x')
	other := agentArchive(t, "5.281.0-other")
	p := packageOf(archive, "5.282.3")
	for name, tt := range map[string]struct {
		file    string
		content []byte
		asked   []int64
	}{
		"half of it":         {partName(p), archive[:size/2], []int64{size / 2}},
		"all of it":          {partName(p), archive, nil},
		"something else":     {partName(p), []byte("<html>"), []int64{6, 0}},
		"more than there is": {partName(p), wrong, []int64{size + 1, 0}},
		"half of another":    {partName(p), other[:len(other)/2], []int64{int64(len(other) / 2), 0}},
		"another package's":  {"0123456789abcdef.part", archive[:9], []int64{0}},
		"an unpacking":       {treeName, []byte("a file in the folder's place"), []int64{0}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, stagingName), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, stagingName, tt.file), tt.content, 0o600); err != nil {
				t.Fatal(err)
			}
			h := &host{archive: archive}
			install(t, dir, h, "5.282.3")
			if d := cmp.Diff(tt.asked, h.asked); d != "" {
				t.Errorf("asked from (-want +got):\n%s", d)
			}
			if b, err := os.ReadFile(filepath.Join(dir, listenerPath)); string(b) != "listener 5.282.3" {
				t.Errorf("the listener is %q, %v", b, err)
			}
		})
	}
}

// TestWhatAJobPlanted: in a folder that jobs can write to, nothing that was put
// where an install works leads it elsewhere, or holds it up.
func TestWhatAJobPlanted(t *testing.T) {
	archive := agentArchive(t, "5.282.3")
	p := packageOf(archive, "5.282.3")
	outside := t.TempDir()
	kept := filepath.Join(outside, "kept")
	if err := os.WriteFile(kept, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, plant := range map[string]func(staging string) error{
		"a link for the folder": func(staging string) error { return os.Symlink(outside, staging) },
		"a pipe for the folder": func(staging string) error { return syscall.Mkfifo(staging, 0o600) },
		"a pipe for the download": func(staging string) error {
			return errors.Join(os.Mkdir(staging, 0o755), syscall.Mkfifo(filepath.Join(staging, partName(p)), 0o600))
		},
		"a link for the download": func(staging string) error {
			return errors.Join(os.Mkdir(staging, 0o755), os.Symlink(kept, filepath.Join(staging, partName(p))))
		},
		"terabytes for the download": func(staging string) error {
			part := filepath.Join(staging, partName(p))
			return errors.Join(os.Mkdir(staging, 0o755), os.WriteFile(part, nil, 0o600), os.Truncate(part, 1<<42))
		},
		"a link for the tree": func(staging string) error {
			return errors.Join(os.Mkdir(staging, 0o755), os.Symlink(outside, filepath.Join(staging, treeName)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := plant(filepath.Join(dir, stagingName)); err != nil {
				t.Fatal(err)
			}
			install(t, dir, &host{archive: archive}, "5.282.3")
			if entries, err := os.ReadDir(outside); len(entries) != 1 || err != nil {
				t.Errorf("outside: %v, %v", entries, err)
			}
			if b, err := os.ReadFile(kept); string(b) != "kept" {
				t.Errorf("outside: %q, %v", b, err)
			}
		})
	}
}

func TestADownloadIsGivenUp(t *testing.T) {
	for name, tt := range map[string]struct {
		answer func(int, int64) (*http.Response, error)
		asked  int
	}{
		"not there":   {func(int, int64) (*http.Response, error) { return status(404), nil }, 1},
		"a sign-in":   {func(int, int64) (*http.Response, error) { return status(401), nil }, 1},
		"never there": {func(int, int64) (*http.Response, error) { return nil, syscall.EHOSTUNREACH }, downloadTries},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			h := &host{archive: agentArchive(t, "5.282.3"), answer: tt.answer}
			synctest.Test(t, func(t *testing.T) {
				if _, err := Install(t.Context(), Options{Dir: dir, Package: packageOf(h.archive, "5.282.3"), Get: h.get}); err == nil {
					t.Error("it was installed")
				}
			})
			if len(h.asked) != tt.asked {
				t.Errorf("asked %d times, want %d", len(h.asked), tt.asked)
			}
		})
	}
}

func TestAnInstallThatIsCancelled(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	h := &host{archive: agentArchive(t, "5.282.3"), answer: func(int, int64) (*http.Response, error) {
		cancel()
		return nil, context.Canceled
	}}
	if _, err := Install(ctx, Options{Dir: dir, Package: packageOf(h.archive, "5.282.3"), Get: h.get}); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	if HasAgent(dir) {
		t.Error("there is a listener")
	}
}

func TestPlatform(t *testing.T) {
	glibc, alpine, compat := t.TempDir(), t.TempDir(), t.TempDir()
	for _, file := range []string{
		filepath.Join(glibc, "lib64/ld-linux-x86-64.so.2"), filepath.Join(glibc, "lib/ld-musl-x86_64.so.1"),
		filepath.Join(alpine, "lib/ld-musl-x86_64.so.1"),
		filepath.Join(compat, "lib/ld-musl-x86_64.so.1"), filepath.Join(compat, "lib64/ld-linux-x86-64.so.2"), filepath.Join(compat, "lib/libgcompat.so.0"),
	} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ goos, goarch, root, want string }{
		{"linux", "amd64", glibc, "linux-x64"}, {"linux", "arm64", glibc, "linux-arm64"}, {"linux", "arm", glibc, "linux-arm"},
		{"linux", "amd64", alpine, "linux-musl-x64"}, {"linux", "arm64", compat, "linux-musl-arm64"}, {"linux", "arm", alpine, ""},
		{"darwin", "arm64", glibc, "osx-arm64"}, {"linux", "riscv64", glibc, ""}, {"windows", "amd64", glibc, ""},
	} {
		if got := Platform(tt.goos, tt.goarch, tt.root); got != tt.want {
			t.Errorf("%s on %s with %s: %q, want %q", tt.goos, tt.goarch, filepath.Base(tt.root), got, tt.want)
		}
	}
}

// TestADownloadThatCannotBeKept says that it is the disk, which is no network's fault, and asks once.
func TestADownloadThatCannotBeKept(t *testing.T) {
	name := filepath.Join(t.TempDir(), "part")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	part, err := os.Open(name) // not for writing: each write fails
	if err != nil {
		t.Fatal(err)
	}
	defer part.Close()
	h := &host{archive: agentArchive(t, "5.282.3")}
	h.answer = func(int, int64) (*http.Response, error) { return h.serve(0, nil), nil }
	d, err := newDownload(part, func(Progress) {})
	if err != nil {
		t.Fatal(err)
	}
	err = fetch(t.Context(), h.get, packageOf(h.archive, "5.282.3"), d)
	if !errors.As(err, new(*os.PathError)) || len(h.asked) != 1 {
		t.Errorf("after %d downloads: %v", len(h.asked), err)
	}
}
