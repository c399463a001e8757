package agentdir

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// This file decides whose a process is. Executables are hard-linked between roots
// and replaced by updates, so that a file of their own proves nothing, and other
// containers use the same paths. What proves that a process belongs to a folder is
// the folder itself: the process, in its own mount namespace, runs a program of the
// very directory that is Root. A process that azptend may not look into is not ours.

// The programs of an agent.
const (
	listenerProgram = "Agent.Listener"
	// WorkerProgram runs a job, below the listener.
	WorkerProgram = "Agent.Worker"
)

// Process is what must be known of a process to say whose it is.
type Process struct {
	Program string          // its executable file, by its path in the process's own mount namespace
	Args    func() []string // with its own name
	Environ func() []string // what it was started with
	// Stat looks at a directory as the process itself would find it.
	Stat func(dir string) (fs.FileInfo, error)
}

// IsListener says whether a process is a listener of this folder: its program is
// in bin, or in the bin.VERSION that an update has put in its place.
func (f Folder) IsListener(p Process) bool { return f.runs(p, listenerProgram) }

// IsWorker is like IsListener.
func (f Folder) IsWorker(p Process) bool { return f.runs(p, WorkerProgram) }

func (f Folder) runs(p Process, name string) bool {
	bin := filepath.Dir(p.Program)
	return filepath.Base(p.Program) == name && strings.HasPrefix(filepath.Base(bin), "bin") && f.isAt(p, filepath.Dir(bin))
}

// isAt says whether this folder is what a process finds at a path.
func (f Folder) isAt(p Process, dir string) bool {
	if p.Stat == nil {
		return false
	}
	ours, err := os.Stat(f.Root)
	if err != nil {
		return false
	}
	theirs, err := p.Stat(dir)
	return err == nil && os.SameFile(ours, theirs)
}

// Started says whether a listener of this folder was started by azptend.
func (f Folder) Started(p Process) bool { return perfOf(p) != "" }

// Descends says whether a process descends from a listener that azptend has started
// in this folder. A job's processes inherit the listener's environment, wherever
// they go: by that they are known when nobody is their parent any more. What their
// environment names is a path in their mount namespace, not in ours.
func (f Folder) Descends(p Process) bool {
	perf := perfOf(p)
	return perf != "" && f.isAt(p, filepath.Dir(perf))
}

// perfOf is the perf folder in a process's environment, "" if there is none that
// azptend has made.
func perfOf(p Process) string {
	for _, pair := range p.Environ() {
		if dir, is := strings.CutPrefix(pair, perfVariable+"="); is {
			if ours, _ := filepath.Match(perfPattern, filepath.Base(dir)); ours && filepath.IsAbs(dir) {
				return dir
			}
			return ""
		}
	}
	return ""
}

// IsUpdate says whether a process is the script by which a listener of this folder
// updates itself (agent-protocol.md 4.3).
func (f Folder) IsUpdate(p Process) bool {
	args := p.Args()
	for _, arg := range args[min(1, len(args)):] {
		if filepath.Base(arg) == "_update.sh" {
			return f.Descends(p)
		}
	}
	return false
}
