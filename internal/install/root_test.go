package install

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// installation is an agent's folder with an agent's life in it, which no root is
// to get.
func installation(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	archive := agentArchive(t, version)
	install(t, dir, &host{archive: archive}, version)
	for name, content := range map[string]string{
		".env": "LANG=C", ".agent": "an identity", ".credentials": "a key", ".azptend/control.sock": "x",
		"_diag/Agent.log": "x", "_work/1/s": "x", "agent.tar.gz": "x", "bin.4.1.0/Agent.Listener": "x",
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755), os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func makeTestRoot(t *testing.T, from, dir string) RootResult {
	t.Helper()
	done, err := MakeRoot(t.Context(), RootOptions{From: from, Dir: dir, Jobs: JobUser{UID: os.Geteuid(), GID: os.Getegid()}})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func TestARoot(t *testing.T) {
	from, dir := installation(t, "5.282.3"), filepath.Join(t.TempDir(), "deep", "root")
	done := makeTestRoot(t, from, dir)
	if done.Decision != Create || done.Files != 6 || done.Bytes == 0 || done.Method == HardLink {
		t.Errorf("made %+v", done)
	}
	want := []string{".azptend-package", ".azptend-root", ".env", "bin/Agent.Listener", "externals/node20_1/bin/node", "externals/node20_1/bin/npm",
		"externals/node20_1/lib/npm-cli.js", "license.html", "run.sh"}
	if d := cmp.Diff(want, names(t, dir)); d != "" {
		t.Errorf("the root (-want +got):\n%s", d)
	}
	if target, err := os.Readlink(filepath.Join(dir, "externals/node20_1/bin/npm")); err != nil || filepath.IsAbs(target) {
		t.Errorf("a link of the package is %q, %v", target, err)
	}
	if info, err := os.Stat(filepath.Join(dir, listenerPath)); err != nil || info.Mode().Perm()&0o100 == 0 {
		t.Errorf("the listener is %v, %v", info, err)
	}
	if again := makeTestRoot(t, from, dir); again.Decision != Keep || again.Method != done.Method {
		t.Errorf("again: %+v", again)
	}
	install(t, from, &host{archive: agentArchive(t, "5.283.0")}, "5.283.0")
	if err := os.WriteFile(filepath.Join(dir, ".agent"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	anew, err := MakeRoot(t.Context(), RootOptions{From: from, Dir: dir, PreviousKilled: true})
	if err != nil || anew.Decision != Leave {
		t.Errorf("with a survivor in it: %+v, %v", anew, err)
	}
	if anew := makeTestRoot(t, from, dir); anew.Decision != Create {
		t.Errorf("of another installation: %+v", anew)
	}
	text := strings.Join(snapshot(t, dir), "\n")
	if !strings.Contains(text, "listener 5.283.0") || !strings.Contains(text, ".agent: mine") || strings.Contains(text, "5.282.3") {
		t.Errorf("the root holds:\n%s", text)
	}
}

// names are the files in a folder.
func names(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	for _, line := range snapshot(t, dir) {
		if name, _, is := strings.Cut(line, ": "); is {
			all = append(all, name)
		}
	}
	return all
}

// TestAnInstallationThatHasUpdatedItself has links for bin and externals, through
// which a listener would take it for its root.
func TestAnInstallationThatHasUpdatedItself(t *testing.T) {
	from, dir := installation(t, "5.282.3"), t.TempDir()
	err := errors.Join(os.Rename(filepath.Join(from, "bin"), filepath.Join(from, "bin.5.282.3")), os.Symlink("bin.5.282.3", filepath.Join(from, "bin")))
	if err != nil {
		t.Fatal(err)
	}
	makeTestRoot(t, from, dir)
	if real, err := filepath.EvalSymlinks(filepath.Join(dir, listenerPath)); err != nil || filepath.Dir(filepath.Dir(real)) != dir {
		t.Errorf("the listener is %q, %v", real, err)
	}
}

func TestSomebodyElsesAgentStays(t *testing.T) {
	from, dir := installation(t, "5.282.3"), installation(t, "4.1.0")
	if done := makeTestRoot(t, from, dir); done.Decision != Foreign {
		t.Errorf("%+v", done)
	}
	if b, _ := os.ReadFile(filepath.Join(dir, listenerPath)); string(b) != "listener 4.1.0" {
		t.Errorf("the listener is %q", b)
	}
}

// TestSharedFiles: bin and externals may be the installation's very files where
// its owner is another than the jobs' user; what an update writes into never is.
// TestADamagedRoot: whatever a job puts in the place of what azptend wrote, the
// root is made anew, and nothing outside it is touched.
func TestADamagedRoot(t *testing.T) {
	from, outside := installation(t, "5.282.3"), t.TempDir()
	kept := filepath.Join(outside, "tree", "kept")
	if err := errors.Join(os.Mkdir(filepath.Dir(kept), 0o755), os.WriteFile(kept, []byte("kept"), 0o600)); err != nil {
		t.Fatal(err)
	}
	want := t.TempDir()
	makeTestRoot(t, from, want)
	for name, plant := range map[string]func(mark, staging string) error{
		"a pipe":      func(mark, _ string) error { return syscall.Mkfifo(mark, 0o600) },
		"a link":      func(mark, _ string) error { return os.Symlink("/dev/zero", mark) },
		"a directory": func(mark, _ string) error { return os.Mkdir(mark, 0o700) },
		"terabytes": func(mark, _ string) error {
			return errors.Join(os.WriteFile(mark, nil, 0o600), os.Truncate(mark, 1<<42))
		},
		"no JSON": func(mark, _ string) error { return os.WriteFile(mark, []byte("x"), 0o600) },
		"a staging link": func(mark, staging string) error {
			return errors.Join(os.Symlink(outside, staging), os.Mkdir(mark, 0o700))
		},
		"a staging pipe": func(mark, staging string) error {
			return errors.Join(syscall.Mkfifo(staging, 0o600), os.Mkdir(mark, 0o700))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			makeTestRoot(t, from, dir)
			mark := filepath.Join(dir, rootRecordName)
			if err := errors.Join(os.Remove(mark), plant(mark, filepath.Join(dir, stagingName))); err != nil {
				t.Fatal(err)
			}
			done := makeTestRoot(t, from, dir)
			if done.Decision != Create || done.Damage == nil {
				t.Errorf("decision %s, damage %v", done.Decision, done.Damage)
			}
			if d := cmp.Diff(snapshot(t, want), snapshot(t, dir)); d != "" {
				t.Errorf("made anew (-want +got):\n%s", d)
			}
			if b, err := os.ReadFile(kept); string(b) != "kept" {
				t.Errorf("outside: %q, %v", b, err)
			}
		})
	}
}

func TestSharedFiles(t *testing.T) {
	from, dir := installation(t, "5.282.3"), t.TempDir()
	m := &rootMaker{options: RootOptions{From: from, Jobs: JobUser{UID: os.Geteuid() + 1}, As: func(f func() error) error { return f() }, OnProgress: func(Progress) {}}, methods: copyMethods{link: true}}
	if err := m.copyInstallation(t.Context(), filepath.Join(dir, "tree")); err != nil {
		t.Fatal(err)
	}
	if m.method() != HardLink || m.done.Copied >= m.done.Bytes {
		t.Errorf("made by %s: %+v", m.method(), m.done)
	}
	for name, shared := range map[string]bool{listenerPath: true, "externals/node20_1/bin/node": true, "run.sh": false, ".env": false} {
		a, errA := os.Stat(filepath.Join(from, name))
		b, errB := os.Stat(filepath.Join(dir, "tree", name))
		if err := errors.Join(errA, errB); err != nil || os.SameFile(a, b) != shared {
			t.Errorf("%s is shared: %v, %v", name, !shared, err)
		}
	}
}

func TestARootThatCannotBe(t *testing.T) {
	from := installation(t, "5.282.3")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tt := range map[string]struct {
		ctx context.Context
		o   RootOptions
		why error
	}{
		"no installation": {t.Context(), RootOptions{From: t.TempDir(), Dir: t.TempDir()}, errNoListener},
		"no place":        {t.Context(), RootOptions{From: from, Dir: "/proc/root-of-an-agent"}, fs.ErrNotExist},
		"asked to end":    {ended, RootOptions{From: from, Dir: t.TempDir()}, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := MakeRoot(tt.ctx, tt.o)
			var e *RootError
			if !errors.As(err, &e) || !errors.Is(err, tt.why) || e.Hint() == "" {
				t.Errorf("error is %v", err)
			}
			if left := names(t, tt.o.Dir); len(left) > 0 {
				t.Errorf("it leaves %v", left)
			}
		})
	}
}

// makesRoot marks the process that is killed while it makes a root.
const makesRoot = "AZPTEND_TEST_MAKES_ROOT"

// TestKilledWhileItIsMade: wherever the making was, the root has no listener, and
// the next making finishes it.
func TestKilledWhileItIsMade(t *testing.T) {
	if dirs := os.Getenv(makesRoot); dirs != "" {
		from, dir, _ := strings.Cut(dirs, ":")
		_, _ = MakeRoot(t.Context(), RootOptions{From: from, Dir: dir, OnProgress: func(Progress) {
			fmt.Println("another file")
			_, _ = os.Stdin.Read(make([]byte, 1))
		}})
		return
	}
	from := installation(t, "5.282.3")
	want := filepath.Join(t.TempDir(), "root")
	makeTestRoot(t, from, want)
	for files := 1; files <= 6; files++ {
		t.Run(strconv.Itoa(files), func(t *testing.T) {
			dir := t.TempDir()
			killAfter(t, from, dir, files)
			if HasAgent(dir) || len(names(t, filepath.Join(dir, stagingName))) == 0 {
				t.Errorf("killed after %d files it leaves %v", files, names(t, dir))
			}
			makeTestRoot(t, from, dir)
			if d := cmp.Diff(snapshot(t, want), snapshot(t, dir)); d != "" {
				t.Errorf("made again (-want +got):\n%s", d)
			}
		})
	}
}

// killAfter makes a root in a process of its own, which is killed after so many
// files.
func killAfter(t *testing.T, from, dir string, files int) {
	t.Helper()
	c := exec.Command(os.Args[0], "-test.run=^TestKilledWhileItIsMade$")
	c.Env = append(os.Environ(), makesRoot+"="+from+":"+dir)
	in, errIn := c.StdinPipe()
	out, errOut := c.StdoutPipe()
	if err := errors.Join(errIn, errOut, c.Start()); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 1; lines.Scan() && n < files; n++ {
		if _, err := in.Write([]byte{'\n'}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
}

// TestKilledWhileItIsPlaced: after any of the renames the root holds the old
// agent, no listener, or the new one.
func TestKilledWhileItIsPlaced(t *testing.T) {
	old, next := installation(t, "5.281.0"), installation(t, "5.282.3")
	source, err := sourceOf(next)
	if err != nil {
		t.Fatal(err)
	}
	for moves := range 16 {
		dir := t.TempDir()
		makeTestRoot(t, old, dir)
		s, err := openStaging(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		m := &rootMaker{options: RootOptions{From: next, As: func(f func() error) error { return f() }, OnProgress: func(Progress) {}}}
		if err := m.copyInstallation(t.Context(), filepath.Join(s.dir, treeName)); err != nil {
			t.Fatal(err)
		}
		placeUntil(t, s, records{rootRecordName: rootRecord{next, source, Copy}}, moves)
		b, err := os.ReadFile(filepath.Join(dir, listenerPath))
		mark, damage := readRootRecord(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case damage != nil || mark == nil || (mark.Source == source) != (string(b) == "listener 5.282.3"):
			t.Errorf("after %d moves the listener is %q, and the mark %+v", moves, b, mark)
		}
		makeTestRoot(t, next, dir)
		if text := strings.Join(snapshot(t, dir), "\n"); strings.Contains(text, "5.281.0") {
			t.Errorf("after %d moves and another making it holds\n%s", moves, text)
		}
	}
}

// TestNobodyWritesThroughALink: a file that gets a second name can be written
// neither by the jobs' user nor by anybody who is not its owner; nor can that
// user give himself the right.
func TestNobodyWritesThroughALink(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		small := rapid.IntRange(0, 2)
		f := inode{small.Draw(t, "owner"), fs.FileMode(rapid.Uint32Range(0, 0o777).Draw(t, "mode"))}
		jobs := JobUser{small.Draw(t, "uid"), small.Draw(t, "gid")}
		writes := jobs.UID == 0 || jobs.UID == f.uid || f.mode&0o022 != 0 // the group may be any of the user's
		if mayLink(f, jobs) == writes {
			t.Errorf("%+v may be linked for %+v: %v", f, jobs, !writes)
		}
	})
	if mayLink(inode{0, fs.ModeSetuid | 0o755}, JobUser{UID: 1}) || mayLink(inode{0, fs.ModeNamedPipe}, JobUser{UID: 1}) {
		t.Error("what is no plain program may be linked")
	}
}

// TestWaysOnlyGetFewer: a method that failed is not tried again, and there is
// always one.
func TestWaysOnlyGetFewer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := copyMethods{rapid.Bool().Draw(t, "reflink"), rapid.Bool().Draw(t, "link")}
		linkable := rapid.Bool().Draw(t, "linkable")
		var tried []Method
		for m := w.best(linkable); ; m = w.best(linkable) {
			if slices.Contains(tried, m) || m == HardLink && !linkable {
				t.Fatalf("tried %v, then %s", tried, m)
			}
			tried = append(tried, m)
			if m == Copy {
				return
			}
			w = w.without(m)
		}
	})
}

func TestDecision(t *testing.T) {
	mine, other, damage := &rootRecord{Source: "a"}, &rootRecord{Source: "b"}, errors.New("a pipe")
	for _, tt := range []struct {
		found rootState
		want  Decision
	}{
		{rootState{}, Create}, {rootState{record: mine}, Create}, {rootState{previousKilled: true}, Create},
		{rootState{hasAgent: true}, Foreign}, {rootState{hasAgent: true, record: mine}, Keep}, {rootState{hasAgent: true, record: mine, previousKilled: true}, Keep},
		{rootState{hasAgent: true, record: other}, Create}, {rootState{hasAgent: true, record: other, previousKilled: true}, Leave},
		{rootState{damage: damage}, Create}, {rootState{hasAgent: true, damage: damage}, Create}, {rootState{hasAgent: true, damage: damage, previousKilled: true}, Leave},
	} {
		if got := decideRoot("a", tt.found); got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.found, got, tt.want)
		}
	}
}
