//go:build unix

package proc

import (
	"context"
	"slices"
	"syscall"
	"time"
)

// process is one row of the system's process table.
type process struct {
	pid, parent, group int
	zombie             bool
	start              uint64 // when it was started, in the kernel's ticks; 0 where that is not known
}

// same says whether two rows are about one process, and not one about a later
// process that was given the number of the other.
func (p process) same(other process) bool { return p.pid == other.pid && p.start == other.start }

// descendantsOf returns the processes of table that descend from root, zombies and the
// subtrees of the pids in except left out.
func descendantsOf(table []process, root int, except map[int]bool) []process {
	children := map[int][]process{}
	for _, p := range table {
		children[p.parent] = append(children[p.parent], p)
	}
	var found []process
	queue := []int{root}
	for len(queue) > 0 {
		parent := queue[0]
		queue = queue[1:]
		for _, p := range children[parent] {
			if except[p.pid] {
				continue
			}
			queue = append(queue, p.pid)
			if !p.zombie {
				found = append(found, p)
			}
		}
	}
	return found
}

// ancestorsOf are a process and those that it descends from.
func ancestorsOf(table []process, pid int) map[int]bool {
	parents, found := map[int]int{}, map[int]bool{}
	for _, p := range table {
		parents[p.pid] = p.parent
	}
	for ; pid > 0 && !found[pid]; pid = parents[pid] {
		found[pid] = true
	}
	return found
}

// killInterval is how long KillTree waits for a reap before it looks again: a
// process may fork between the look at the table and the kill.
const killInterval = 10 * time.Millisecond

// KillTree sends SIGKILL to the child, its process group and everything that
// descends from it, daemons that left the group included: as PID 1 or subreaper
// azptend is their parent once their own is dead. It returns when none is left
// or ctx ends, and says how many processes it killed.
func (c *Child) KillTree(ctx context.Context) int {
	return killAll(ctx, c.victims, c.init.nextReap)
}

// victims lists what KillTree has to kill now: all that lives below this
// process, but for the other children of the Init, orphans that are not the
// child's, and what is below those.
func (c *Child) victims() []process {
	ended := isClosed(c.done) // before the table is read
	table, err := processes()
	if err != nil { // no process table here (macOS): the group is what we know
		return c.groupOnly()
	}
	reused := ended && isAlive(table, c.pid)
	found := descendantsOf(table, self(), c.exceptions(table))
	for _, p := range table {
		if p.group == c.pid && !p.zombie && !slices.ContainsFunc(found, p.same) && !reused {
			found = append(found, p)
		}
	}
	return found
}

// exceptions are the children of this process whose trees are none of c's business.
// Of another user's process a root without CAP_SYS_PTRACE may not read the
// environment, so it is that user who looks.
func (c *Child) exceptions(table []process) map[int]bool {
	others := c.init.otherChildren(c)
	if c.ownsOrphan == nil {
		return others
	}
	_ = c.user.Do(func() error {
		for _, p := range table {
			if p.parent == self() && p.pid != c.pid && !c.ownsOrphan(infoOf(p.pid)) {
				others[p.pid] = true
			}
		}
		return nil
	})
	return others
}

// isAlive says whether a process of this number lives. Where the one that was known
// by it has ended, it is a stranger: the kernel gives a number out again when
// neither a process, nor a zombie, nor a group has it any more.
func isAlive(table []process, pid int) bool {
	return slices.ContainsFunc(table, func(p process) bool { return p.pid == pid && !p.zombie })
}

func isClosed(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

func (c *Child) groupOnly() []process {
	if syscall.Kill(-c.pid, 0) != nil {
		return nil
	}
	return []process{{pid: -c.pid}}
}

// HasDescendant says whether a program of this name (its file's base name)
// runs below the child, and whether it is busy: a process runs below it. Where the
// process table cannot be read the answer is an error, never false.
func (c *Child) HasDescendant(name string) (has, busy bool, err error) {
	err = c.user.Do(func() (err error) { has, busy, err = hasDescendant(c.pid, name); return err })
	return has, busy, err
}

func hasDescendant(pid int, name string) (has, busy bool, err error) {
	table, err := processes()
	if err != nil {
		return false, false, err
	}
	for _, p := range descendantsOf(table, pid, nil) {
		if programOf(p.pid) == name {
			has, busy = true, busy || len(descendantsOf(table, p.pid, nil)) > 0
		}
	}
	return has, busy, nil
}
