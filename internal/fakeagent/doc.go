// Package fakeagent is a fake Azure Pipelines agent: a small program that speaks the
// listener's protocol, so that the demo and tests need no package of Microsoft's. Its
// banner, its operating system description and its capability Agent.FakeAgent say that
// it is not Microsoft's agent.
//
// It is compiled into azptend-lab, which calls [Main] where [IsInvokedAs] accepts the
// name that it was started by. [LayOut] copies such a program to bin/Agent.Listener and
// bin/Agent.Worker, as the real package has them; [Pack] makes the archive of such a
// directory. Main gets its environment as an argument and returns its exit code.
//
// The listener reads the files that registration wrote (.agent, .credentials,
// .credentials_rsaparams, .env). It proves the agent's key and opens a session with
// its system capabilities. Then it waits as long as three look-ups of feature flags
// take (it makes none), connects to the notification socket and polls for messages. It
// hands a job to a worker process, renews the job's lock, and exits with the real
// exit codes. The worker runs script steps and reports live lines, timeline records,
// logs and the JobCompleted event. Comments cite sections ("7.2") of
// docs/reference/agent-protocol.md.
//
// # How it reads
//
// main.go starts the listener or the worker. listener.go is one listener from start to exit code, with session.go and
// poll.go. job.go is one job in the listener, worker.go and steps.go are the same job in its worker.
//
// # Settings
//
// Read from the environment or from .env, which wins, as for the real listener:
//
//	AZPTEND_FAKEAGENT_TIME_SCALE   number ≥ 1, default 1: every wait of the protocol
//	                             is divided by it (renewal, retries, the pause after
//	                             an empty poll, the ladder of signals at cancel);
//	                             HTTP timeouts are not
//	AZPTEND_FAKEAGENT_PLAYS        v5 (default) or v4: what SIGTERM does, and the
//	                             version; v5 dies of it at once
//	AZPTEND_FAKEAGENT_FLAGS_TAKE   a duration, in real time: how long the look-ups
//	                             between session and socket take; default 1.95 s of
//	                             protocol time
//	AZPTEND_FAKEAGENT_CONNECTS     first: to the notification socket before the
//	                             session, as older versions of this fake agent did
//	AZPTEND_FAKEAGENT_CLOSES       job: its notification socket, once it has said that a
//	                             job started
//	AZPTEND_FAKEAGENT_REFUSED      ends: a token that is refused ends the listener,
//	                             as it ended older versions of this fake agent; by default it
//	                             retries without end
//	AZPTEND_FAKEAGENT_EXIT         0 to 255: leave with this code right after start,
//	                             before anything is asked of the server
//	AZPTEND_FAKEAGENT_EXIT_AFTER   session: with AZPTEND_FAKEAGENT_EXIT, leave only once
//	                             the session exists (it is deleted on the way)
//	AZPTEND_FAKEAGENT_TERM         ignore: SIGTERM does nothing to the listener, its
//	                             worker and its jobs; a duration, in real time: it
//	                             ends the listener no sooner than after that
//	AZPTEND_FAKEAGENT_OBEYS        anything: signal 40+n makes the listener leave at
//	                             once with code n, its worker left as it is; with 3
//	                             and 4 it starts an update's script first
//	AZPTEND_FAKEAGENT_UPDATE_GATE  a FIFO: an update's script swaps bin once it has
//	                             read a line from it
//
// Of the real listener's own variables it honours VSTS_AGENT_INPUT_ONCE and
// VSTS_AGENT_INPUT_STARTUPTYPE, VSTS_AGENT_PERFLOG, VSO_AGENT_IGNORE,
// AGENT_DIAGLOGPATH, WORKER_DIAGLOGPATH, AZP_AGENT_DOWNGRADE_DISABLED and
// agent.disableupdate.
//
// # What it leaves out
//
// Proxies, certificates, the KeepAlive poll, the package download of an update
// (it copies itself), deployment groups, containers, repositories, tasks other
// than scripts, logging commands (##vso[…]) and conditions beyond always(),
// failed(), succeeded() and succeededOrFailed().
package fakeagent
