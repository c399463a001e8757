//go:build unix

package proc

import (
	"runtime"
	"sync"
)

const (
	// maxGoThreads is the maximum of GOMAXPROCS: azptend mostly waits.
	maxGoThreads = 4
	// runtimeThreads are three of the runtime: its monitor, the one that waits for signals,
	// and the template for new threads. Three more are for writes to the log and to the
	// standard output, which may block, and for the main thread, which only waits.
	runtimeThreads = 6
	// sharedFileThreads is how many accesses to files of all agents together may block at
	// the same time.
	sharedFileThreads = 4
	// threadsPerAgent is how many more may block for each agent: a wait for the listener's
	// files, and one more.
	threadsPerAgent = 2
)

// ReserveThreads creates the threads that this process needs for this number of agents. Go
// keeps idle threads for later use. A job can use up the processes and threads of its cgroup
// or user. Go's runtime aborts a program that cannot get a new thread, and the agent would
// stay in its pool.
//
// Sockets, pipes, inotify and pidfds need no thread: the runtime polls them. Name look-ups
// use sockets, because the binary is static.
//
// The threads with the rights of the jobs' user, which may be nil, serve that user alone.
// They are created first: they would otherwise be taken from the idle ones.
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
			runtime.LockOSThread() // one thread each, because all of them wait at the same time
			defer runtime.UnlockOSThread()
			there.Done()
			there.Wait()
		})
	}
	done.Wait()
	return nil
}
