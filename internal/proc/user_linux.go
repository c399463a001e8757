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

// A thread that starts another user's process first drops what its child must not have,
// and then forks. Each thread has its own no_new_privs and bounding set, a child
// inherits those of the thread that forked it, and the Go runtime never makes another
// thread from a locked one. Groups and user change in the fork (syscall.Credential),
// because the thread could not change back. So no program is executed in between: that
// would be this program once more, with the whole environment, dumpable again from its
// exec on, and with a name on argv.

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

// effectiveCapabilities are this process's capabilities, the lower 32 of them.
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
	// It gets a session and group of its own: in the session of root's terminal it
	// could type into that (TIOCSTI).
	attr.Setpgid, attr.Setsid = false, true
	attr.Credential = &syscall.Credential{Uid: uint32(u.UID), Gid: uint32(u.GID)}
	for _, g := range u.Groups {
		attr.Credential.Groups = append(attr.Credential.Groups, uint32(g))
	}
}

// onForkThread runs f, which forks, on a thread that may fork a process of u's. It is
// never the main thread, to which the kernel gives orphans. The thread lasts until
// ended is closed, because a child's PR_SET_PDEATHSIG is about the thread, not about the
// process.
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

// offMainThread runs f on a thread of its own, which is not the main thread.
func offMainThread(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if unix.Gettid() != unix.Getpid() {
		return f()
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // the main thread is taken
		defer runtime.UnlockOSThread()
		done <- f()
	}()
	return <-done
}

func threadID() int { return unix.Gettid() }

// onOwnThread runs f in the background, on a thread that ends with it: nothing else gets
// a thread that f has changed.
func onOwnThread(f func()) {
	go func() {
		runtime.LockOSThread() // and never unlocked, so that the thread ends here
		if unix.Gettid() != unix.Getpid() {
			f()
			return
		}
		// The main thread cannot end, and would stay as f left it. While it is held,
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

// dropPrivileges makes this thread unable to pass privileges on: no program that it
// executes gets any, set-user-id files included.
func dropPrivileges() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot forbid new privileges: %w", err)
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("cannot drop the ambient capabilities: %w", err)
	}
	for c := uintptr(0); ; c++ {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) { // past the last that the kernel knows
			break
		}
		if errors.Is(err, unix.EPERM) { // no CAP_SETPCAP; without new privileges the set gives nothing
			break
		}
		if err != nil {
			return fmt.Errorf("cannot drop the bounding set: %w", err)
		}
	}
	// Older container engines set the inheritable ones (CVE-2022-24769).
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

// Do runs f with the user's rights on files and on /proc: the user owns what f makes, and
// f cannot access what the user cannot. Root must not write with its own rights where
// that user can plant links. F may start no goroutine that accesses files.
//
// If threads are reserved for the user and none of them gets free, because the file
// system does not answer, the error is ErrThreadsBusy.
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

// reserved are the threads that ReserveThreads makes.
type reserved struct {
	files threadPool // with the user's rights on files
	forks threadPool // that start processes for the user
}

const (
	// fileThreadsPerAgent is how many threads an agent's files need at once: one that
	// waits for what the listener writes, and one for a short access.
	fileThreadsPerAgent = 2
	// spareFileThreads are for all agents together, in case accesses hang.
	spareFileThreads = 4
	// maxForkThreads bounds the threads that start processes. A start takes
	// milliseconds, unless it hangs.
	maxForkThreads = 4
)

// ReserveThreads makes the threads that work with this user's rights, before there is
// any child. A thread that got the rights of the jobs' user cannot be used for anything
// else, so without this each Do and each start makes a new one. Go ends the whole
// program if the kernel refuses a thread, and a job can make it do that by using up the
// pids of the container.
func (u *User) ReserveThreads(agents int) error {
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

// setFSCredentials gives this thread the user's groups and its ids for files. Those also
// count for /proc (PTRACE_MODE_READ_FSCREDS): without them a root that lacks
// CAP_SYS_PTRACE, as in containers, cannot see the descriptors of another user's process.
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
