// Package proc starts processes, signals them and reaps them. It is the only
// package of azptend that may: a test denies os/exec and fork calls elsewhere.
//
// azptend is often PID 1 of a container, and then has duties no ordinary
// program has: the kernel gives it every orphan of the container, and nobody
// else will reap them. Where it is not PID 1 it asks for the same role on Linux
// (PR_SET_CHILD_SUBREAPER), so that a job's daemons cannot slip away from it.
//
// Reaping and starting fight over the same resource. A loop around wait4(-1)
// steals the status of a child that somebody else waits for: measured, 12 % of
// the statuses were lost (style-anchors.md 2.3). So there is one owner of
// wait4(-1), [Init], and it knows the children it started: Start holds the
// registry's lock across the fork, the reaper takes the same lock before it
// waits, and every status goes either to its [Child] or, for an orphan, nowhere.
// os/exec is not used at all: its Wait would be the second owner.
//
// Signals go to one pid, never to a group: the agent cancels its job by itself
// and in its own order (agent-protocol.md 5.3). Only [Child.KillTree], the last
// resort, reaches everything below the child, daemons that left its process
// group included.
//
// A child may run as another user ([User]), without privileges and without a way
// to get any. What azptend itself does with that user's files it does with that
// user's rights.
package proc
