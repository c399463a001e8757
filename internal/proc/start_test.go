//go:build linux

package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// holdFork delays the return of the fork of one program until release is called. The
// program runs meanwhile. forked gets its pid.
func holdFork(init *Init, path string) (forked <-chan int, release func()) {
	pids, released := make(chan int, 1), make(chan struct{})
	init.forkExec = func(p string, argv []string, attr *syscall.ProcAttr) (int, error) {
		pid, err := syscall.ForkExec(p, argv, attr)
		if p == path {
			pids <- pid
			<-released
		}
		return pid, err
	}
	return pids, func() { close(released) }
}

// While a fork hangs, other children are started, signalled and reaped. The process that is
// being started is not killed as an orphan.
var forkHangsScene = withInit(func(h *host, init *Init) {
	slow := filepath.Join(must(os.MkdirTemp("", "proc-test")), "sh")
	defer os.RemoveAll(filepath.Dir(slow))
	must(0, os.Symlink("/bin/sh", slow))
	forked, release := holdFork(init, slow)
	started := make(chan *Child, 1)
	go func() {
		started <- must(init.Start(context.Background(), Spec{Path: slow, Args: []string{"-c", "exec sleep 60"}}))
	}()
	pid := <-forked

	c := start(init, sh("exit 3"))
	<-c.Done()
	if got := c.Status(); got != (Status{Code: 3}) {
		h.Errorf("another child: %v, want exit code 3", got)
	}
	c = start(init, sh("exec sleep 60"))
	must(0, c.Signal(syscall.SIGTERM))
	<-c.Done()
	c = start(init, sh("exec sleep 60"))
	if n := c.KillTree(h.ctx); n != 1 || !alive(pid) {
		h.Errorf("killed %d processes; the process that is being started runs: %v", n, alive(pid))
	}
	if n := init.KillOrphans(h.ctx); n != 0 || !alive(pid) {
		h.Errorf("killed %d orphans; the process that is being started runs: %v", n, alive(pid))
	}
	<-c.Done()

	release()
	c = <-started
	if c.Pid() != pid {
		h.Errorf("pid is %d, want %d", c.Pid(), pid)
	}
	c.KillTree(h.ctx)
	<-c.Done()
	if got := c.Status(); got.Signal != syscall.SIGKILL {
		h.Errorf("the held one: %v, want SIGKILL", got)
	}
	if n := init.orphanCount(); n != 0 {
		h.Errorf("%d orphans were counted, want none", n)
	}
})

func init() { hosts["TestForkHangs"] = forkHangsScene }

func TestForkHangs(t *testing.T) { runScene(t, forkHangsScene) }

// A child that is reaped before its fork returns gets its own status.
var reapedEarlyScene = withInit(func(h *host, init *Init) {
	quick := filepath.Join(must(os.MkdirTemp("", "proc-test")), "sh")
	defer os.RemoveAll(filepath.Dir(quick))
	must(0, os.Symlink("/bin/sh", quick))
	forked, release := holdFork(init, quick)
	started := make(chan *Child, 1)
	go func() {
		started <- must(init.Start(context.Background(), Spec{Path: quick, Args: []string{"-c", "exit 7"}}))
	}()
	pid := <-forked
	for { // until it is reaped
		soon := init.nextReap()
		init.mu.Lock()
		_, kept := init.unclaimed[pid]
		init.mu.Unlock()
		if kept {
			break
		}
		<-soon
	}
	c := start(init, sh("exit 9"))
	<-c.Done()
	release()
	c = <-started
	<-c.Done()
	if got := c.Status(); got != (Status{Code: 7}) {
		h.Errorf("%v, want exit code 7", got)
	}
	init.mu.Lock()
	defer init.mu.Unlock()
	if len(init.unclaimed) != 0 {
		h.Errorf("statuses are kept after the start: %v", init.unclaimed)
	}
})

func init() { hosts["TestChildEndsBeforeForkReturns"] = reapedEarlyScene }

func TestChildEndsBeforeForkReturns(t *testing.T) { runScene(t, reapedEarlyScene) }

// lease takes a write lease on a new copy of a program: to open or execute it hangs, as on a
// file system that hangs. release ends the lease.
func lease(path string) (release func(), err error) {
	if err := copyFile("/bin/sh", path); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK)
	return func() { f.Close() }, err
}

// "lease PATH" holds a lease until it is killed. The process that hangs cannot hold it.
func init() {
	programs["lease"] = func(args []string) int {
		_, err := lease(args[0])
		fmt.Fprintln(os.NewFile(3, "ready"), err)
		forever()
		return 0
	}
}

// leased starts the program "lease".
func leased(init *Init, path string) *Child {
	r, w := pipe()
	defer r.Close()
	s := testProgram("lease", path)
	s.Extra = []*os.File{w}
	holder := start(init, s)
	if said := must(readLine(r)); said != "<nil>" {
		panic("no lease: " + said)
	}
	return holder
}

// A program whose file system hangs delays only its own start. The test collects garbage,
// which a thread in vfork would block: the collector waits for all threads that run Go.
var diskHangsScene = withInit(func(h *host, init *Init) {
	dir := must(os.MkdirTemp("", "proc-test"))
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "program")
	holder := leased(init, program)
	ctx, cancel := context.WithCancelCause(h.ctx)
	ended := make(chan error, 1)
	go func() {
		_, err := init.Start(ctx, Spec{Path: program, Args: []string{"-c", "exit 0"}})
		ended <- err
	}()
	for range 20 {
		c := start(init, sh("exit 3"))
		<-c.Done()
		runtime.GC()
	}
	select {
	case err := <-ended:
		h.Errorf("the start did not hang: %v", err)
	default:
	}
	cancel(errEnough)
	if err := <-ended; !errors.Is(err, errEnough) {
		h.Errorf("%v, want %v", err, errEnough)
	}
	holder.KillTree(h.ctx)
	<-holder.Done()
	c := start(init, Spec{Path: program, Args: []string{"-c", "exit 5"}})
	<-c.Done()
	if got := c.Status(); got != (Status{Code: 5}) {
		h.Errorf("without the lease: %v, want exit code 5", got)
	}
})

func init() { hosts["TestFileSystemHangs"] = diskHangsScene }

func TestFileSystemHangs(t *testing.T) { runScene(t, diskHangsScene) }

// A process that hangs between fork and exec is killed when its caller gives up. Here the
// interpreter of a script hangs, which awaitFileSystem does not read.
var execHangsScene = withInit(func(h *host, init *Init) {
	dir := must(os.MkdirTemp("", "proc-test"))
	defer os.RemoveAll(dir)
	interpreter, script := filepath.Join(dir, "interpreter"), filepath.Join(dir, "script")
	holder := leased(init, interpreter)
	must(0, os.WriteFile(script, []byte("#!"+interpreter+"\n"), 0o755))
	ctx, cancel := context.WithCancelCause(h.ctx)
	ended := make(chan error, 1)
	go func() {
		_, err := init.Start(ctx, Spec{Path: script})
		ended <- err
	}()
	for len(init.forkedPids()) == 0 {
		runtime.Gosched()
	}
	cancel(errEnough)
	if err := <-ended; !errors.Is(err, errEnough) {
		h.Errorf("%v, want %v", err, errEnough)
	}
	holder.KillTree(h.ctx)
	<-holder.Done()
	init.untilNone()
})

func init() { hosts["TestExecHangs"] = execHangsScene }

func TestExecHangs(t *testing.T) { runScene(t, execHangsScene) }

// While a start hangs, the caller may close its files, and their descriptors may be reused.
// The child gets the original files.
var filesScene = withInit(func(h *host, init *Init) {
	dir := must(os.MkdirTemp("", "proc-test"))
	defer os.RemoveAll(dir)
	want, other := must(os.Create(filepath.Join(dir, "want"))), must(os.Create(filepath.Join(dir, "other")))
	fork := init.forkExec
	init.forkExec = func(p string, argv []string, attr *syscall.ProcAttr) (int, error) {
		must(0, unix.Dup3(int(other.Fd()), int(want.Fd()), unix.O_CLOEXEC)) // the descriptor is another file now
		return fork(p, argv, attr)
	}
	s := sh("echo said")
	s.Stdout = want
	c := start(init, s)
	<-c.Done()
	if got := string(must(os.ReadFile(filepath.Join(dir, "want")))); strings.TrimSpace(got) != "said" {
		h.Errorf("the file has %q", got)
	}
})

func init() { hosts["TestChildKeepsItsFiles"] = filesScene }

func TestChildKeepsItsFiles(t *testing.T) { runScene(t, filesScene) }

func TestUnclaimedStatusesAreBounded(t *testing.T) {
	i := &Init{children: map[int]*Child{}, unclaimed: map[int]syscall.WaitStatus{}, forking: map[int]bool{1: true}}
	for pid := range 3 * maxUnclaimed {
		i.deliver(pid, 0)
	}
	if len(i.unclaimed) > maxUnclaimed || i.orphans+len(i.unclaimed) != 3*maxUnclaimed {
		t.Errorf("%d are kept, %d are counted", len(i.unclaimed), i.orphans)
	}
}
