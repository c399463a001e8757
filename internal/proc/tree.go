//go:build unix

package proc

import (
	"context"
	"os"
	"slices"
	"syscall"
	"time"
)

// process is one row of the system's process table.
type process struct {
	identity
	parent, group int
	zombie        bool
}

// identity tells a process from a later one with the same pid.
type identity struct {
	pid   int
	start int // start time in clock ticks; 0 if it is not known
}

// statBufferSize is enough for /proc/PID/stat up to the start time, with the longest
// command.
const statBufferSize = 1024

// kill sends SIGKILL to the listed process, and not to a later one with its pid:
// os.FindProcess opens a pidfd (from Linux 5.3 on) before the row is read again. A negative
// pid is a process group, on systems where processes cannot be listed.
func (p process) kill() bool {
	if p.pid < 0 {
		return syscall.Kill(p.pid, syscall.SIGKILL) == nil
	}
	target, err := os.FindProcess(p.pid)
	if err != nil {
		return false
	}
	defer func() { _ = target.Release() }()
	now, err := processOf(p.pid, make([]byte, statBufferSize))
	return err == nil && now.identity == p.identity && target.Kill() == nil
}

// descendantsOf returns the processes in table that descend from root, without zombies and
// without the pids in except and their descendants.
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

// ancestorsOf are the pids of a process's parent, its grandparent, and so on.
func ancestorsOf(table []process, pid int) (pids []int) {
	parents := map[int]int{}
	for _, p := range table {
		parents[p.pid] = p.parent
	}
	for pid = parents[pid]; pid > 0 && !slices.Contains(pids, pid); pid = parents[pid] {
		pids = append(pids, pid)
	}
	return pids
}

// isAlive says whether a process with this pid runs. If the one that had the pid has ended,
// this is another: the kernel reuses a pid once no process, zombie or group has it.
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

// killInterval is how long killAll waits for a reap before it lists processes again: one may
// have forked between the list and the kill.
const killInterval = 10 * time.Millisecond

// KillTree sends SIGKILL to the child, its process group and all its descendants, including
// daemons that left the group: azptend, as PID 1 or subreaper, is their parent. It returns
// when none is left or ctx ends, with the number of processes that it killed.
func (c *Child) KillTree(ctx context.Context) int {
	return killAll(ctx, c.victims, c.init.nextReap)
}

// victims lists the processes that KillTree has to kill now: all processes below this one,
// except for other children of the Init, orphans that are not the child's, and the
// descendants of both.
func (c *Child) victims() []process {
	ended := isClosed(c.done) // before the table is read
	table, err := processes()
	if err != nil { // no process table (macOS): only the group is known
		if syscall.Kill(-c.pid, 0) != nil {
			return nil
		}
		return []process{{identity: identity{pid: -c.pid}}}
	}
	reused := ended && isAlive(table, c.pid)
	found := descendantsOf(table, os.Getpid(), c.exceptions(table))
	for _, p := range table {
		if p.group == c.pid && !p.zombie && !reused && !slices.ContainsFunc(found, func(f process) bool { return f.identity == p.identity }) {
			found = append(found, p)
		}
	}
	return found
}

// exceptions are the children of this process whose trees KillTree does not kill. Their
// environment is read with the rights of the child's user, because root without
// CAP_SYS_PTRACE may not read that of another user's process.
func (c *Child) exceptions(table []process) map[int]bool {
	others := c.init.otherChildren(c)
	if c.ownsOrphan == nil {
		return others
	}
	_ = c.user.Do(func() error {
		for _, p := range table {
			if p.parent == os.Getpid() && p.pid != c.pid && !c.ownsOrphan(infoOf(p.pid)) {
				others[p.pid] = true
			}
		}
		return nil
	})
	return others
}

// HasDescendant says whether a program with this base name runs below the child. busy says
// that another process runs below that program. It returns an error if the process table
// cannot be read.
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
