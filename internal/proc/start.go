//go:build unix

package proc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/azptend/azptend/internal/bounded"
)

// startTimeout is how long Start waits.
const startTimeout = 30 * time.Second

// ErrStartTimeout says that a process did not start in time, because the file system of its
// program or directory hangs.
var ErrStartTimeout = fmt.Errorf("it did not start within %v: its file system does not respond", startTimeout)

// Start starts a process. The error wraps that of the system, such as fs.ErrNotExist,
// syscall.EACCES, syscall.ENOEXEC (another architecture), syscall.EAGAIN or ENOMEM (too many
// processes, no memory), or ErrStartTimeout. A process that starts after ctx has ended is
// killed.
func (i *Init) Start(ctx context.Context, s Spec) (*Child, error) {
	ctx, done := context.WithTimeoutCause(ctx, startTimeout, ErrStartTimeout)
	defer done()
	files, err := childDescriptors(s)
	if err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", s.Path, err)
	}
	c, err := bounded.Call(ctx, func() (*Child, error) {
		defer closeAll(files)
		return i.start(ctx, s, files)
	}, killAbandoned)
	if err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", s.Path, err)
	}
	return c, nil
}

// killAbandoned kills a child that started after its caller gave up.
func killAbandoned(c *Child, err error) {
	if err != nil {
		return
	}
	ctx, done := context.WithTimeout(context.Background(), abandonedKillTimeout)
	defer done()
	c.KillTree(ctx)
}

// childDescriptors are the child's descriptors 0, 1, 2, 3, …. They are duplicates, because
// the caller may give up and close its own while the start still needs them.
func childDescriptors(s Spec) (files []uintptr, err error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	for _, f := range append([]*os.File{nil, s.Stdout, s.Stderr}, s.Extra...) {
		if f == nil {
			f = null
		}
		// Fd also makes the descriptor blocking, as programs expect.
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			closeAll(files)
			return nil, fmt.Errorf("cannot pass on %s: %w", f.Name(), err)
		}
		files = append(files, uintptr(fd))
	}
	return files, nil
}

func closeAll(files []uintptr) {
	for _, fd := range files {
		_ = syscall.Close(int(fd))
	}
}

// start waits for the file system, and then forks and executes.
func (i *Init) start(ctx context.Context, s Spec, files []uintptr) (*Child, error) {
	dir := s.Dir
	if dir == "" {
		dir = "/"
	}
	program, err := awaitFileSystem(ctx, s.User, s.Path, dir)
	if err != nil {
		return nil, err
	}
	defer program.Close()
	c := &Child{watched: watched{done: make(chan struct{})}, init: i, user: s.User, ownsOrphan: s.OwnsOrphan}
	attr := &syscall.ProcAttr{
		Dir: dir, Env: lastOfEachName(s.Env), Files: files,
		Sys: &syscall.SysProcAttr{Setpgid: true},
	}
	s.User.setCredential(attr.Sys)
	err = s.User.onForkThread(ctx, c.done, func() error {
		return i.fork(ctx, c, s.Path, append([]string{s.Path}, s.Args...), attr)
	})
	if err != nil {
		return nil, err
	}
	_ = s.User.Do(func() error { return preferInOOM(c.pid) }) // some kernels do not support it
	return c, nil
}

const (
	// oomPreference is added to the OOM score of a child, which the child's processes
	// inherit. It counts like half of the memory, so the kernel kills them before azptend,
	// even if each of them is small.
	oomPreference = 500
	maxOOMScore   = 1000 // the kernel's limit
)

// preferInOOM makes the kernel kill a child before this process if memory runs out.
func preferInOOM(pid int) error {
	ours, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		return err
	}
	score, err := strconv.Atoi(strings.TrimSpace(string(ours)))
	if err != nil {
		return err
	}
	f, err := os.OpenFile("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(strconv.Itoa(min(score+oomPreference, maxOOMScore)))
	return err
}

// leaseRetryPause is the pause between two tries to open a program on which another process
// has a lease.
const leaseRetryPause = 50 * time.Millisecond

// awaitFileSystem reads the parts of the program and its directory that the kernel needs to
// start it, and returns the program's open file. It blocks while the file system hangs.
//
// This must happen before the fork. [syscall.ForkExec] uses vfork: the forking thread
// waits in the kernel until the child has executed its program, and Go's scheduler
// cannot replace that thread. In a measurement, a program that hung for 8 s stopped all
// goroutines for 7.5 s, because a garbage collection had to wait. A thread that blocks
// here, in an ordinary system call, stops no other. The open file also keeps other
// processes from taking a new lease on the program before the exec.
//
// The file is nil if it cannot be opened: the exec reports the reason better.
func awaitFileSystem(ctx context.Context, u *User, path, dir string) (file *os.File, err error) {
	for {
		err = u.Do(func() (err error) { file, err = openProgram(path, dir); return err })
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			break
		}
		select {
		case <-time.After(leaseRetryPause):
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
	}
	if ctx.Err() != nil {
		file.Close()
		return nil, context.Cause(ctx)
	}
	if errors.Is(err, ErrThreadsBusy) {
		return nil, err
	}
	return file, nil
}

// openProgram opens a program without waiting for the writer of a FIFO or the holder of a
// lease: for a lease it fails with EWOULDBLOCK.
func openProgram(path, dir string) (*os.File, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, nil
	}
	if st, err := os.Stat(path); err != nil || !st.Mode().IsRegular() {
		return nil, nil
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, err
	}
	if err != nil { // a program may be executable and not readable
		return nil, nil
	}
	page := make([]byte, 4096)
	_, _ = unix.Pread(fd, page, 0)
	return os.NewFile(uintptr(fd), path), nil
}

// fork forks and executes on the calling thread, and adds the child to the Init's children.
// It holds no lock meanwhile: the status of a child that ends before it is added is kept
// (see deliver).
func (i *Init) fork(ctx context.Context, c *Child, path string, argv []string, attr *syscall.ProcAttr) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	thread := threadID()
	i.mu.Lock()
	i.forking[thread] = true
	i.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { i.killForking(thread) })
	pid, err := i.forkExec(path, argv, attr)
	stop()
	i.forked(thread, c, pid, err)
	return err
}

// killForking kills the process that a thread has forked, if it has not executed its program
// yet.
func (i *Init) killForking(thread int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.forking[thread] {
		return
	}
	for _, pid := range childrenOfThread(thread) {
		if i.children[pid] == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// forked is called after the fork. It adds the child, or sets its status if it has ended.
func (i *Init) forked(thread int, c *Child, pid int, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.forking, thread)
	if err != nil {
		i.forgetFailed()
	} else {
		c.pid = pid
		i.claim(c)
	}
	if len(i.forking) == 0 {
		i.countUnclaimed()
	}
}

// claim asks the kernel whether the child still exists. If not, the reaper has its status.
// If it exists, a status with this pid in unclaimed is of an earlier process.
func (i *Init) claim(c *Child) {
	var ws syscall.WaitStatus
	got, err := syscall.Wait4(c.pid, &ws, syscall.WNOHANG, nil)
	for errors.Is(err, syscall.EINTR) {
		got, err = syscall.Wait4(c.pid, &ws, syscall.WNOHANG, nil)
	}
	switch {
	case errors.Is(err, syscall.ECHILD):
		ws = i.unclaimed[c.pid]
		delete(i.unclaimed, c.pid)
	case got != c.pid:
		i.children[c.pid] = c
		return
	}
	c.status = statusOf(ws)
	close(c.done)
	i.broadcastReap()
}

// execFailed is the exit code of the child if syscall.ForkExec could not execute the
// program.
const execFailed = 253

// forgetFailed drops the status of a failed start: ForkExec waits for that child itself, but
// the reaper may have been faster.
func (i *Init) forgetFailed() {
	for pid, ws := range i.unclaimed {
		if ws.Exited() && ws.ExitStatus() == execFailed {
			delete(i.unclaimed, pid)
			return
		}
	}
}

// forkedPids are the processes that this Init has forked and not added yet.
func (i *Init) forkedPids() (pids []int) {
	i.mu.Lock()
	threads := slices.Collect(maps.Keys(i.forking))
	i.mu.Unlock()
	for _, thread := range threads {
		pids = append(pids, childrenOfThread(thread)...)
	}
	return pids
}
