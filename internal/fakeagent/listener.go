package fakeagent

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"log"
	"sync"

	"github.com/azptend/azptend/internal/proc"
)

// The listener's exit codes (4.1).
const (
	exitSuccess    = 0
	exitTerminated = 1
	exitRetryable  = 2
	exitUpdating   = 3
	exitOnceUpdate = 4
)

// listener is one run of Agent.Listener, from its files to its exit code.
type listener struct {
	install  installation
	env      environ
	opts     options
	settings settings
	term     *terminal
	log      *log.Logger
	perf     perf
	procs    *proc.Init
	host     string
	version  string

	agent  agentFile
	key    *rsa.PrivateKey
	pool   *poolAPI
	notify *notifier

	mu      sync.Mutex
	session session // deleted at the end

	// Only for the main loop.
	current *job   // the job that runs
	waiting *job   // a job that came while current still ran
	served  bool   // with --once: a job was received
	update  string // the staged version, which is installed after the job
}

func (l *listener) facts() agentFacts {
	return agentFacts{
		name: l.agent.AgentName, version: l.version, host: l.host,
		root: l.install.root, interactive: !l.opts.asService(),
	}
}

// run runs the listener until it exits; ctx ends with the first signal that stops it.
func (l *listener) run(ctx context.Context) int {
	l.perf.count("AgentProcessStarted")
	if l.settings.exit >= 0 && l.settings.exitAfter == "" {
		return l.settings.exit
	}
	if err := l.readFiles(); err != nil { // 3.8
		return l.term.fail(err, exitRetryable)
	}
	l.notify = &notifier{log: l.log}
	defer func() { l.notify.close() }()
	if l.settings.connectsFirst {
		l.notify = connectNotifier(ctx, l.agent.NotificationSocketAddress, l.log)
	}

	l.term.line("Scanning for tool capabilities.")
	l.term.line("Connecting to the server.")
	s, err := l.createSession(ctx)
	if err != nil {
		return l.exitCodeOf(err)
	}
	defer l.deleteSession()
	l.perf.count("SessionCreated")
	// The real listener asks for feature flags once it has its session (Agent.cs, InitializeRuntimeFeatures).
	if !pause(ctx, l.settings.flagsTake) {
		return exitSuccess
	}
	l.term.dated("Listening for Jobs")
	if l.settings.exit >= 0 {
		return l.settings.exit
	}
	if !l.settings.connectsFirst {
		l.notify = connectNotifier(ctx, l.agent.NotificationSocketAddress, l.log)
	}
	return l.serve(ctx, s)
}

func (l *listener) readFiles() error {
	var err error
	if l.agent, err = readAgentFile(l.install.root); err != nil {
		return err
	}
	creds, err := readCredentialsFile(l.install.root)
	if err != nil {
		return err
	}
	if l.key, err = readRSAKey(l.install.root); err != nil {
		return err
	}
	hc := newHTTPClient()
	tokens := &tokenSource{http: hc, creds: creds, key: l.key}
	l.pool = newPoolAPI(newClient(hc, tokens.bearer, l.version), l.agent)
	return nil
}

// exitCodeOf prints an error that ends the listener and returns its exit code. If ctx has ended,
// a signal ended the listener, also while it was creating its session (5.2).
func (l *listener) exitCodeOf(err error) int {
	var final *exitError
	if errors.As(err, &final) {
		for _, line := range final.lines {
			l.term.err("%s", line)
		}
		return final.code
	}
	if errors.Is(err, context.Canceled) {
		return exitSuccess
	}
	return l.term.fail(err, exitRetryable)
}

// serve handles messages until there is a reason to exit. Then it asks the running job to stop,
// and waits for it without a timeout (5.3).
func (l *listener) serve(ctx context.Context, s session) int {
	polling, stopPolling := context.WithCancel(ctx)
	inbox := make(chan pollResult)
	ended := make(chan struct{})
	go func() { defer close(ended); l.poll(polling, s, inbox) }()
	defer func() { stopPolling(); <-ended }()

	code := l.loop(ctx, inbox)
	stopPolling()
	if l.current != nil {
		l.current.requestStop(stopRequest{kind: ipcShutdown})
		<-l.current.done
	}
	return code
}

func (l *listener) loop(ctx context.Context, inbox <-chan pollResult) int {
	for {
		select {
		case <-ctx.Done():
			return exitSuccess
		case p := <-inbox:
			if p.err != nil {
				return l.exitCodeOf(p.err)
			}
			if l.handle(ctx, p) {
				l.acknowledge(ctx, p)
			}
		case <-l.jobDone():
			if l.opts.once {
				return exitSuccess
			}
			l.current, l.waiting = l.waiting, nil
			if l.current != nil {
				l.current.start(ctx)
			}
		}
		if l.update != "" && l.current == nil {
			if code, ok := l.launchUpdate(); ok {
				return code
			}
		}
	}
}

// jobDone is closed when the current job ends; nil without a job.
func (l *listener) jobDone() <-chan struct{} {
	if l.current == nil {
		return nil
	}
	return l.current.done
}

// handle handles a message and says whether to acknowledge it: a message that came too late
// stays on the server (4.3, 5.4).
func (l *listener) handle(ctx context.Context, p pollResult) bool {
	l.perf.count("MessageReceived_" + p.kind)
	l.log.Printf("message %d of type %s", p.id, p.kind)
	switch p.kind {
	case typeJob:
		return l.takeJob(ctx, p.body)
	case typeCancel:
		l.cancelJob(p.body)
	case typeRefresh:
		l.stageUpdate(p.body)
	default:
		l.log.Printf("message %d is of a type the fake agent does not know", p.id)
	}
	return true
}

func (l *listener) acknowledge(ctx context.Context, p pollResult) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteLimit)
	defer cancel()
	if err := l.pool.deleteMessage(ctx, p.session, p.id); err != nil {
		l.log.Printf("cannot acknowledge message %d: %v", p.id, err)
	}
}

// takeJob starts a job. If the worker of the last job has not exited yet, the new job is started
// after it.
func (l *listener) takeJob(ctx context.Context, body []byte) bool {
	if l.update != "" || (l.opts.once && l.served) || l.waiting != nil {
		l.log.Printf("not taking a job now, its message stays on the server")
		return false
	}
	m, err := parseJobMessage(body)
	if err != nil {
		l.term.err("An error occurred: %v", err)
		return true
	}
	l.served = true
	j := &job{l: l, message: m, raw: body, stopRequests: make(chan stopRequest, 8), done: make(chan struct{})}
	if l.current != nil {
		l.waiting = j
		return true
	}
	l.current = j
	j.start(ctx)
	return true
}

func (l *listener) cancelJob(body []byte) {
	var c cancelBody
	if err := json.Unmarshal(body, &c); err != nil {
		l.log.Printf("cannot read a job cancellation: %v", err)
		return
	}
	for _, j := range []*job{l.current, l.waiting} {
		if j != nil && sameGUID(j.message.JobID, c.JobID) {
			j.requestStop(stopRequest{kind: ipcCancel, timeout: c.timeout()})
			return
		}
	}
	l.log.Printf("cancellation of job %s, which does not run here", c.JobID)
}
