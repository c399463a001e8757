//go:build unix

package safefile_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/azptend/azptend/internal/safefile"
)

// all calls Next until there are no more lines.
func all(t interface {
	Helper()
	Fatal(...any)
}, l *safefile.LineFollower) (text string, replaced bool) {
	t.Helper()
	for {
		lines, other, err := l.Next()
		if err != nil {
			t.Fatal(err)
		}
		if other {
			text, replaced = "", true
		}
		if len(lines) == 0 {
			return text, replaced
		}
		text += string(lines)
	}
}

func TestLinesOfAFileThatGrows(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "Agent.perf")
	l := safefile.Dir(dir).FollowLines("Agent.perf")
	for _, step := range []struct {
		do       func() error
		want     string
		replaced bool
	}{
		{func() error { return nil }, "", false}, // it does not exist yet
		{func() error { return appendTo(file, "one\ntw") }, "one\n", false},
		{func() error { return appendTo(file, "") }, "", false},
		{func() error { return appendTo(file, "o\nthree\n") }, "two\nthree\n", false},
		{func() error { return os.Truncate(file, 4) }, "one\n", true},
		{func() error { return os.Remove(file) }, "", false},
		{func() error { return appendTo(file+".new", "another\nfile\nwhich is longer\n") }, "", false},
		{func() error { return os.Rename(file+".new", file) }, "another\nfile\nwhich is longer\n", true},
		{func() error { return appendTo(file, strings.Repeat("many\n", 200_000)) }, strings.Repeat("many\n", 200_000), false},
	} {
		must(t, step.do())
		if got, replaced := all(t, l); got != step.want || replaced != step.replaced {
			t.Fatalf("lines %.80q (%d), replaced %v; want %.80q (%d), %v", got, len(got), replaced, step.want, len(step.want), step.replaced)
		}
	}
}

func TestLinesRefuse(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "Agent.perf")
	l := safefile.Dir(dir).FollowLines("Agent.perf")
	must(t, appendTo(file, "one\n"))
	all(t, l)
	must(t, os.Truncate(file, 8<<40))
	if _, _, err := l.Next(); !isTooLarge(err) {
		t.Errorf("a sparse file of 8 TB: %v", err)
	}
	must(t, os.Remove(file))
	must(t, os.Symlink("/dev/zero", file))
	if _, _, err := l.Next(); err == nil || !strings.Contains(err.Error(), "it is a link") {
		t.Errorf("a link: %v", err)
	}
	must(t, os.Remove(file))
	must(t, unix.Mkfifo(file, 0o600))
	if _, _, err := l.Next(); err == nil || !strings.Contains(err.Error(), "it is a named pipe") {
		t.Errorf("a pipe: %v", err)
	}
	must(t, os.Remove(file))
	must(t, appendTo(file, "two\n"))
	if got, _ := all(t, l); got != "two\n" {
		t.Errorf("a file again: %q", got)
	}
}

// TestALineWithoutAnEnd: a very long line is returned in pieces, and the lines after it are
// read.
func TestALineWithoutAnEnd(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "Agent.perf")
	must(t, appendTo(file, ""))
	must(t, os.Truncate(file, 2<<20))
	must(t, appendTo(file, "\nlast\n"))
	l := safefile.Dir(dir).FollowLines("Agent.perf")
	if got, _ := all(t, l); !strings.HasSuffix(got, "\nlast\n") {
		t.Errorf("ends with %q", got[max(0, len(got)-20):])
	}
}

// TestEachLineOnce: however the writes are split, each line is returned once, whole and in
// order.
func TestEachLineOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		file := filepath.Join(dir, "Agent.perf")
		l := safefile.Dir(dir).FollowLines("Agent.perf")
		var wrote, got string
		for range rapid.IntRange(1, 20).Draw(rt, "writes") {
			piece := rapid.StringMatching(`[a-z\n]{0,12}`).Draw(rt, "piece")
			must(t, appendTo(file, piece))
			wrote += piece
			more, replaced := all(rt, l)
			if replaced {
				rt.Fatal("it was not replaced")
			}
			got += more
			if want := wrote[:strings.LastIndexByte(wrote, '\n')+1]; got != want {
				rt.Fatalf("read %q, want %q", got, want)
			}
		}
	})
}

func isTooLarge(err error) bool {
	var is *safefile.TooLargeError
	return errors.As(err, &is)
}

func appendTo(file, text string) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
