// Package agent knows Microsoft's agent as its users see it from outside: the
// folder it is installed in, the files it starts from, the environment it hands
// to jobs, and the ways it tells what it does. It starts no process and makes no
// request.
//
// What config.sh would write is written here: .agent, .credentials and
// .credentials_rsaparams, which is all that the listener needs
// (agent-protocol.md 3). While it runs, the listener speaks on three channels:
// a notification socket tells when a job starts and ends, a perf file tells when
// the session exists, and after exit code 3 or 4 the name of a log tells that the
// update's script is done.
package agentdir
