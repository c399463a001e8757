//go:build unix

package proc

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Info describes a process that this one did not start. What may be long is read only
// when it is asked for, and is not kept: a job can leave thousands of processes that
// show megabytes each.
type Info struct {
	Pid     int
	Program string          // its executable file, by its path in the process's own mount namespace
	UID     int             // its real user; -1 where that or the program is not known
	Args    func() []string // with its own name; nil where they may not be read
	Environ func() []string // what it was started with; nil where it may not be read
	// Stat looks at a directory as the process itself would find it: in its mount
	// namespace, below its root directory. A path alone proves nothing: other
	// containers use the same paths.
	Stat func(dir string) (fs.FileInfo, error)
	// OtherMountNamespace says whether the process is known to be in another mount
	// namespace.
	OtherMountNamespace func() bool
}

// infoOf reads what can be known of a process. What this process, or the user that
// its thread acts as, may not read stays empty.
func infoOf(pid int) Info {
	i := Info{
		Pid: pid, Program: executable(pid), UID: -1,
		Args:                func() []string { return stringsOf(pid, "cmdline") },
		Environ:             func() []string { return stringsOf(pid, "environ") },
		Stat:                func(dir string) (fs.FileInfo, error) { return statInside(pid, dir) },
		OtherMountNamespace: func() bool { return inOtherMountNamespace(pid) },
	}
	if i.Program != "" { // half of a machine's processes are threads of the kernel
		i.UID = realUser(pid)
	}
	return i
}

// programOf is the base name of the program that a process runs: of its executable,
// or, where that may not be read, of its first argument.
func programOf(pid int) string {
	if exe := executable(pid); exe != "" {
		return filepath.Base(exe)
	}
	if args := stringsOf(pid, "cmdline"); len(args) > 0 {
		return filepath.Base(args[0])
	}
	return ""
}

// Ancestor is a process above this one that still runs, like a shell, an init or a
// wrapper that started it and waits.
type Ancestor struct {
	PID     int
	Program string   // its base name, "" where it cannot be known
	Environ []string // what it was started with, as far as the user may read it
}

// Ancestors are the processes from this one's parent up to PID 1 of its pid
// namespace, and PID 1 if this process was put beside it (docker exec). They are
// described as a process of user could read them; nil is the user that we are. A
// process of our own program makes itself undumpable, and is left out.
func Ancestors(user *User) []Ancestor {
	table, err := processes()
	if err != nil {
		return nil
	}
	above := ancestorsOf(table, os.Getpid())
	if !slices.Contains(above, 1) {
		above = append(above, 1)
	}
	own := programOf(os.Getpid())
	var all []Ancestor
	for _, pid := range above {
		a := Ancestor{PID: pid, Program: programOf(pid)}
		if a.Program != own {
			_ = user.Do(func() error { a.Environ = stringsOf(pid, "environ"); return nil })
			all = append(all, a)
		}
	}
	return all
}

// Find lists the processes for which is says true, except for this one, its
// ancestors and its descendants: those of a previous run, which nobody waits for any
// more. Where processes cannot be listed there are none.
func (i *Init) Find(is func(Info) bool) []Info {
	table, err := processes()
	if err != nil {
		return nil
	}
	i.mu.Lock()
	preexisting := maps.Clone(i.preexisting)
	i.mu.Unlock()
	ours := map[int]bool{os.Getpid(): true}
	for _, pid := range ancestorsOf(table, os.Getpid()) {
		ours[pid] = true
	}
	for _, p := range descendantsOf(table, os.Getpid(), preexisting) {
		ours[p.pid] = true
	}
	var found []Info
	for _, p := range table {
		if ours[p.pid] || p.zombie {
			continue
		}
		if f := infoOf(p.pid); f.Program != "" && is(f) {
			found = append(found, f)
		}
	}
	return found
}

// ForeignProcess is a process that somebody else started. It is watched and signalled
// through a pidfd, so that a new process with the same pid is never mistaken for it.
type ForeignProcess struct {
	watched
	pidfd *os.File
}

// HasDescendant says whether a program of this name runs below the process, and
// whether a process runs below that.
func (p *ForeignProcess) HasDescendant(name string) (has, busy bool, err error) {
	return hasDescendant(p.pid, name)
}

// FindConnection is never called for a process that azptend did not start.
func (p *ForeignProcess) FindConnection(netip.AddrPort, []netip.AddrPort) (int, error) {
	return -1, errors.New("cannot list the connections of a process that azptend did not start")
}

// KillTree sends SIGKILL to the process, its group and its descendants, as far as
// they can be told: what leaves the group and loses its parent goes to the system's
// init, and cannot be found.
func (p *ForeignProcess) KillTree(ctx context.Context) int {
	return KillTrees(ctx, []*ForeignProcess{p})
}

// KillTrees is KillTree for many processes, of which a job can leave thousands. It
// reads the process table once for all of them.
func KillTrees(ctx context.Context, all []*ForeignProcess) int {
	var known []process // descendants that have lost their ancestor to an earlier round
	return killAll(ctx, func() []process {
		known = victimsOf(all, known)
		return known
	}, func() <-chan struct{} { return nil })
}

// victimsOf lists what KillTrees has to kill now, what it found before included.
func victimsOf(all []*ForeignProcess, known []process) (found []process) {
	ended := map[int]bool{} // before the table is read
	for _, p := range all {
		ended[p.pid] = isClosed(p.done)
	}
	table, err := processes()
	if err != nil {
		return nil
	}
	roots, mine, parents := map[int]bool{}, map[identity]bool{}, map[int]int{}
	for pid := range ended {
		roots[pid] = true
	}
	for _, q := range table {
		parents[q.pid] = q.parent
		if ended[q.pid] && !q.zombie { // another process has this number now
			delete(roots, q.pid)
		}
	}
	for _, q := range known {
		mine[q.identity] = true
	}
	below := map[int]bool{} // for each process that was looked at: whether it descends from a root
	for _, q := range table {
		if !q.zombie && (mine[q.identity] || roots[q.group] || descends(q.pid, roots, parents, below)) {
			found = append(found, q)
		}
	}
	return found
}

// descends says whether a process is one of the roots, or descends from one.
func descends(pid int, roots map[int]bool, parents map[int]int, known map[int]bool) (is bool) {
	var path []int
	for ; ; pid = parents[pid] {
		answer, has := known[pid]
		if is = answer || roots[pid]; has || is || pid <= 0 {
			break
		}
		known[pid] = false // also ends a circle: a table is not read in one moment
		path = append(path, pid)
	}
	for _, p := range path {
		known[p] = is
	}
	return is
}

// killAll kills victims until there are none or ctx ends, and returns how many it
// killed. Fewer, called before each look, returns a channel that is closed when a
// look may find fewer.
func killAll(ctx context.Context, victims func() []process, fewer func() <-chan struct{}) int {
	killed := map[int]bool{}
	for {
		change := fewer()
		found := victims()
		if len(found) == 0 {
			return len(killed)
		}
		for _, p := range found {
			if p.kill() {
				killed[p.pid] = true
			}
		}
		select {
		case <-change:
		case <-time.After(killInterval):
		case <-ctx.Done():
			return len(killed)
		}
	}
}
