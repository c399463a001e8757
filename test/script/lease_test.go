package script

import (
	"os"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// cmdLease replaces a program by a copy and takes a write lease on it until the script ends. To
// open or execute the program then hangs, as on a file system that hangs. The kernel ends the
// lease after 45 s (/proc/sys/fs/lease-break-time).
func cmdLease(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: lease PROGRAM")
	}
	path := ts.MkAbs(args[0])
	content, err := os.ReadFile(path)
	ts.Check(err)
	syscall.ForkLock.RLock() // a child that is forked now would have the copy open
	defer syscall.ForkLock.RUnlock()
	ts.Check(os.WriteFile(path+".copy", content, 0o755))
	f, err := os.OpenFile(path+".copy", os.O_RDWR, 0)
	ts.Check(err)
	ts.Defer(func() { f.Close() })
	stageOf(ts).leases[path] = f
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK)
	ts.Check(err)
	ts.Check(os.Rename(path+".copy", path))
}

// cmdOpened waits until a process tries to open or execute a leased program.
func cmdOpened(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 || stageOf(ts).leases[ts.MkAbs(args[0])] == nil {
		ts.Fatalf("usage: opened LEASED-PROGRAM")
	}
	f := stageOf(ts).leases[ts.MkAbs(args[0])]
	ctx, done := inTime()
	defer done()
	for {
		kind, err := unix.FcntlInt(f.Fd(), unix.F_GETLEASE, 0) // what it is being broken to
		ts.Check(err)
		if kind != unix.F_WRLCK {
			return
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			ts.Fatalf("nobody opens %s", args[0])
		}
	}
}
