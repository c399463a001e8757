//go:build unix

package proc

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// Found is a process outside this one's own tree.
type Found struct {
	Pid     int
	Program string   // its executable file
	Args    []string // with its own name; nil where they may not be read
	Environ []string // what it was started with; nil where it may not be read
}

// Find lists the processes for which is says true, but for this one, those that
// it descends from, and those that descend from it: an earlier life's, which
// nobody waits for any more. Where processes cannot be listed there are none.
func (i *Init) Find(is func(Found) bool) []Found {
	table, err := processes()
	if err != nil {
		return nil
	}
	ours := above(table, self())
	for _, p := range below(table, self(), i.strangersNow()) {
		ours[p.pid] = true
	}
	var found []Found
	for _, p := range table {
		if ours[p.pid] || p.zombie {
			continue
		}
		f := Found{Pid: p.pid, Program: executable(p.pid), Args: argsOf(p.pid), Environ: environOf(p.pid)}
		if f.Program != "" && is(f) {
			found = append(found, f)
		}
	}
	return found
}

func (i *Init) strangersNow() map[int]bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	pids := map[int]bool{}
	for pid := range i.strangers {
		pids[pid] = true
	}
	return pids
}

// Survivor is a process that somebody else started, watched and signalled by a
// descriptor of its own, so that its number being used again does no harm.
type Survivor struct {
	pid  int
	fd   *descriptor
	done chan struct{}
}

// Adopt begins to watch a process that is not this one's child.
func (i *Init) Adopt(pid int) (*Survivor, error) {
	fd, err := describe(pid)
	if err != nil {
		return nil, err
	}
	s := &Survivor{pid: pid, fd: fd, done: make(chan struct{})}
	go func() {
		fd.await()
		close(s.done)
	}()
	return s, nil
}

// Pid is the process id.
func (s *Survivor) Pid() int { return s.pid }

// Done is closed when the process has ended.
func (s *Survivor) Done() <-chan struct{} { return s.done }

// Status is the zero value: only a parent learns how its child ended.
func (s *Survivor) Status() Status { return Status{} }

// Signal sends sig to the process. One that has ended is no error.
func (s *Survivor) Signal(sig syscall.Signal) error { return s.fd.signal(sig) }

// HasDescendant says whether a program of this name runs below the process.
func (s *Survivor) HasDescendant(name string) (bool, error) {
	return hasDescendant(s.pid, name)
}

// HoldsConnection is never asked of a process that was not started by us.
func (s *Survivor) HoldsConnection(_, _ netip.AddrPort) (bool, error) {
	return false, errors.New("cannot tell another's connections")
}

// KillTree sends SIGKILL to the process, its group and what descends from it,
// as long as it can be told: what leaves the group and loses its parent goes to
// the system's init, and is not ours to find.
func (s *Survivor) KillTree(ctx context.Context) int {
	var known []int // descendants that have lost their ancestor to an earlier round
	return killAll(ctx, func() []int {
		known = s.victims(known)
		return known
	}, func() <-chan struct{} { return nil })
}

// victims lists what KillTree has to kill now, known from its last look included.
func (s *Survivor) victims(known []int) (pids []int) {
	ended := isClosed(s.done) // before the table is read
	table, err := processes()
	if err != nil {
		return nil
	}
	reused := ended && has(table, s.pid)
	if !reused {
		for _, p := range below(table, s.pid, nil) {
			pids = append(pids, p.pid)
		}
	}
	for _, p := range table {
		mine := (!reused && (p.pid == s.pid || p.group == s.pid)) || slices.Contains(known, p.pid)
		if mine && !p.zombie && !slices.Contains(pids, p.pid) {
			pids = append(pids, p.pid)
		}
	}
	return pids
}

// killAll kills victims until there are none or ctx ends, and says how many it
// killed. Soon, asked before each look, is closed when a look may find fewer.
func killAll(ctx context.Context, victims func() []int, soon func() <-chan struct{}) int {
	killed := map[int]bool{}
	for {
		fewer := soon()
		pids := victims()
		if len(pids) == 0 {
			return len(killed)
		}
		for _, p := range pids {
			// A pid that was reaped and reused between look and kill would have to
			// come round the whole pid space in microseconds.
			if syscall.Kill(p, syscall.SIGKILL) == nil {
				killed[p] = true
			}
		}
		again := time.NewTimer(killRound)
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
