// Package control lets a person or a probe talk to a running azptend: it has the server and
// the client of a Unix socket. The socket is always on, and needs no open port. The caller's
// [Handler] answers the requests.
//
// # Where the socket is
//
// The socket is "control.sock" in a directory with mode 0700. The path of that directory
// follows from the agent's root, so that a probe, a preStop hook or a person finds it with
// the settings of `run`.
//
// If jobs run as azptend's own user, the directory is .azptend in the agent's root. The root
// is writable even if the root file system is not and azptend has no privileges, and one run
// locks it.
//
// If jobs run as another user, that user owns the agent's root, and could rename or replace
// the directory. azptend is root then, and uses a directory that only root can change:
// /run/azptend/HASH, or /dev/shm/azptend-HASH if /run is not writable (with a read-only root
// file system; engines mount /dev/shm writable, with the sticky bit). HASH is that of the
// root's path. In /dev/shm, which the containers of a pod share, it includes the mount
// namespace. If neither can be used, the socket is in the agent's root, and azptend logs a
// warning. A client tries the same directories in the same order. It uses one in /run or
// /dev/shm only if it belongs to root and no other user can have put it there.
//
// The address of a socket has at most 108 bytes, and a path may be longer. So on Linux it is
// opened through /proc/self/fd. Sockets do not work on some network file systems (SMB).
//
// # Who may connect
//
// Only the directory's owner and root can open it. In addition, both sides ask the kernel for
// the user at the other end (SO_PEERCRED). The server answers its own user and root. The
// client accepts a server of its own user or of root. A client that runs as root also accepts
// the owner of .azptend in the agent's root, unless jobs run as another user.
//
// # What cannot be prevented
//
// A job may be hostile, and often runs as azptend's own user. Then it can drain its agent, or
// replace the socket and answer instead of azptend, as it can also kill azptend: two processes
// of one user cannot be told apart reliably. If jobs run as another user, they can access
// neither the socket nor its directory.
//
// A file, a link, another user's directory or a dead socket in the place of the directory is
// removed at the next start. Only a running process can keep azptend from its socket, with a
// lock on the directory: another azptend, or a process that a job of the same user left.
//
// # The protocol
//
// A connection has one request. The client sends one line of JSON ([Request]), and the server
// answers with lines of JSON ([Response]): one, or with Watch one at each change of the phase
// and the last one with End. A very short phase may be left out. Both sides send the
// protocol's version, and report an error if they do not know the other's.
package control
