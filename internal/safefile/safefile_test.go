//go:build unix

package safefile_test

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/azptend/azptend/internal/safefile"
)

const limit = 100

func TestReadFile(t *testing.T) {
	outside := t.TempDir()
	write(t, filepath.Join(outside, "secret"), "secret")
	dir := t.TempDir()
	below := func(name string) string { return filepath.Join(dir, name) }
	write(t, below("file"), "content")
	write(t, below("full"), strings.Repeat("x", limit))
	write(t, below("large"), strings.Repeat("x", limit+1))
	write(t, below("sub/file"), "below")
	write(t, below("sparse"), "")
	must(t, os.Truncate(below("sparse"), 1<<40))
	must(t, unix.Mkfifo(below("pipe"), 0o600))
	must(t, unix.Mkfifo(below("sub/pipe"), 0o600))
	socket, err := net.Listen("unix", below("socket"))
	must(t, err)
	defer socket.Close()
	for name, target := range map[string]string{
		"link": "file", "zero": "/dev/zero", "linked": "sub", "away": outside, "toPipe": "pipe", "loop": "loop", "dangling": "nowhere",
	} {
		must(t, os.Symlink(target, below(name)))
	}

	for name, want := range map[string]struct{ content, err string }{
		"file":        {content: "content"},
		"full":        {content: strings.Repeat("x", limit)},
		"sub/file":    {content: "below"},
		"sub/../file": {content: "content"},
		"large":       {err: "it is too large: 101 bytes, and the limit is 100"},
		"sparse":      {err: "it is too large: 1099511627776 bytes"},
		"none":        {err: "no such file"},
		"sub":         {err: "it is a directory, not a regular file"},
		"pipe":        {err: "it is a named pipe, not a regular file"},
		"sub/pipe":    {err: "it is a named pipe, not a regular file"},
		"socket":      {err: "it is a socket, not a regular file"},
		"link":        {err: "it is a link, not a regular file"},
		"zero":        {err: "it is a link, not a regular file"},
		"toPipe":      {err: "it is a link, not a regular file"},
		"loop":        {err: "it is a link, not a regular file"},
		"dangling":    {err: "it is a link, not a regular file"},
		"linked/file": {err: "it is a link, not a directory"},
		"away/secret": {err: "it is a link, not a directory"},
		"file/file":   {err: "it is a regular file, not a directory"},
		"pipe/file":   {err: "it is a named pipe, not a directory"},
		"../file":     {err: "leads out of the directory"},
		"/etc/passwd": {err: "leads out of the directory"},
	} {
		content, err := safefile.Dir(dir).ReadFile(name, limit)
		if string(content) != want.content || (err == nil) != (want.err == "") || err != nil && !strings.Contains(err.Error(), want.err) {
			t.Errorf("ReadFile(%s) = %q, %v; want %q, %q", name, content, err, want.content, want.err)
		}
		if err != nil && !strings.Contains(err.Error(), below(name)) && !strings.Contains(err.Error(), filepath.Dir(below(name))) {
			t.Errorf("ReadFile(%s): the error does not name the file: %v", name, err)
		}
	}
}

// TestTheDirectoryMayBeALink: the directory itself is trusted, and may be a link in an image.
func TestTheDirectoryMayBeALink(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "real/file"), "content")
	link := filepath.Join(dir, "link")
	must(t, os.Symlink("real", link))
	if b, err := safefile.Dir(link).ReadFile("file", limit); string(b) != "content" {
		t.Errorf("ReadFile below a link = %q, %v", b, err)
	}
}

func TestErrorsHaveTypes(t *testing.T) {
	dir := t.TempDir()
	must(t, unix.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	write(t, filepath.Join(dir, "large"), strings.Repeat("x", limit+1))
	_, err := safefile.Dir(dir).ReadFile("pipe", limit)
	if is := (*safefile.NotRegularError)(nil); !errors.As(err, &is) || is.Is != "a named pipe" {
		t.Errorf("a pipe: %#v", err)
	}
	_, err = safefile.ReadFile(filepath.Join(dir, "large"), limit)
	if is := (*safefile.TooLargeError)(nil); !errors.As(err, &is) || is.Limit != limit || is.Size != limit+1 {
		t.Errorf("a large file: %#v", err)
	}
	if _, err = safefile.Dir(dir).ReadFile("none", limit); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %#v", err)
	}
}

// TestTrustedFiles: a trusted file may be a link to a link, as in a secret that Kubernetes
// mounts.
func TestTrustedFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "..2026/token"), "token")
	must(t, os.Symlink("..2026", filepath.Join(dir, "..data")))
	must(t, os.Symlink("..data/token", filepath.Join(dir, "token")))
	if b, err := safefile.ReadFile(filepath.Join(dir, "token"), limit); string(b) != "token" {
		t.Errorf("a mounted secret: %q, %v", b, err)
	}
	pipe := filepath.Join(dir, "pipe")
	must(t, unix.Mkfifo(pipe, 0o600))
	must(t, os.Symlink("pipe", filepath.Join(dir, "toPipe")))
	for _, path := range []string{pipe, filepath.Join(dir, "toPipe"), "/dev/zero", dir} {
		if b, err := safefile.ReadFile(path, limit); err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("ReadFile(%s) = %q, %v", path, b, err)
		}
	}
	if _, err := safefile.OpenDir(pipe); err == nil || !strings.Contains(err.Error(), "it is a named pipe, not a directory") {
		t.Errorf("OpenDir of a pipe: %v", err)
	}
	d, err := safefile.OpenDir(filepath.Join(dir, "..data"))
	must(t, err)
	d.Close()
}

func TestReadFrom(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "log"), "0123456789")
	must(t, unix.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	for _, c := range []struct {
		offset, limit int64
		want          string
	}{{0, 4, "0123"}, {4, 4, "4567"}, {8, 4, "89"}, {10, 4, ""}, {1 << 40, 4, ""}} {
		if b, err := safefile.Dir(dir).ReadFrom("log", c.offset, c.limit); string(b) != c.want || err != nil {
			t.Errorf("ReadFrom(%d, %d) = %q, %v", c.offset, c.limit, b, err)
		}
	}
	if _, err := safefile.Dir(dir).ReadFrom("pipe", 0, 4); err == nil {
		t.Error("ReadFrom reads a pipe")
	}
}

func TestEntries(t *testing.T) {
	dir := t.TempDir()
	for i := range 600 {
		write(t, filepath.Join(dir, "sub", "n"+string(rune('a'+i%26))+strings.Repeat("x", i/26)), "")
	}
	must(t, os.Symlink("sub", filepath.Join(dir, "link")))
	must(t, unix.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	d := safefile.Dir(dir)
	all := func(fs.DirEntry) bool { return true }

	if found, err := d.Entries("sub", 600, all); len(found) != 600 || err != nil {
		t.Errorf("all of 600: %d, %v", len(found), err)
	}
	a := func(e fs.DirEntry) bool { return strings.HasPrefix(e.Name(), "na") }
	if found, err := d.Entries("sub", 600, a); len(found) != 24 || err != nil {
		t.Errorf("those with an a: %d, %v", len(found), err)
	}
	found, err := d.Entries("sub", 500, all)
	if is := (*safefile.TooManyError)(nil); len(found) != 500 || !errors.As(err, &is) || is.Limit != 500 {
		t.Errorf("500 of 600: %d, %v", len(found), err)
	}
	if found, err := d.Entries(".", 10, all); len(found) != 3 || err != nil {
		t.Errorf("the directory itself: %v, %v", found, err)
	}
	for _, name := range []string{"link", "pipe", "none", ".."} {
		if found, err := d.Entries(name, 10, all); err == nil {
			t.Errorf("Entries(%s) = %v", name, found)
		}
	}
}

// TestNoLinkIsFollowed: a path is read only if no part of it is a link and it is a regular
// file.
func TestNoLinkIsFollowed(t *testing.T) {
	names := rapid.SampledFrom([]string{"a", "b", "c"})
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		for range rapid.IntRange(1, 12).Draw(rt, "things") {
			path := filepath.Join(dir, filepath.Join(rapid.SliceOfN(names, 1, 3).Draw(rt, "path")...))
			if os.MkdirAll(filepath.Dir(path), 0o700) != nil {
				continue // a part of it is a file
			}
			switch rapid.IntRange(0, 3).Draw(rt, "kind") { // a name that exists stays as it is
			case 0:
				if f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err == nil {
					_, err = f.WriteString("content")
					must(t, errors.Join(err, f.Close()))
				}
			case 1:
				_ = os.Mkdir(path, 0o700)
			case 2:
				_ = unix.Mkfifo(path, 0o600)
			case 3:
				_ = os.Symlink(rapid.SampledFrom([]string{"a", "b", "../a", "../b/c", dir, "/dev/zero"}).Draw(rt, "target"), path)
			}
			if rapid.Bool().Draw(rt, "end") {
				break
			}
		}
		name := filepath.Join(rapid.SliceOfN(names, 1, 4).Draw(rt, "name")...)
		plain := true
		for at := name; at != "."; at = filepath.Dir(at) {
			info, err := os.Lstat(filepath.Join(dir, at))
			plain = plain && err == nil && (info.IsDir() && at != name || info.Mode().IsRegular() && at == name)
		}
		b, err := safefile.Dir(dir).ReadFile(name, limit)
		if plain != (err == nil) || plain && string(b) != "content" {
			rt.Fatalf("ReadFile(%s) = %q, %v; no links and a file: %v", name, b, err, plain)
		}
	})
}

// TestSwappedWhileRead: if a name is replaced while it is read, no file outside the directory
// is read, and the reader does not block.
func TestSwappedWhileRead(t *testing.T) {
	outside := t.TempDir()
	write(t, filepath.Join(outside, "file"), "secret")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "real/file"), "mine")
	must(t, os.Mkdir(filepath.Join(dir, "pipes"), 0o700))
	must(t, unix.Mkfifo(filepath.Join(dir, "pipes/file"), 0o600))
	must(t, os.Symlink(outside, filepath.Join(dir, "link")))
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			for _, name := range []string{"real", "pipes", "link"} {
				_ = os.Rename(filepath.Join(dir, name), filepath.Join(dir, "at"))
				_ = os.Rename(filepath.Join(dir, "at"), filepath.Join(dir, name))
			}
		}
	}()
	for range 5000 {
		if b, err := safefile.Dir(dir).ReadFile("at/file", limit); err == nil && !bytes.Equal(b, []byte("mine")) {
			t.Errorf("read %q", b)
			break
		}
	}
	close(stop)
	<-stopped
}

// TestRemoveAll: a job may remove a directory's permissions for its owner, whose rights
// azptend uses to remove it.
func TestRemoveAll(t *testing.T) {
	outside := t.TempDir()
	write(t, filepath.Join(outside, "file"), "kept")
	dir := t.TempDir()
	closed := filepath.Join(dir, "perf", "closed")
	write(t, filepath.Join(closed, "below", "file"), "")
	must(t, os.Symlink(outside, filepath.Join(dir, "perf", "link")))
	must(t, os.Symlink(outside, filepath.Join(closed, "link")))
	must(t, os.Chmod(filepath.Join(closed, "below"), 0))
	must(t, os.Chmod(closed, 0))
	asUser(t, dir, func() error { return safefile.RemoveAll(filepath.Join(dir, "perf")) })
	if left, err := os.ReadDir(dir); len(left) > 0 || err != nil {
		t.Errorf("left %v, %v", left, err)
	}
	if _, err := os.Stat(filepath.Join(outside, "file")); err != nil {
		t.Errorf("followed a link: %v", err)
	}
	must(t, safefile.RemoveAll(filepath.Join(dir, "none")))
}

func write(t *testing.T, path, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(t, os.WriteFile(path, []byte(content), 0o600))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
