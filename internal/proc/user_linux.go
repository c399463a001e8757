package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// To start another user's process, a thread first drops its privileges, and then forks. Each
// thread has its own no_new_privs and bounding set, a child inherits those of the thread
// that forked it, and the Go runtime never creates a thread from a locked one. User and
// groups change in the child (syscall.Credential), because the thread could not change
// back.
//
// An intermediate program that drops the privileges would be azptend again: with its whole
// environment, dumpable after its exec, and visible in the process table.

// CheckRunAs says whether this process can run children as u and signal them. The error
// is a *UserError.
func (u *User) CheckRunAs() error {
	if u == nil {
		return nil
	}
	if os.Geteuid() != 0 {
		return &UserError{User: u.String(), Why: "only root can run a process as another user",
			Hint: "start azptend as root (the image's USER, or runAsUser), or leave it unset"}
	}
	needed := []struct {
		name string
		bit  int
	}{{"CAP_SETUID", unix.CAP_SETUID}, {"CAP_SETGID", unix.CAP_SETGID}, {"CAP_KILL", unix.CAP_KILL}}
	has, err := effectiveCapabilities()
	if err != nil {
		return &UserError{User: u.String(), Why: err.Error()}
	}
	var lacks []string
	for _, c := range needed {
		if has&(1<<c.bit) == 0 {
			lacks = append(lacks, c.name)
		}
	}
	if len(lacks) > 0 {
		return &UserError{User: u.String(), Why: "root lacks " + strings.Join(lacks, " and ") + " here",
			Hint: "add these capabilities to the container (docker --cap-add, securityContext.capabilities.add), or leave it unset"}
	}
	return nil
}

// effectiveCapabilities are the lower 32 of this process's effective capabilities.
func effectiveCapabilities() (uint32, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return 0, fmt.Errorf("cannot read the capabilities: %w", err)
	}
	return sets[0].Effective, nil
}

// setCredential makes a process run as u.
func (u *User) setCredential(attr *syscall.SysProcAttr) {
	if u == nil {
		return
	}
	// It gets its own session and group: in the session of root's terminal it could
	// insert input into that terminal (TIOCSTI).
	attr.Setpgid, attr.Setsid = false, true
	attr.Credential = &syscall.Credential{Uid: uint32(u.UID), Gid: uint32(u.GID)}
	for _, g := range u.Groups {
		attr.Credential.Groups = append(attr.Credential.Groups, uint32(g))
	}
}

// onForkThread runs f, which forks a process of u, on a suitable thread. It is never the
// main thread, because childrenOfThread would then include orphans. The thread runs until
// ended is closed, because a child with PR_SET_PDEATHSIG gets that signal when the thread
// that forked it ends.
func (u *User) onForkThread(ctx context.Context, ended <-chan struct{}, f func() error) error {
	if u == nil {
		return offMainThread(f)
	}
	if u.reserved != nil {
		return u.reserved.forks.run(ctx, f)
	}
	forked := make(chan error, 1)
	onOwnThread(func() {
		err := dropPrivileges()
		if err == nil {
			err = f()
		}
		forked <- err
		if err == nil {
			<-ended
		}
	})
	return <-forked
}

// offMainThread runs f on a thread that is not the main thread.
func offMainThread(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if unix.Gettid() != unix.Getpid() {
		return f()
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // another thread: the main thread is locked
		defer runtime.UnlockOSThread()
		done <- f()
	}()
	return <-done
}

func threadID() int { return unix.Gettid() }

// onOwnThread runs f in the background, on a thread that ends with f, so that no other
// goroutine gets a thread that f has changed.
func onOwnThread(f func()) {
	go func() {
		runtime.LockOSThread() // never unlocked, so that the thread ends with this goroutine
		if unix.Gettid() != unix.Getpid() {
			f()
			return
		}
		// The main thread cannot end, and would keep the changes. While it is locked,
		// another goroutine gets another thread.
		held := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(held)
			f()
		}()
		<-held
		runtime.UnlockOSThread()
	}()
}

// dropPrivileges drops the privileges that a program could get from this thread by an exec,
// also of a set-user-id file.
func dropPrivileges() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot forbid new privileges: %w", err)
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("cannot drop the ambient capabilities: %w", err)
	}
	for c := uintptr(0); ; c++ {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) { // after the last capability of this kernel
			break
		}
		if errors.Is(err, unix.EPERM) { // no CAP_SETPCAP; with no_new_privs the set has no effect
			break
		}
		if err != nil {
			return fmt.Errorf("cannot drop the bounding set: %w", err)
		}
	}
	// Older container engines set the inheritable capabilities (CVE-2022-24769).
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return fmt.Errorf("cannot read the capabilities: %w", err)
	}
	sets[0].Inheritable, sets[1].Inheritable = 0, 0
	if err := unix.Capset(&header, &sets[0]); err != nil {
		return fmt.Errorf("cannot drop the inheritable capabilities: %w", err)
	}
	return nil
}

// Do runs f with the user's rights on files and on /proc: the user owns the files that f
// creates, and f can only access what the user can. It is needed because root must not write
// with its own rights where that user can create links. f must not start goroutines that
// access files.
//
// If threads are reserved for the user and all of them hang in a file system, the error is
// ErrThreadsBusy.
func (u *User) Do(f func() error) error {
	if u == nil {
		return f()
	}
	if u.reserved != nil {
		return u.reserved.files.run(context.Background(), f)
	}
	done := make(chan error, 1)
	onOwnThread(func() {
		if err := u.setFSCredentials(); err != nil {
			done <- fmt.Errorf("cannot act as user %s: %w", u, err)
			return
		}
		done <- f()
	})
	return <-done
}

// reserved are the threads that reserveThreads creates.
type reserved struct {
	files threadPool // with the user's rights on files
	forks threadPool // that start processes for the user
}

const (
	// fileThreadsPerAgent is how many threads access an agent's files at once: one waits
	// for the listener's files, and one makes short accesses.
	fileThreadsPerAgent = 2
	// spareFileThreads are for all agents together, in case accesses hang.
	spareFileThreads = 4
	// maxForkThreads is the maximum number of threads that start processes. A start takes
	// milliseconds, unless it hangs.
	maxForkThreads = 4
)

// reserveThreads creates the threads with this user's rights, before there is any child.
// Such a thread cannot be used for anything else, so without this each Do and each start
// creates a new one. Go aborts the program if the kernel refuses a thread, and a job can
// cause that by using up the pids of the container.
func (u *User) reserveThreads(agents int) error {
	if u == nil {
		return nil
	}
	files, err := newThreadPool(fileThreadsPerAgent*agents+spareFileThreads, u.setFSCredentials)
	if err != nil {
		return fmt.Errorf("cannot act as user %s: %w", u, err)
	}
	forks, err := newThreadPool(min(agents, maxForkThreads), dropPrivileges)
	if err != nil {
		return fmt.Errorf("cannot start processes as user %s: %w", u, err)
	}
	u.reserved = &reserved{files, forks}
	return nil
}

// setFSCredentials sets this thread's groups and file system ids to the user's. They also
// count for /proc (PTRACE_MODE_READ_FSCREDS): otherwise root without CAP_SYS_PTRACE, as in
// containers, cannot see the descriptors of another user's process.
func (u *User) setFSCredentials() error {
	if err := unix.Setgroups(u.Groups); err != nil {
		return err
	}
	if err := unix.Setfsgid(u.GID); err != nil {
		return err
	}
	if err := unix.Setfsuid(u.UID); err != nil {
		return err
	}
	// Both calls only return the previous id; -1 changes nothing.
	if uid, _ := unix.SetfsuidRetUid(-1); uid != u.UID {
		return unix.EPERM
	}
	if gid, _ := unix.SetfsgidRetGid(-1); gid != u.GID {
		return unix.EPERM
	}
	return nil
}
