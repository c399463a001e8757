// Package proc starts processes, signals them and reaps them. It is the only package of
// azptend that may: a test denies os/exec and fork calls elsewhere.
//
// azptend is often PID 1 of a container, and then has duties that no ordinary program
// has: the kernel gives it every orphan of the container, and nothing else reaps them.
// If it is not PID 1, it asks for the same role on Linux (PR_SET_CHILD_SUBREAPER), so
// that a job's daemons cannot slip away from it.
//
// Reaping and starting compete for the same resource. A loop around wait4(-1) steals the
// status of a child that somebody else waits for: measured, 12 % of the statuses were
// lost. So [Init] alone calls wait4(-1). It knows the children that it started: every
// status goes either to its [Child] or, for an orphan, nowhere. No lock is held across a
// fork, which may hang with a file system. Meanwhile the reaper keeps the status of each
// process that it does not know, and the start claims its own. os/exec is not used at
// all: its Wait would also call wait4.
//
// Starts do not wait for each other: [syscall.ForkLock] is shared by forks that run at
// the same time. But Go forks with vfork, which takes the forking thread away from Go's
// scheduler until the child has executed. So a start reads the program before it forks,
// and its caller can give up at any time.
//
// A job can use up the processes and threads of its container. Go ends a program that
// cannot get a thread, so all threads are made at the start ([ReserveThreads]).
//
// Signals go to one pid, never to a group: the agent cancels its job by itself and in its
// own order (agent-protocol.md 5.3). Only [Child.KillTree], the last resort, reaches
// everything below the child, daemons that left its process group included.
//
// A child may run as another user ([User]), without privileges and without a way to get
// any. azptend accesses that user's files with that user's rights.
package proc
