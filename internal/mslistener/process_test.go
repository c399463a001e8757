package mslistener

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/proc"
)

// elsewhere simulates a mount namespace: it maps paths of the process to paths here.
type elsewhere map[string]string

func (e elsewhere) Stat(dir string) (fs.FileInfo, error) {
	at, is := e[dir]
	if !is {
		return nil, fs.ErrNotExist
	}
	return os.Stat(at)
}

// TestProcesses: the directory's inode decides which directory a process belongs to, not
// its path or the program's inode.
func TestProcesses(t *testing.T) {
	ours, theirs := t.TempDir(), t.TempDir()
	for _, bin := range []string{ours + "/bin", theirs + "/bin", ours + "/_work/bin"} {
		if err := os.MkdirAll(bin, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(ours, "bin", "Agent.Listener")
	if err := errors.Join(os.WriteFile(program, nil, 0o755), os.Link(program, filepath.Join(theirs, "bin", "Agent.Listener"))); err != nil {
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
		p        proc.Info
		listener bool
		descends bool
	}{
		{"in bin", proc.Info{Program: program, Environ: perf(ours), Stat: os.Stat}, true, true},
		{"in bin.VERSION", proc.Info{Program: ours + "/bin.4.1.0/Agent.Listener", Environ: has(), Stat: os.Stat}, true, false},
		{"hard-linked into another root", proc.Info{Program: theirs + "/bin/Agent.Listener", Environ: perf(theirs), Stat: os.Stat}, false, false},
		{"our path in another container", proc.Info{Program: program, Environ: perf(ours), Stat: elsewhere{ours: theirs}.Stat}, false, false},
		{"our directory under another container's path", proc.Info{Program: "/azp/bin/Agent.Listener", Environ: perf("/azp"), Stat: elsewhere{"/azp": ours}.Stat}, true, true},
		{"in a directory that no longer exists", proc.Info{Program: program, Environ: perf(ours), Stat: elsewhere{}.Stat}, false, false},
		{"that may not be looked into", proc.Info{Program: program, Environ: perf(ours)}, false, false},
		{"of the work directory", proc.Info{Program: ours + "/_work/bin/Agent.Listener", Environ: has(), Stat: os.Stat}, false, false},
		{"not below a bin", proc.Info{Program: ours + "/externals/Agent.Listener", Environ: has(), Stat: os.Stat}, false, false},
		{"another program", proc.Info{Program: ours + "/bin/Agent.Worker", Environ: perf(ours), Stat: os.Stat}, false, true},
		{"a daemon", proc.Info{Program: "/bin/sleep", Environ: perf(ours), Stat: os.Stat}, false, true},
		{"a daemon of a directory that was named by a link", proc.Info{Program: "/bin/sleep", Environ: perf(link), Stat: os.Stat}, false, true},
		{"a daemon with its own perf directory", proc.Info{Program: "/bin/sleep", Environ: has(perfVariable + "=" + ours + "/perf"), Stat: os.Stat}, false, false},
		{"a daemon with a relative one", proc.Info{Program: "/bin/sleep", Environ: perf("."), Stat: os.Stat}, false, false},
	} {
		for _, root := range []string{ours, link} {
			f := agentdir.Dir{Root: root}
			if got := IsListener(f, tt.p); got != tt.listener {
				t.Errorf("%s: a listener of %s: %v", tt.name, root, got)
			}
			if got := IsDescendant(f, tt.p); got != tt.descends {
				t.Errorf("%s: descends from a listener of %s: %v", tt.name, root, got)
			}
		}
	}
	f := agentdir.Dir{Root: ours}
	update := proc.Info{Program: "/bin/bash", Args: has("bash", ours+"/_work/_update/_update.sh"), Environ: perf(ours), Stat: os.Stat}
	if !IsUpdateScript(f, update) || !IsOrphan(f, proc.Info{Program: ours + "/bin/Agent.Worker", Stat: os.Stat}) {
		t.Errorf("our update script and our worker are not recognised")
	}
	if update.Stat = (elsewhere{ours: theirs}).Stat; IsUpdateScript(f, update) {
		t.Errorf("another container's update script counts as ours")
	}
}
