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

// ProcessInfo is what must be known of a process to say whose it is.
type ProcessInfo struct {
	Program string          // its executable file, by its path in the process's own mount namespace
	Args    func() []string // with its own name
	Environ func() []string // what it was started with
	// Stat looks at a directory as the process itself would find it.
	Stat func(dir string) (fs.FileInfo, error)
}

// IsListener says whether a process is a listener of this folder: its program is
// in bin, or in the bin.VERSION that an update has put in its place.
func (f Dir) IsListener(p ProcessInfo) bool { return f.runsProgram(p, listenerProgram) }

// IsWorker is like IsListener.
func (f Dir) IsWorker(p ProcessInfo) bool { return f.runsProgram(p, WorkerProgram) }

func (f Dir) runsProgram(p ProcessInfo, name string) bool {
	bin := filepath.Dir(p.Program)
	return filepath.Base(p.Program) == name && strings.HasPrefix(filepath.Base(bin), "bin") && f.isSameDir(p, filepath.Dir(bin))
}

// isSameDir says whether this folder is what a process finds at a path.
func (f Dir) isSameDir(p ProcessInfo, dir string) bool {
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

// StartedByAzptend says whether a listener of this folder was started by azptend.
func (f Dir) StartedByAzptend(p ProcessInfo) bool { return perfDirOf(p) != "" }

// IsDescendant says whether a process descends from a listener that azptend has started
// in this folder. A job's processes inherit the listener's environment, wherever
// they go: by that they are known when nobody is their parent any more. What their
// environment names is a path in their mount namespace, not in ours.
func (f Dir) IsDescendant(p ProcessInfo) bool {
	perf := perfDirOf(p)
	return perf != "" && f.isSameDir(p, filepath.Dir(perf))
}

// perfDirOf is the perf folder in a process's environment, "" if there is none that
// azptend has made.
func perfDirOf(p ProcessInfo) string {
	for _, pair := range p.Environ() {
		if dir, is := strings.CutPrefix(pair, perfVariable+"="); is {
			if ours, _ := filepath.Match(perfDirPattern, filepath.Base(dir)); ours && filepath.IsAbs(dir) {
				return dir
			}
			return ""
		}
	}
	return ""
}

// IsUpdateScript says whether a process is the script by which a listener of this folder
// updates itself (agent-protocol.md 4.3).
func (f Dir) IsUpdateScript(p ProcessInfo) bool {
	args := p.Args()
	for _, arg := range args[min(1, len(args)):] {
		if filepath.Base(arg) == "_update.sh" {
			return f.IsDescendant(p)
		}
	}
	return false
}
