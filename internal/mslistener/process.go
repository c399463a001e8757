package mslistener

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/proc"
)

// This file decides which agent a process belongs to. Executables are hard-linked between
// roots and replaced by updates, so their inode proves nothing. Other containers use the
// same paths, so a path proves nothing. A process belongs to a directory if, in its own
// mount namespace, its program is in that directory: device and inode of the directory must
// be the same. A process that azptend may not inspect does not belong to it.

// WorkerProgram is the program that the listener starts for a job.
const WorkerProgram = "Agent.Worker"

// IsListener reports whether a process is a listener of this directory. Its program is in
// bin, or in bin.VERSION after an update.
func IsListener(d agentdir.Dir, p proc.Info) bool { return runs(d, p, filepath.Base(d.Listener())) }

// IsOrphan reports whether a process belongs to a job of a previous run: it is a worker, or
// it inherited the environment of a listener of this directory. The environment also
// identifies daemons that left their process group and lost their parent.
func IsOrphan(d agentdir.Dir, p proc.Info) bool {
	return runs(d, p, WorkerProgram) || (IsDescendant(d, p) && !IsListener(d, p) && !IsUpdateScript(d, p))
}

func runs(d agentdir.Dir, p proc.Info, program string) bool {
	bin := filepath.Dir(p.Program)
	return filepath.Base(p.Program) == program && strings.HasPrefix(filepath.Base(bin), "bin") && isSameDir(d, p, filepath.Dir(bin))
}

// isSameDir reports whether a path in the process's mount namespace is this directory.
func isSameDir(d agentdir.Dir, p proc.Info, path string) bool {
	if p.Stat == nil {
		return false
	}
	ours, err := os.Stat(d.Root)
	if err != nil {
		return false
	}
	theirs, err := p.Stat(path)
	return err == nil && os.SameFile(ours, theirs)
}

// IsDescendant reports whether a process descends from a listener that azptend started in
// this directory. A job's processes inherit the listener's environment. It contains a path
// in the mount namespace of the process, not in ours.
func IsDescendant(d agentdir.Dir, p proc.Info) bool {
	perf := PerfDir(p)
	return perf != "" && isSameDir(d, p, filepath.Dir(perf))
}

// PerfDir is the perf directory in a process's environment; "" if azptend started neither
// the process nor a listener that it descends from.
func PerfDir(p proc.Info) string {
	for _, pair := range p.Environ() {
		if dir, is := strings.CutPrefix(pair, perfVariable+"="); is {
			if filepath.IsAbs(dir) && agentdir.IsPerfDir(dir) {
				return dir
			}
			return ""
		}
	}
	return ""
}

// IsUpdateScript reports whether a process is the script that updates a listener of this
// directory (agent-protocol.md 4.3).
func IsUpdateScript(d agentdir.Dir, p proc.Info) bool {
	args := p.Args()
	for _, arg := range args[min(1, len(args)):] {
		if filepath.Base(arg) == "_update.sh" {
			return IsDescendant(d, p)
		}
	}
	return false
}

// InitProcesses starts and adopts processes with a proc.Init.
type InitProcesses struct{ *proc.Init }

// Start starts a process.
func (p InitProcesses) Start(ctx context.Context, s proc.Spec) (Process, error) {
	c, err := p.Init.Start(ctx, s)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Adopt takes over a process that another azptend started.
func (p InitProcesses) Adopt(pid int, is func(proc.Info) bool) (Process, error) {
	f, err := p.Init.Adopt(pid, is)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// KillTrees kills processes that Adopt returned, their groups and descendants.
func (p InitProcesses) KillTrees(ctx context.Context, all []Process) int {
	var foreign []*proc.ForeignProcess
	for _, one := range all {
		if f, is := one.(*proc.ForeignProcess); is {
			foreign = append(foreign, f)
		}
	}
	return proc.KillTrees(ctx, foreign)
}
