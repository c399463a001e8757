//go:build unix

package proc

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// Init starts this process's children, and reaps them and the orphans that the kernel
// assigns to it. A process must have only one Init: two would take each other's statuses.
type Init struct {
	mu          sync.Mutex
	children    map[int]*Child
	preexisting map[int]bool               // children from before NewInit
	forking     map[int]bool               // threads that fork, until the child is in children
	unclaimed   map[int]syscall.WaitStatus // statuses of unknown pids, while a thread is forking
	orphans     int
	reaped      chan struct{}                                                         // closed and replaced at each reap
	forkExec    func(path string, argv []string, attr *syscall.ProcAttr) (int, error) // syscall.ForkExec, except in tests

	sigchld chan os.Signal
	stop    chan struct{}
	stopped chan struct{}
}

// NewInit begins to reap this process's children. If the process is not PID 1, it also
// becomes the subreaper of its descendants. If that is not possible (macOS), orphans go to
// the system's init, and KillTree only kills the child's process group.
func NewInit() (*Init, error) {
	if err := prepareInit(); err != nil {
		return nil, err
	}
	i := &Init{
		children:    map[int]*Child{},
		forking:     map[int]bool{},
		unclaimed:   map[int]syscall.WaitStatus{},
		forkExec:    syscall.ForkExec,
		preexisting: currentChildren(),
		reaped:      make(chan struct{}),
		sigchld:     make(chan os.Signal, 1), // one is enough: reap collects all
		stop:        make(chan struct{}),
		stopped:     make(chan struct{}),
	}
	signal.Notify(i.sigchld, syscall.SIGCHLD)
	go i.loop()
	return i, nil
}

// Close stops reaping. Children that still run are left alone.
func (i *Init) Close() {
	signal.Stop(i.sigchld)
	close(i.stop)
	<-i.stopped
}

func (i *Init) loop() {
	defer close(i.stopped)
	i.reap() // children that ended before SIGCHLD was caught
	for {
		select {
		case <-i.sigchld:
			i.reap()
		case <-i.stop:
			return
		}
	}
}

// reap collects every child that has ended: one SIGCHLD may stand for many.
func (i *Init) reap() {
	i.mu.Lock()
	defer i.mu.Unlock()
	reaped := false
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid <= 0 { // ECHILD, or no child has ended
			break
		}
		reaped = true
		i.deliver(pid, ws)
	}
	if reaped {
		i.broadcastReap()
	}
}

func (i *Init) broadcastReap() {
	close(i.reaped)
	i.reaped = make(chan struct{})
}

// deliver gives a status to its child. While a fork runs, the status of an unknown pid may
// be of that child, so it is kept until the fork has returned.
func (i *Init) deliver(pid int, ws syscall.WaitStatus) {
	child, ours := i.children[pid]
	if !ours {
		delete(i.preexisting, pid)
		i.unclaimed[pid] = ws
		if len(i.forking) == 0 || len(i.unclaimed) > maxUnclaimed {
			i.countUnclaimed()
		}
		return
	}
	delete(i.children, pid)
	child.status = statusOf(ws)
	close(child.done)
}

// maxUnclaimed bounds the statuses that are kept while a start hangs. A fork returns within
// microseconds of the exec, so only the latest statuses matter.
const maxUnclaimed = 4096

// countUnclaimed counts the statuses that no child has claimed as those of orphans.
func (i *Init) countUnclaimed() {
	i.orphans += len(i.unclaimed)
	clear(i.unclaimed)
}

// nextReap returns a channel that is closed at the next reap.
func (i *Init) nextReap() <-chan struct{} {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.reaped
}

// currentChildren lists this process's children. There are some if a shell started a
// process in the background and then azptend with exec.
func currentChildren() map[int]bool {
	pids := map[int]bool{}
	table, _ := processes()
	for _, p := range table {
		if p.parent == os.Getpid() {
			pids[p.pid] = true
		}
	}
	return pids
}

// otherChildren returns the children of this process without c.
func (i *Init) otherChildren(c *Child) map[int]bool {
	forking := i.forkedPids() // first, so that no child is missed that is added to children meanwhile
	i.mu.Lock()
	defer i.mu.Unlock()
	pids := maps.Clone(i.preexisting)
	for _, pid := range forking {
		pids[pid] = pid != c.pid
	}
	for pid := range i.children {
		if pid != c.pid {
			pids[pid] = true
		}
	}
	return pids
}

// KillOrphans is KillTree for processes below this one that descend from none of its
// children. It is needed with several children and Spec.OwnsOrphan: an orphan can hide which
// child it belongs to.
func (i *Init) KillOrphans(ctx context.Context) int {
	nobody := &Child{init: i}
	return killAll(ctx, func() []process {
		table, err := processes()
		if err != nil {
			return nil
		}
		return descendantsOf(table, os.Getpid(), i.otherChildren(nobody))
	}, i.nextReap)
}
