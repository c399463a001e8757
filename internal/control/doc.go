// Package control is how a person or a probe talks to a running azptend: a unix
// socket with its server and its client, always on, without any port open. Who
// answers is the caller's [Agent]; this package carries the words.
//
// # Where it is
//
// The socket is "control.sock" in a folder that the caller names and that this
// package makes, mode 0700. azptend takes .azptend in the agent's own folder, and
// not /run, /tmp or XDG_RUNTIME_DIR, for these reasons: the agent's folder is
// writable even where the root file system is not and the user is nobody special
// (the agent writes its files there); each agent has its own, which is locked for
// one life; and a probe, a preStop hook or a person finds it by the one setting
// that `run` has too, whatever else is in their environments. /tmp is
// everybody's, so that anybody could have been there first. A socket's address
// holds 108 bytes, fewer than a path may have; on Linux it is reached through
// /proc/self/fd, so that the path's length does not matter. What it does not work
// on are network file systems that know no sockets (SMB).
//
// # Who may talk
//
// The folder lets its owner in, and root. Beyond that the kernel is asked who is
// at the other end (SO_PEERCRED): the server answers its own user and root, and
// the client believes its own user and root (root also believes the folder's
// owner). So another user can neither ask nor answer.
//
// # What is inherent
//
// A job is hostile code that often runs as azptend's own user. Then it may drain
// its agent, or take the socket away and answer in its place, as it may also stop
// or kill azptend with a signal: no check of ours tells two processes of one user
// apart for certain. With a user of their own, jobs that can write the agent's
// folder can still move the socket's folder away, so that drain and healthcheck
// find nobody; they cannot answer.
//
// Nothing that lies in the way keeps the next start from its socket: a file, a
// link, another's folder or a dead socket by our name is removed. Only a living
// process can hold the place (the lock on the folder is the kernel's): another
// azptend, which must not lose its socket to us, or a job's survivor of the same
// user, for whom see above.
//
// # The protocol
//
// One connection is one question. A line of JSON goes in ([Request]), lines of
// JSON come out ([Answer]): one, or with Watch one at every change of the phase
// (one that passes in an instant may be left out) and the last with End. Both sides name the version; one that does not know the
// other's says so.
package control
