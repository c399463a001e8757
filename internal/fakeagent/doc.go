// Package fakeagent is a fake Azure Pipelines agent: a small program that speaks the
// listener's protocol, so that the demo and tests need no package of Microsoft's. Its
// banner, its operating system description and its capability Agent.FakeAgent say that
// it is not Microsoft's agent.
//
// It is compiled into azptend-lab, which calls [Main] if [IsInvokedAs] accepts the name that it
// was started with. [LayOut] copies such a program to bin/Agent.Listener and bin/Agent.Worker,
// as in the real package; [Pack] makes the archive of such a directory. Main gets its
// environment as an argument and returns its exit code.
//
// The listener reads the files that registration wrote (.agent, .credentials,
// .credentials_rsaparams, .env). It logs on with the agent's key and opens a session with its
// system capabilities. Then it waits as long as the real listener's look-ups of feature flags
// take (it makes none), connects to the notification socket and polls for messages. It passes
// a job to a worker process, renews the job's lock, and exits with the real exit codes. The
// worker runs script steps and reports live lines, timeline records, logs and the JobCompleted
// event. Comments cite sections ("7.2") of docs/reference/agent-protocol.md.
//
// # Files
//
// main.go starts the listener or the worker. listener.go has a listener from its start to its
// exit code, with session.go and poll.go. job.go has a job in the listener, worker.go and
// steps.go have the same job in its worker.
//
// # Settings
//
// They are read from the environment or from .env, which overrides it, as for the real listener:
//
//	AZPTEND_FAKEAGENT_TIME_SCALE   number ≥ 1, default 1: all waits of the protocol are
//	                             divided by it (renewal, retries, the pause after an
//	                             empty poll, the signals of a cancellation); HTTP
//	                             timeouts are not
//	AZPTEND_FAKEAGENT_PLAYS        v5 (default) or v4: the version, and what SIGTERM
//	                             does; it kills v5 at once
//	AZPTEND_FAKEAGENT_FLAGS_TAKE   a duration, in real time: the wait between session
//	                             and socket; default 1.95 s of protocol time
//	AZPTEND_FAKEAGENT_CONNECTS     first: connect to the notification socket before the
//	                             session, as older versions of this fake agent did
//	AZPTEND_FAKEAGENT_CLOSES       job: close the notification socket after the
//	                             notification that a job started
//	AZPTEND_FAKEAGENT_REFUSED      ends: exit if a token is refused, as older versions
//	                             of this fake agent did; by default it retries forever
//	AZPTEND_FAKEAGENT_EXIT         0 to 255: exit with this code right after the start,
//	                             before any request
//	AZPTEND_FAKEAGENT_EXIT_AFTER   session: with AZPTEND_FAKEAGENT_EXIT, exit only once
//	                             the session exists (it is deleted before)
//	AZPTEND_FAKEAGENT_TERM         ignore: the listener, its worker and its jobs ignore
//	                             SIGTERM; a duration, in real time: the listener takes
//	                             at least this long to exit
//	AZPTEND_FAKEAGENT_OBEYS        any value: after signal 40+n the listener exits at
//	                             once with code n, and its worker continues; with 3
//	                             and 4 it starts an update script before
//	AZPTEND_FAKEAGENT_UPDATE_GATE  a FIFO: the update script replaces bin after it has
//	                             read a line from it
//
// Of the real listener's variables it supports VSTS_AGENT_INPUT_ONCE and
// VSTS_AGENT_INPUT_STARTUPTYPE, VSTS_AGENT_PERFLOG, VSO_AGENT_IGNORE,
// AGENT_DIAGLOGPATH, WORKER_DIAGLOGPATH, AZP_AGENT_DOWNGRADE_DISABLED and
// agent.disableupdate.
//
// # What is missing
//
// Proxies, certificates, the KeepAlive poll, the package download of an update
// (it copies itself), deployment groups, containers, repositories, tasks other
// than scripts, logging commands (##vso[…]) and conditions beyond always(),
// failed(), succeeded() and succeededOrFailed().
package fakeagent
