package agentdir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// elsewhere plays a process's mount namespace: where its paths lead here.
type elsewhere map[string]string

func (e elsewhere) Stat(dir string) (fs.FileInfo, error) {
	at, is := e[dir]
	if !is {
		return nil, fs.ErrNotExist
	}
	return os.Stat(at)
}

// TestWhoseProcess: the folder that a process runs from is known by what it is, and
// neither by its path nor by the program's file.
func TestWhoseProcess(t *testing.T) {
	ours, theirs := t.TempDir(), t.TempDir()
	for _, bin := range []string{ours + "/bin", theirs + "/bin", ours + "/_work/bin"} {
		if err := os.MkdirAll(bin, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(ours, "bin", listenerProgram)
	if err := errors.Join(os.WriteFile(program, nil, 0o755), os.Link(program, filepath.Join(theirs, "bin", listenerProgram))); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(ours, link); err != nil {
		t.Fatal(err)
	}
	has := func(all ...string) func() []string { return func() []string { return all } }
	perf := func(dir string) func() []string { return has("PATH=/bin", perfVariable+"="+dir+"/.azptend-perf-1") }
	for _, tt := range []struct {
		name     string
		p        ProcessInfo
		listener bool
		descends bool
	}{
		{"in bin", ProcessInfo{Program: program, Environ: perf(ours), Stat: os.Stat}, true, true},
		{"in bin.VERSION", ProcessInfo{Program: ours + "/bin.4.1.0/Agent.Listener", Environ: has(), Stat: os.Stat}, true, false},
		{"hard-linked into another root", ProcessInfo{Program: theirs + "/bin/Agent.Listener", Environ: perf(theirs), Stat: os.Stat}, false, false},
		{"our path in another container", ProcessInfo{Program: program, Environ: perf(ours), Stat: elsewhere{ours: theirs}.Stat}, false, false},
		{"our folder under another container's path", ProcessInfo{Program: "/azp/bin/Agent.Listener", Environ: perf("/azp"), Stat: elsewhere{"/azp": ours}.Stat}, true, true},
		{"in a folder that is not there any more", ProcessInfo{Program: program, Environ: perf(ours), Stat: elsewhere{}.Stat}, false, false},
		{"that may not be looked into", ProcessInfo{Program: program, Environ: perf(ours)}, false, false},
		{"of the work folder", ProcessInfo{Program: ours + "/_work/bin/Agent.Listener", Environ: has(), Stat: os.Stat}, false, false},
		{"not below a bin", ProcessInfo{Program: ours + "/externals/Agent.Listener", Environ: has(), Stat: os.Stat}, false, false},
		{"another program", ProcessInfo{Program: ours + "/bin/Agent.Worker", Environ: perf(ours), Stat: os.Stat}, false, true},
		{"a daemon", ProcessInfo{Program: "/bin/sleep", Environ: perf(ours), Stat: os.Stat}, false, true},
		{"a daemon of a folder that was named by a link", ProcessInfo{Program: "/bin/sleep", Environ: perf(link), Stat: os.Stat}, false, true},
		{"a daemon with a perf folder of its own", ProcessInfo{Program: "/bin/sleep", Environ: has(perfVariable + "=" + ours + "/perf"), Stat: os.Stat}, false, false},
		{"a daemon with a relative one", ProcessInfo{Program: "/bin/sleep", Environ: perf("."), Stat: os.Stat}, false, false},
	} {
		for _, root := range []string{ours, link} {
			f := Dir{Root: root}
			if got := f.IsListener(tt.p); got != tt.listener {
				t.Errorf("%s: a listener of %s: %v", tt.name, root, got)
			}
			if got := f.IsDescendant(tt.p); got != tt.descends {
				t.Errorf("%s: descends from a listener of %s: %v", tt.name, root, got)
			}
		}
	}
	f := Dir{Root: ours}
	update := ProcessInfo{Program: "/bin/bash", Args: has("bash", ours+"/_work/_update/_update.sh"), Environ: perf(ours), Stat: os.Stat}
	if !f.IsUpdateScript(update) || !f.IsWorker(ProcessInfo{Program: ours + "/bin/Agent.Worker", Stat: os.Stat}) {
		t.Errorf("our update and our worker are not known")
	}
	if update.Stat = (elsewhere{ours: theirs}).Stat; f.IsUpdateScript(update) {
		t.Errorf("another container's update is ours")
	}
}
