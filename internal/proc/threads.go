//go:build unix

package proc

import (
	"runtime"
	"sync"
)

const (
	// maxGoThreads is how many threads may run Go at once: a supervisor mostly waits.
	maxGoThreads = 4
	// runtimeThreads are for the runtime: its monitor, the one that waits for signals,
	// and the template that others are made from. One more each is for the log and for
	// the standard output, whose readers may be stuck, and for the main thread, which
	// only waits.
	runtimeThreads = 6
	// sharedFileThreads is how many accesses to files may block at the same time,
	// whichever agent's they are.
	sharedFileThreads = 4
	// threadsPerAgent is how many accesses to its own files an agent may block in
	// besides: a wait for what its listener writes, and one more.
	threadsPerAgent = 2
)

// ReserveThreads makes the threads that this process may need for so many agents, and
// lets them rest. A job can use up the processes and threads that its cgroup or user may
// have. Go's runtime ends a program that cannot get another thread when it wants one,
// and the agent would stay in its pool.
//
// Sockets, pipes, inotify and the wait for another's process (pidfd) take no thread: the
// runtime polls them. Names are looked up over such sockets, because the binary is
// static.
//
// Threads with the rights of the jobs' user, which may be nil, serve that user alone.
// They come first: they would otherwise be taken from those that rest.
func ReserveThreads(agents int, jobs *User) error {
	if err := jobs.reserveThreads(agents); err != nil {
		return err
	}
	runtime.GOMAXPROCS(min(runtime.GOMAXPROCS(0), maxGoThreads))
	var there, done sync.WaitGroup
	threads := maxGoThreads + runtimeThreads + sharedFileThreads + threadsPerAgent*agents
	there.Add(threads)
	for range threads {
		done.Go(func() {
			runtime.LockOSThread() // one each, for all of them are there at once
			defer runtime.UnlockOSThread()
			there.Done()
			there.Wait()
		})
	}
	done.Wait()
	return nil
}
