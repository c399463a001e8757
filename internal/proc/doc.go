// Package proc starts, signals and reaps processes. It is the only package of azptend that
// may: a test denies os/exec and fork calls elsewhere.
//
// azptend is often PID 1 of a container: the kernel makes it the parent of every orphan, and
// it must reap them. If it is not PID 1, it asks for the same role on Linux
// (PR_SET_CHILD_SUBREAPER), so that it can find the daemons that jobs start.
//
// A loop around wait4(-1) takes the statuses of children that other code waits for: in a
// measurement, 12 % of them were lost. So only [Init] calls wait4(-1), and os/exec is not
// used, because its Wait calls wait4 too. Init gives each status to its [Child], and drops
// those of orphans. No lock is held during a fork, which may hang in a file system. While a
// fork runs, Init keeps the statuses of unknown processes, and the start then takes its
// child's.
//
// Starts do not wait for each other: several forks can hold [syscall.ForkLock] at the same
// time. But Go forks with vfork: the forking thread blocks until the child has executed its
// program, and Go's scheduler cannot replace it. So a start reads the program before it
// forks, and its caller can give up at any time.
//
// A job can use up the processes and threads of its container. Go aborts a program that
// cannot get a thread, so all threads are created at the start ([ReserveThreads]).
//
// Signals go to one process, never to a group: the agent cancels its job in its own order
// (agent-protocol.md 5.3). Only [Child.KillTree] kills everything below the child,
// including daemons that left its process group.
//
// A child may run as another user ([User]), without privileges and without a way to get
// any. azptend accesses that user's files with that user's rights.
package proc
