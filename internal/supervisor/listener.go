package supervisor

import (
	"context"
	"crypto/rsa"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/bounded"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/proc"
)

// launch writes the agent's files and starts the listener.
func (r *runner) launch() func(context.Context) message {
	s := starter{o: r.o, events: r.events, pool: r.pool, granted: r.registered, key: r.key}
	r.wroteFiles = true // or will have, in part at least
	if r.o.RegisterOnly {
		return s.writeHandoff
	}
	return func(ctx context.Context) message {
		begun := time.Now()
		l, err := r.startInTime(ctx, s)
		if err != nil {
			return message{event: lifecycle.LaunchResult{Result: resultOf(err)}}
		}
		spent := time.Since(begun)
		return message{
			apply: func(r *runner) {
				r.listener, r.perf, r.updateMarkers, r.jobsBefore = l.process, l.perf, l.updateMarkers, r.state.Jobs
				r.times.launch, r.times.launched = spent, time.Now()
				r.times.startAt(begun)
				r.log.Info("Started the listener", "pid", l.process.Pid(), "version", r.version)
				r.watch(l)
			},
			event:  lifecycle.LaunchResult{Result: lifecycle.Result{Outcome: lifecycle.OK}},
			onDrop: l.undo,
		}
	}
}

// startInTime starts a listener, and leaves when ctx ends: the agent's directory, or
// that of its logs, may be on a file system that does not answer, and the agent is
// still to be removed. A listener that has started by then is ended.
func (r *runner) startInTime(ctx context.Context, s starter) (*startedListener, error) {
	type result struct {
		l   *startedListener
		err error
	}
	started := make(chan result)
	r.goBackground(func(context.Context) {
		l, err := s.start(ctx)
		select {
		case started <- result{l, err}:
		case <-ctx.Done():
			if err == nil {
				l.undo()
			}
		}
	})
	select {
	case got := <-started:
		return got.l, got.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// startedListener is a listener that was started, with the ways by which it tells.
type startedListener struct {
	process       Process
	port          Port
	perf          *agentdir.PerfFile
	updateMarkers agentdir.UpdateMarkers
	logs          agentdir.LogSizes // of the listeners before it
	problems      *problemState
	user          *proc.User
}

// undo ends a listener that nobody has heard of.
func (l *startedListener) undo() {
	ctx, cancel := context.WithTimeout(context.Background(), finalStepTimeout)
	defer cancel()
	l.process.KillTree(ctx)
	l.port.Close()
	l.removePerf()
}

func (l *startedListener) removePerf() {
	if l.perf != nil {
		_ = l.user.Do(func() error { return agentdir.RemovePerfDir(l.perf.Dir()) })
	}
}

// starter is what starting a listener takes.
type starter struct {
	o       Options
	events  listenerEvents
	pool    azdo.Pool
	granted azdo.Agent
	key     *rsa.PrivateKey
}

func (s starter) start(ctx context.Context) (_ *startedListener, err error) {
	l := &startedListener{user: s.o.User, problems: newProblemState()}
	// The port is open before its number is written into .agent.
	if l.port, err = s.events.openPort(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			l.port.Close()
			l.removePerf()
		}
	}()
	var perf string
	err = s.o.asUser(func() (err error) { perf, err = s.prepareFolder(l); return err })
	if err != nil {
		return nil, err
	}
	l.process, err = s.o.Processes.Start(ctx, proc.Spec{
		Path:   s.o.Dir.Listener(),
		Args:   s.arguments(),
		Env:    append(append([]string{}, s.o.Environ...), perf),
		Dir:    s.o.Dir.Root,
		Stdout: s.o.Stdout, Stderr: s.o.Stderr, User: s.o.User, OwnsOrphan: s.o.isOurOrphan(),
	})
	if err != nil {
		return nil, execError(s.o.Dir, err)
	}
	return l, nil
}

// prepareFolder notes what earlier listeners have left, writes what the listener
// reads, and makes what it writes to.
func (s starter) prepareFolder(l *startedListener) (perf string, err error) {
	l.updateMarkers, l.logs = s.o.Dir.UpdateMarkers(), s.events.logSizes()
	if err = s.writeFiles(l.port.Address()); err != nil {
		return "", err
	}
	dir, perf, err := s.o.Dir.MakePerfDir()
	l.perf = agentdir.NewPerfFile(dir, s.o.asUser, func(err error) {
		s.o.Log.Warn("Cannot read the listener's counters: only the server says that it is ready", "error", err)
	})
	return perf, err
}

// arguments: as a service, an update leaves the restart to us
// (agent-protocol.md 4.2).
func (s starter) arguments() []string {
	args := []string{"run", "--startuptype", "service"}
	if s.o.Once {
		args = append(args, "--once")
	}
	return args
}

// watch follows a listener by all the ways it tells, until it has ended. Its end
// is its last event.
func (r *runner) watch(l *startedListener) {
	alive, ended := context.WithCancel(r.ctx)
	quiet := make(chan struct{})
	r.warnIgnoredUpdates(alive, l.perf)
	var tellers sync.WaitGroup
	tellers.Add(3)
	poolID, id := r.pool.ID, r.registered.ID
	r.goBackground(func(context.Context) {
		defer tellers.Done()
		defer close(quiet)
		r.readNotifications(alive, l)
	})
	r.goBackground(func(context.Context) {
		defer tellers.Done()
		r.waitForReady(alive, l, poolID, id)
	})
	r.goBackground(func(context.Context) {
		defer tellers.Done()
		r.events.followProblems(alive, l.logs, func(t agentdir.Problem) { r.handleProblem(l, t) })
	})
	r.checkPresence(alive, l, poolID, id)
	r.goBackground(func(ctx context.Context) {
		defer ended()
		select {
		case <-l.process.Done():
		case <-ctx.Done():
			return
		}
		if r.o.FlushOutput != nil {
			r.o.FlushOutput() // its output comes before the log line about its end
		}
		// Its last words first. A child of it may keep the socket open.
		timer := time.NewTimer(finalEventsTimeout)
		defer timer.Stop()
		select {
		case <-quiet:
		case <-timer.C:
		}
		ended()
		bounded.Within(finalEventsTimeout, tellers.Wait)
		status := l.process.Status()
		exit := lifecycle.Exit{Code: status.Code, Signal: int(status.Signal)}
		r.post(message{from: l.process, event: lifecycle.ListenerExited{Exit: exit, Cut: r.readCut(l)}})
	})
}

// readCut reads in the listener's own log whether it was told to end while it had a
// job. Where that log cannot be read, nobody knows.
func (r *runner) readCut(l *startedListener) lifecycle.Cut {
	ctx, done := context.WithTimeoutCause(context.Background(), finalEventsTimeout, errFileSystemStuck)
	defer done()
	s, err := bounded.Call(ctx, func() (s agentdir.ShutdownRecord, err error) {
		err = r.o.asUser(func() (err error) { s, err = r.events.readShutdown(l.logs); return err })
		return s, err
	}, nil)
	switch {
	case err != nil:
		r.log.Warn("Cannot read in the listener's log how it ended: if others than azptend cut its job, the exit code does not say so", "error", err)
		return lifecycle.NotCut
	case !s.JobFailed():
		return lifecycle.NotCut
	case s.JobEndedAfter:
		return lifecycle.SurelyCut
	}
	return lifecycle.MaybeCut
}

var errFileSystemStuck = errors.New("its file system does not answer")

const (
	// finalEventsTimeout is how long the socket of a dead listener is listened to.
	finalEventsTimeout = time.Second
	// connectTimeout is how long a listener may take to connect to the notification
	// port once it has received a message. It connects before it first polls for one
	// (agent-protocol.md, corrections, 5.6); but a job can write that counter too.
	connectTimeout = 10 * time.Second
	// exitAfterCloseTimeout is how long a socket that ended may be ahead of its process.
	exitAfterCloseTimeout = 2 * time.Second
)

// readNotifications hears the notification socket from its connection to its end.
func (r *runner) readNotifications(alive context.Context, l *startedListener) {
	conn, unknown, err := r.acceptListener(alive, l)
	if err != nil {
		if alive.Err() == nil && r.mayHaveReceivedJob(l, unknown) {
			r.log.Warn("The listener ended before it connected to the notification port: it may have had a job", "error", err)
			r.post(message{event: lifecycle.SocketLost{}})
		}
		return
	}
	defer conn.Close()
	stop := context.AfterFunc(alive, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	err = agentdir.ReadNotifications(conn, func(n agentdir.Notification) {
		if n.Started {
			r.post(message{apply: func(r *runner) { r.jobStarted(n.Job) }, event: lifecycle.JobStarted{}})
			return
		}
		r.post(message{apply: func(r *runner) { r.jobFinished(n.Job) }, event: lifecycle.JobFinished{}})
	})
	// A listener that ends closes its socket first.
	timer := time.NewTimer(exitAfterCloseTimeout)
	defer timer.Stop()
	select {
	case <-l.process.Done():
	case <-alive.Done():
	case <-timer.C:
		r.log.Warn("The listener closed its notification socket: the agent counts as busy", "error", err)
		r.post(message{event: lifecycle.SocketLost{}})
	}
}

// mayHaveReceivedJob judges a listener that has ended and was never seen to connect. It
// receives no job before it connects. Unknown says that there was a connection that
// may have been the listener's. Then its counters decide; if it has left none, it may
// have had a job.
func (r *runner) mayHaveReceivedJob(l *startedListener, unknown bool) bool {
	counts := r.events.counts(l.perf)
	return counts.Jobs > 0 || unknown && !counts.Session
}

// acceptListener waits for the listener's connection until the listener ends.
// Unknown says that there was one that may have been the listener's.
func (r *runner) acceptListener(alive context.Context, l *startedListener) (conn net.Conn, unknown bool, err error) {
	connecting, connected := context.WithCancel(alive)
	defer connected()
	r.goBackground(func(context.Context) { r.warnUnconnected(connecting, l) })
	turnedAway := newRepeatLogger(r.log)
	defer turnedAway.end()
	conn, err = l.port.Accept(alive, l.process.Done(), func(ours netip.AddrPort, theirs []netip.AddrPort) int {
		at, err := l.process.FindConnection(ours, theirs)
		switch {
		case errors.Is(err, errors.ErrUnsupported): // where there is no such check (macOS)
			return 0
		case errors.Is(err, proc.ErrProcessEnded): // it has let go of its connections: nobody can tell
			unknown = true
			return -1
		case err != nil:
			unknown = true
			turnedAway.count(len(theirs), "Cannot check who connected to the notification port: turned it away", "error", err)
			return -1
		case at < 0:
			turnedAway.count(len(theirs), "Turned away a connection to the notification port that is not the listener's", "from", theirs[0])
		}
		return at
	})
	return conn, unknown, err
}

// warnUnconnected warns when a listener has received messages and has not connected:
// azptend then does not learn of its jobs. It may still connect, and the port stays
// open for it. A listener that has received none has no job, connected or
// not.
func (r *runner) warnUnconnected(connecting context.Context, l *startedListener) {
	if _, err := r.events.waitForCounts(connecting, l.perf, func(c agentdir.PerfCounts) bool { return c.Messages > 0 }); err != nil {
		return
	}
	timer := time.NewTimer(connectTimeout)
	defer timer.Stop()
	select {
	case <-timer.C:
		r.log.Warn("Cannot hear when jobs start and end: the agent counts as busy",
			"error", "the listener has received a message, and has not connected to the notification port")
		r.post(message{event: lifecycle.SocketLost{}})
	case <-connecting.Done():
	}
}

const (
	// onlineAfter is when the server is first asked whether the agent is online,
	// in case the perf file does not tell; onlineEvery is how often from then on.
	onlineAfter = 20 * time.Second
	onlineEvery = 30 * time.Second
)

// waitForReady waits until the session exists: the first of the perf file and the
// server to say so. Until then it says from time to time what is missing.
func (r *runner) waitForReady(alive context.Context, l *startedListener, poolID, id int) {
	ctx, cancel := context.WithCancel(alive)
	defer cancel()
	first := make(chan string, 2)
	r.goBackground(func(context.Context) {
		if _, err := r.events.waitForCounts(ctx, l.perf, func(c agentdir.PerfCounts) bool { return c.Session }); err == nil {
			first <- "perf file"
		}
	})
	if r.o.Server != nil {
		r.goBackground(func(context.Context) {
			if r.waitForOnline(ctx, poolID, id, l) == nil {
				first <- "server"
			}
		})
	}
	warn := time.NewTimer(notReadyAfter)
	defer warn.Stop()
	for begun, pause := time.Now(), notReadyAfter; ; {
		select {
		case witness := <-first:
			r.post(message{apply: func(r *runner) { r.reportReady(witness); r.confirmTags() }, event: lifecycle.SessionReady{}})
			return
		case <-warn.C:
			r.warnNotReady(l, time.Since(begun))
			pause = min(2*pause, notReadyMax)
			warn.Reset(pause)
		case <-ctx.Done():
			return
		}
	}
}

// waitForOnline waits until the server says that the agent is online. Once the
// listener has met another's session that is no witness: it is that session's.
func (r *runner) waitForOnline(ctx context.Context, poolID, id int, l *startedListener) error {
	for wait := onlineAfter; ; wait = onlineEvery {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-l.problems.conflict:
			timer.Stop()
			return errSessionConflict
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		if a, err := r.o.Server.AgentWithRequest(ctx, poolID, id); err == nil && a.Online() {
			return nil
		}
	}
}

var errSessionConflict = errors.New("an earlier listener's session is in the way")

// reportSessionConflict says once what a listener waits for that does not become ready.
func (r *runner) reportSessionConflict() {
	if r.sessionWaitReported {
		return
	}
	r.sessionWaitReported = true
	r.log.Warn("Waiting for the session of an earlier listener to lapse: it was killed, and the server keeps it for some five minutes",
		"agent", r.o.Name, "agent_id", r.state.AgentID)
}

// killTimeout bounds one killing; lifecycle waits for the listener's end by
// itself.
const killTimeout = 5 * time.Second

func (r *runner) kill() {
	l := r.listener
	r.goBackground(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, killTimeout)
		defer cancel()
		n := l.KillTree(ctx)
		r.log.Warn("Killed the listener and what was below it", "processes", n)
	})
}

// updateTimeout is for the update's script, which has only to move two folders.
const updateTimeout = 60 * time.Second

func (r *runner) waitForUpdate() {
	before := r.updateMarkers
	r.log.Info("The agent updates itself: waiting for its script to end")
	r.goBackground(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, updateTimeout)
		defer cancel()
		if err := r.o.asUser(func() error { return r.events.waitForUpdate(ctx, before) }); err != nil {
			r.log.Warn("The update's script did not tell that it ended", "error", err)
		}
		r.post(message{event: lifecycle.UpdateEnded{}})
	})
}
