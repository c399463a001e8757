package proc

import (
	"runtime"
	"sync"
)

const (
	// mostAtOnce is how many threads may run Go at once: a supervisor waits.
	mostAtOnce = 4
	// reservedThreads is that, what may block in the kernel at the same time (files,
	// children that are waited for), and the runtime's own.
	reservedThreads = mostAtOnce + 8
)

// ReserveThreads makes the threads that this process may come to need, and lets
// them rest. A job can use up the processes and threads that its cgroup or user
// may have, and Go's runtime ends a program that cannot get another thread when
// it wants one: with an agent that nobody removes.
func ReserveThreads() {
	runtime.GOMAXPROCS(min(runtime.GOMAXPROCS(0), mostAtOnce))
	var there, done sync.WaitGroup
	there.Add(reservedThreads)
	for range reservedThreads {
		done.Go(func() {
			runtime.LockOSThread() // one each, for all of them are there at once
			defer runtime.UnlockOSThread()
			there.Done()
			there.Wait()
		})
	}
	done.Wait()
}
