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

// Info describes a process that this one did not start. The functions read from /proc when
// they are called, and the result is not stored: a job can leave thousands of processes
// with megabytes of arguments each.
type Info struct {
	Pid     int
	Program string          // path of its executable in the process's mount namespace
	UID     int             // its real user; -1 if that or the program is not known
	Args    func() []string // with argv[0]; nil if they may not be read
	Environ func() []string // its initial environment; nil if it may not be read
	// Stat is os.Stat of a directory as the process sees it: in its mount namespace, below
	// its root directory. Other containers use the same paths, so a path alone proves
	// nothing.
	Stat func(dir string) (fs.FileInfo, error)
	// OtherMountNamespace says whether the process is known to be in another mount
	// namespace.
	OtherMountNamespace func() bool
}

// infoOf describes a process. Fields that the user of the calling thread may not read are
// empty.
func infoOf(pid int) Info {
	i := Info{
		Pid: pid, Program: executable(pid), UID: -1,
		Args:                func() []string { return stringsOf(pid, "cmdline") },
		Environ:             func() []string { return stringsOf(pid, "environ") },
		Stat:                func(dir string) (fs.FileInfo, error) { return statInside(pid, dir) },
		OtherMountNamespace: func() bool { return inOtherMountNamespace(pid) },
	}
	if i.Program != "" { // kernel threads have none: skip the read for them
		i.UID = realUser(pid)
	}
	return i
}

// programOf is the base name of a process's executable, or of argv[0] if that may not be
// read.
func programOf(pid int) string {
	if exe := executable(pid); exe != "" {
		return filepath.Base(exe)
	}
	if args := stringsOf(pid, "cmdline"); len(args) > 0 {
		return filepath.Base(args[0])
	}
	return ""
}

// Ancestor is a process above this one, such as a shell, an init or a wrapper that started
// it and waits.
type Ancestor struct {
	PID     int
	Program string   // base name; "" if it is not known
	Environ []string // its initial environment; nil if the user may not read it
}

// Ancestors are the processes from this one's parent up to PID 1 of its pid namespace, and
// also PID 1 if this process was started beside it (docker exec). Environ is what user can
// read; nil is this process's user. Processes of azptend itself are left out, because they
// make themselves undumpable.
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

// Find lists the processes for which is returns true, without this one, its ancestors and
// its descendants. Those are processes of a previous run. It returns nil if processes
// cannot be listed.
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

// ForeignProcess is a process that this Init did not start. It is watched and signalled
// through a pidfd, so that a later process with the same pid is not confused with it.
type ForeignProcess struct {
	watched
	pidfd *os.File
}

// HasDescendant says whether a program of this name runs below the process, and whether
// another process runs below that program.
func (p *ForeignProcess) HasDescendant(name string) (has, busy bool, err error) {
	return hasDescendant(p.pid, name)
}

// FindConnection is never called for a process that azptend did not start.
func (p *ForeignProcess) FindConnection(netip.AddrPort, []netip.AddrPort) (int, error) {
	return -1, errors.New("cannot list the connections of a process that azptend did not start")
}

// KillTree sends SIGKILL to the process, its group and its descendants. It cannot find a
// process that left the group and lost its parent: that is a child of the system's init.
func (p *ForeignProcess) KillTree(ctx context.Context) int {
	return KillTrees(ctx, []*ForeignProcess{p})
}

// KillTrees is KillTree for many processes: a job can leave thousands. It reads the process
// table once for all of them.
func KillTrees(ctx context.Context, all []*ForeignProcess) int {
	var known []process // found in an earlier round: their ancestors may have been killed
	return killAll(ctx, func() []process {
		known = victimsOf(all, known)
		return known
	}, func() <-chan struct{} { return nil })
}

// victimsOf lists the processes that KillTrees has to kill now, including the known ones.
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
		if ended[q.pid] && !q.zombie { // another process has this pid now
			delete(roots, q.pid)
		}
	}
	for _, q := range known {
		mine[q.identity] = true
	}
	below := map[int]bool{} // results of descends, by pid
	for _, q := range table {
		if !q.zombie && (mine[q.identity] || roots[q.group] || descends(q.pid, roots, parents, below)) {
			found = append(found, q)
		}
	}
	return found
}

// descends says whether a process is one of the roots or descends from one. It stores
// results in known.
func descends(pid int, roots map[int]bool, parents map[int]int, known map[int]bool) (is bool) {
	var path []int
	for ; ; pid = parents[pid] {
		answer, has := known[pid]
		if is = answer || roots[pid]; has || is || pid <= 0 {
			break
		}
		known[pid] = false // also ends a loop: the table is not an atomic snapshot
		path = append(path, pid)
	}
	for _, p := range path {
		known[p] = is
	}
	return is
}

// killAll kills victims until there are none or ctx ends, and returns how many it killed.
// nextChange is called before victims. It returns a channel that is closed when victims may
// find fewer.
func killAll(ctx context.Context, victims func() []process, nextChange func() <-chan struct{}) int {
	killed := map[int]bool{}
	for {
		change := nextChange()
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
