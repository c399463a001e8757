//go:build unix

package proc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// Info is a process outside this one's own tree. What may be long is read only
// when it is asked for, and is not kept: a job can leave thousands of processes that
// show megabytes each.
type Info struct {
	Pid     int
	Program string          // its executable file, by its path in the process's own mount namespace
	UID     int             // its real user; -1 where that or the program is not known
	Args    func() []string // with its own name; nil where they may not be read
	Environ func() []string // what it was started with; nil where it may not be read
	// Stat looks at a directory as the process itself would find it: in its mount
	// namespace, below its root directory. A path alone names nothing: other
	// containers use the same paths.
	Stat func(dir string) (fs.FileInfo, error)
	// OtherMountNamespace says whether the process is known to be in another mount namespace.
	OtherMountNamespace func() bool
}

// infoOf reads what there is to know of a process. What this process, or the user
// that its thread acts as, may not read stays empty.
func infoOf(pid int) Info {
	f := Info{
		Pid: pid, Program: executable(pid), UID: -1,
		Args:                func() []string { return argsOf(pid) },
		Environ:             func() []string { return environOf(pid) },
		Stat:                func(dir string) (fs.FileInfo, error) { return statInside(pid, dir) },
		OtherMountNamespace: func() bool { return inOtherMountNamespace(pid) },
	}
	if f.Program != "" { // half of a machine's processes are threads of the kernel
		f.UID = realUser(pid)
	}
	return f
}

// Find lists the processes for which is says true, but for this one, those that
// it descends from, and those that descend from it: an earlier life's, which
// nobody waits for any more. Where processes cannot be listed there are none.
func (i *Init) Find(is func(Info) bool) []Info {
	table, err := processes()
	if err != nil {
		return nil
	}
	ours := ancestorsOf(table, self())
	for _, p := range descendantsOf(table, self(), i.preexistingNow()) {
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

func (i *Init) preexistingNow() map[int]bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return maps.Clone(i.preexisting)
}

// ForeignProcess is a process that somebody else started, watched and signalled by a
// descriptor of its own, so that its number being used again does no harm.
type ForeignProcess struct {
	pid  int
	fd   *pidfd
	done chan struct{}
}

// errPidReused says that a number means another process by now.
var errPidReused = errors.New("it has ended, and another process may have its number")

// Adopt begins to watch a process that is not this one's child. It calls is once
// more, about the very process that is watched: the one that Find listed may have
// ended since.
func (i *Init) Adopt(pid int, is func(Info) bool) (*ForeignProcess, error) {
	fd, err := openPidfd(pid)
	if err != nil {
		return nil, err
	}
	// The number cannot be given out again before the process has ended. So what was
	// read is true of this process if it lives on after the reading.
	if proven := is(infoOf(pid)); !proven || fd.ended() {
		fd.close()
		return nil, fmt.Errorf("cannot watch process %d: %w", pid, errPidReused)
	}
	s := &ForeignProcess{pid: pid, fd: fd, done: make(chan struct{})}
	go func() {
		fd.await()
		close(s.done)
	}()
	return s, nil
}

// Pid is the process id.
func (s *ForeignProcess) Pid() int { return s.pid }

// Done is closed when the process has ended.
func (s *ForeignProcess) Done() <-chan struct{} { return s.done }

// Status is the zero value: only a parent learns how its child ended.
func (s *ForeignProcess) Status() Status { return Status{} }

// Signal sends sig to the process. One that has ended is no error.
func (s *ForeignProcess) Signal(sig syscall.Signal) error { return s.fd.signal(sig) }

// HasDescendant says whether a program of this name runs below the process, and
// whether a process runs below that.
func (s *ForeignProcess) HasDescendant(name string) (has, busy bool, err error) {
	return hasDescendant(s.pid, name)
}

// FindConnection is never asked of a process that was not started by us.
func (s *ForeignProcess) FindConnection(netip.AddrPort, []netip.AddrPort) (int, error) {
	return -1, errors.New("cannot tell another's connections")
}

// KillTree sends SIGKILL to the process, its group and what descends from it,
// as long as it can be told: what leaves the group and loses its parent goes to
// the system's init, and is not ours to find.
func (s *ForeignProcess) KillTree(ctx context.Context) int {
	var known []process // descendants that have lost their ancestor to an earlier round
	return killAll(ctx, func() []process {
		known = s.victims(known)
		return known
	}, func() <-chan struct{} { return nil })
}

// victims lists what KillTree has to kill now, known from its last look included.
func (s *ForeignProcess) victims(known []process) (found []process) {
	ended := isClosed(s.done) // before the table is read
	table, err := processes()
	if err != nil {
		return nil
	}
	reused := ended && isAlive(table, s.pid)
	if !reused {
		found = descendantsOf(table, s.pid, nil)
	}
	for _, p := range table {
		mine := (!reused && (p.pid == s.pid || p.group == s.pid)) || slices.ContainsFunc(known, p.same)
		if mine && !p.zombie && !slices.ContainsFunc(found, p.same) {
			found = append(found, p)
		}
	}
	return found
}

// killAll kills victims until there are none or ctx ends, and says how many it
// killed. Soon, asked before each look, is closed when a look may find fewer.
func killAll(ctx context.Context, victims func() []process, soon func() <-chan struct{}) int {
	killed := map[int]bool{}
	for {
		fewer := soon()
		found := victims()
		if len(found) == 0 {
			return len(killed)
		}
		for _, p := range found {
			if p.kill() {
				killed[p.pid] = true
			}
		}
		again := time.NewTimer(killInterval)
		select {
		case <-fewer:
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return len(killed)
		}
		again.Stop()
	}
}
