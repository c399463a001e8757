// Package control is how a person or a probe talks to a running azptend: a unix
// socket with its server and its client, always on, without any port open. Who
// answers is the caller's [Handler]; this package carries the words.
//
// # Where it is
//
// The socket is "control.sock" in a folder that this package makes, mode 0700.
// Which one it is follows from the agent's root, so that a probe, a preStop hook
// or a person finds it by the settings that `run` has too.
//
// Where jobs run as azptend's own user, it is .azptend in the agent's root. That
// is writable even where the root file system is not and the user is nobody
// special, and it is locked for one life.
//
// Where jobs run as another user, the agent's root is theirs: they could rename
// or replace the folder. azptend is root then, and keeps the socket where only
// root can: /run/azptend/HASH, or /dev/shm/azptend-HASH where /run cannot be
// written to (a read-only root file system; engines mount /dev/shm writable, with
// the sticky bit). HASH is of the root's path; in /dev/shm, which the containers
// of a pod share, also of the mount namespace. Where neither can be used the
// socket is in the agent's root, and a warning says so. A client looks in the same
// places in the same order, and takes a folder there only if it is root's and
// nobody else can have put it there; so it needs no setting to find it.
//
// A socket's address holds 108 bytes, fewer than a path may have; on Linux it is
// reached through /proc/self/fd, so that the path's length does not matter. What
// it does not work on are network file systems that know no sockets (SMB).
//
// # Who may talk
//
// The folder lets its owner in, and root. Beyond that the kernel is asked who is
// at the other end (SO_PEERCRED): the server answers its own user and root, and
// the client believes its own user and root. Root also believes the owner of
// .azptend in the agent's root, unless jobs run as another user. So another user
// can neither ask nor answer.
//
// # What is inherent
//
// A job is hostile code that often runs as azptend's own user. Then it may drain
// its agent, or take the socket away and answer in its place, as it may also stop
// or kill azptend with a signal: no check of ours tells two processes of one user
// apart for certain. With a user of their own they reach neither the socket nor
// its folder.
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
// JSON come out ([Response]): one, or with Watch one at every change of the phase
// (one that passes in an instant may be left out) and the last with End. Both sides name the version; one that does not know the
// other's says so.
package control
