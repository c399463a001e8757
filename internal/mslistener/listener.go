// Package mslistener runs Microsoft's listener, bin/Agent.Listener, as a process: it
// starts it, filters its environment, passes on its output, and observes it.
//
// The listener holds the session with Azure DevOps, so azptend learns about jobs from
// outside. A notification socket reports when a job starts and ends. A performance log
// shows when the session exists, and which messages were received. The listener's own log
// shows why it cannot log on, and whether a signal cut its job. After exit code 3 or 4, the
// name of a log file shows that the update script has ended. Jobs can write to all of these
// except the socket. So no decision depends on one of the files alone, reads have a size
// limit, and azptend never blocks on a file.
package mslistener

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/bounded"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/proc"
	"github.com/azptend/azptend/internal/safefile"
)

// Options are what a listener needs to start.
type Options struct {
	Name      string // of the agent, for the log
	Dir       agentdir.Dir
	Once      bool     // exit after one job
	NoUpdate  bool     // ignore the server's requests to update
	Environ   []string // see EnvFilter; Start adds the variables of the listener itself
	Output    *Output  // nil: nowhere
	Processes Starter
	// IsOurOrphan reports whether an orphaned process belongs to this agent; nil if there
	// is only one agent.
	IsOurOrphan func(proc.Info) bool
	Log         *slog.Logger
}

// Starter starts processes. InitProcesses implements it.
type Starter interface {
	Start(context.Context, proc.Spec) (Process, error)
	Output(context.Context, proc.Spec) (string, proc.Status, error)
}

// Process is a listener's process: a *proc.Child or a *proc.ForeignProcess.
type Process interface {
	Pid() int
	Done() <-chan struct{}
	Status() proc.Status
	Signal(syscall.Signal) error
	KillTree(context.Context) int
	HasDescendant(program string) (has, busy bool, err error)
	FindConnection(ours netip.AddrPort, theirs []netip.AddrPort) (at int, err error)
}

// Sources are where a listener's events are read. Files is the implementation; tests have
// another, because a fake clock does not work with sockets and files.
type Sources interface {
	OpenPort() (Port, error)
	OpenPerf(dir string, onError func(error)) Perf
	LogSizes() LogSizes
	FollowProblems(ctx context.Context, before LogSizes, report func(Problem))
	ReadShutdown(before LogSizes) (ShutdownRecord, error)
	UpdateMarkers() UpdateMarkers
	WaitForUpdate(ctx context.Context, before UpdateMarkers) error
}

// Port is the notification port, to which one listener connects once. *NotificationPort
// implements it.
type Port interface {
	Addr() net.Addr // its host and port are in .agent
	Accept(ctx context.Context, listenerEnded <-chan struct{}, identify func(ours netip.AddrPort, theirs []netip.AddrPort) int) (net.Conn, error)
	Close() error
}

// Perf is a listener's counters. *PerfFile implements it.
type Perf interface {
	Counts() PerfCounts
	Wait(ctx context.Context, enough func(PerfCounts) bool) (PerfCounts, error)
}

// Files are the real Sources: a socket on the loopback interface, and the files in the
// agent's directory. Files are read with the rights of the jobs' user.
type Files struct{ Dir agentdir.Dir }

// Listener is a listener that Start has started.
type Listener struct {
	Process
	Conflict chan struct{} // closed at the first session conflict in its log
	Perf     Perf          // its counters

	o        Options
	sources  Sources
	port     Port
	perfDir  string
	markers  UpdateMarkers // before its start
	logs     LogSizes      // before its start
	problems problemState
	readers  sync.WaitGroup
}

// Start opens the notification port, calls writeFiles, which writes the agent's files with
// the port's address, and starts the listener.
func Start(ctx context.Context, o Options, sources Sources, writeFiles func(notifications string) error) (_ *Listener, err error) {
	l := &Listener{o: o, sources: sources, Conflict: make(chan struct{})}
	if l.port, err = sources.OpenPort(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			l.port.Close()
			l.RemoveCounters()
		}
	}()
	l.markers, l.logs = sources.UpdateMarkers(), sources.LogSizes()
	err = o.Dir.AsUser(func() (err error) {
		if err = writeFiles(l.port.Addr().String()); err == nil {
			l.perfDir, err = o.Dir.MakePerfDir()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	l.Perf = sources.OpenPerf(l.perfDir, func(err error) {
		o.Log.Warn("Cannot read the listener's performance counters: only the server shows when it is ready", "error", err)
	})
	args := []string{"run", "--startuptype", "service"} // after an update, a service does not restart itself (agent-protocol.md 4.2)
	if o.Once {
		args = append(args, "--once")
	}
	if l.Process, err = o.Processes.Start(ctx, o.spec(args, perfVariable+"="+l.perfDir)); err != nil {
		return nil, execError(o.Dir, err)
	}
	return l, nil
}

// spec describes how to start the listener's program.
func (o Options) spec(args []string, env ...string) proc.Spec {
	environ := o.Dir.User.Environ(o.Environ, o.Dir.Root)
	if o.NoUpdate {
		environ = append(environ, disableUpdates)
	}
	if o.Dir.LogDir != "" { // several agents of one process each have their own
		environ = append(environ, "AGENT_DIAGLOGPATH="+o.Dir.LogDir)
	}
	s := proc.Spec{Path: o.Dir.Listener(), Args: args, Env: append(environ, env...), Dir: o.Dir.Root, User: o.Dir.User, OwnsOrphan: o.IsOurOrphan}
	if o.Output != nil {
		s.Stdout, s.Stderr = o.Output.Stdout, o.Output.Stderr
	}
	return s
}

// versionTimeout is long enough for the first start of the listener's runtime from a slow
// disk.
const versionTimeout = 30 * time.Second

var errNoVersion = errors.New("the listener does not print its version")

// Version runs the listener with --version. This also checks that its runtime works,
// before the agent is registered.
func Version(ctx context.Context, o Options) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, versionTimeout, errNoVersion)
	defer cancel()
	spec := o.spec([]string{"--version"})
	spec.Stdout = nil // Output returns it
	out, status, err := o.Processes.Output(ctx, spec)
	if errors.Is(err, errNoVersion) {
		return "", &agentdir.DirError{
			Dir: o.Dir.Root, Why: fmt.Sprintf("bin/Agent.Listener --version did not exit within %v", versionTimeout),
			Hint: "check whether its disk is slow, and run bin/Agent.Listener --version as this user", Cause: errNoVersion,
		}
	}
	if err != nil {
		return "", execError(o.Dir, err)
	}
	return o.Dir.CheckVersion(out, status.ExitCode())
}

// execError makes a DirError of an error that the program causes. Other errors, such as
// too many processes, are returned as they are.
func execError(d agentdir.Dir, err error) error {
	for _, cannotBe := range []error{syscall.ENOENT, syscall.EACCES, syscall.ENOEXEC, syscall.EPERM, syscall.ENOTDIR} {
		if errors.Is(err, cannotBe) {
			return &agentdir.DirError{
				Dir: d.Root, Why: "bin/Agent.Listener cannot be started: " + cannotBe.Error(),
				Hint: "check that the package is for this platform and C library, and that its loader exists", Cause: err,
			}
		}
	}
	return err
}

// Discard kills a listener for which Watch is not called.
func (l *Listener) Discard(ctx context.Context) {
	l.KillTree(ctx)
	l.port.Close()
	l.RemoveCounters()
}

// RemoveCounters removes the directory of the listener's counters.
func (l *Listener) RemoveCounters() {
	if l.perfDir != "" {
		_ = l.o.Dir.AsUser(func() error { return safefile.RemoveAll(l.perfDir) })
	}
}

// finalEventsTimeout bounds how long events are read after the listener's exit. A child of
// it may keep the socket open.
const finalEventsTimeout = time.Second

// Watch posts the listener's events, until it has exited or ctx ends. The exit is the last
// event. A read that hangs in a file system does not delay that event, but Watch returns
// only after the read.
func (l *Listener) Watch(ctx context.Context, post func(lifecycle.Event)) {
	defer l.readers.Wait()
	alive, exited := context.WithCancel(ctx)
	defer exited()
	socketClosed := make(chan struct{})
	l.readers.Go(func() {
		defer close(socketClosed)
		l.readNotifications(alive, post)
	})
	l.readers.Go(func() {
		l.sources.FollowProblems(alive, l.logs, func(p Problem) { l.handleProblem(p, post) })
	})
	if l.o.NoUpdate {
		l.readers.Go(func() { l.warnIgnoredUpdates(alive) })
	}
	select {
	case <-l.Done():
	case <-ctx.Done():
		return
	}
	l.o.Output.Flush() // so that its output comes before the log line about its exit
	timer := time.NewTimer(finalEventsTimeout)
	defer timer.Stop()
	select {
	case <-socketClosed:
	case <-timer.C:
	}
	exited()
	bounded.Within(finalEventsTimeout, l.readers.Wait)
	status := l.Status()
	post(lifecycle.ListenerExited{Exit: lifecycle.Exit{Code: status.Code, Signal: int(status.Signal)}, Cut: l.readCut()})
}

var errFileSystemStuck = errors.New("its file system does not respond")

// readCut reads in the listener's log whether a signal cut its job. It returns NotCut if the
// log cannot be read.
func (l *Listener) readCut() lifecycle.Cut {
	ctx, done := context.WithTimeoutCause(context.Background(), finalEventsTimeout, errFileSystemStuck)
	defer done()
	s, err := bounded.Call(ctx, func() (ShutdownRecord, error) { return l.sources.ReadShutdown(l.logs) }, nil)
	switch {
	case err != nil:
		l.o.Log.Warn("Cannot read the listener's log; exit code 0 may hide a job that another process stopped", "error", err)
		return lifecycle.NotCut
	case !s.JobFailed():
		return lifecycle.NotCut
	case s.JobEndedAfter:
		return lifecycle.SurelyCut
	}
	return lifecycle.MaybeCut
}

const (
	// connectTimeout is how long a listener may take to connect to the notification port
	// after its counters show a message. It usually connects before it polls for messages
	// (agent-protocol.md, corrections, 5.6), but a job can write the counters.
	connectTimeout = 10 * time.Second
	// exitAfterCloseTimeout is how long a listener may take to exit after it closed the
	// socket.
	exitAfterCloseTimeout = 2 * time.Second
)

// readNotifications reads the notification socket until it closes.
func (l *Listener) readNotifications(alive context.Context, post func(lifecycle.Event)) {
	conn, unknown, err := l.acceptConnection(alive, post)
	if err != nil {
		if alive.Err() == nil && l.mayHaveReceivedJob(unknown) {
			l.o.Log.Warn("The listener exited before it connected to the notification port: it may have had a job", "error", err)
			post(lifecycle.SocketLost{})
		}
		return
	}
	defer conn.Close()
	stop := context.AfterFunc(alive, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	err = ReadNotifications(conn, func(n Notification) {
		if n.Started {
			l.o.Log.Info("A job started", "job", n.Job)
			post(lifecycle.JobStarted{})
			return
		}
		l.o.Log.Info("A job finished", "job", n.Job)
		post(lifecycle.JobFinished{})
	})
	timer := time.NewTimer(exitAfterCloseTimeout)
	defer timer.Stop()
	select {
	case <-l.Done():
	case <-alive.Done():
	case <-timer.C:
		l.o.Log.Warn("The listener closed its notification socket: the agent counts as busy", "error", err)
		post(lifecycle.SocketLost{})
	}
}

// mayHaveReceivedJob is about a listener that exited and was not seen to connect. A listener
// receives no job before it connects. unknown means that a connection may have been the
// listener's. Then it may have had a job, unless its counters show a session without jobs.
func (l *Listener) mayHaveReceivedJob(unknown bool) bool {
	counts := l.Perf.Counts()
	return counts.Jobs > 0 || unknown && !counts.Session
}

// acceptConnection waits for the listener's connection until the listener exits. unknown
// means that a rejected connection may have been the listener's.
func (l *Listener) acceptConnection(alive context.Context, post func(lifecycle.Event)) (conn net.Conn, unknown bool, err error) {
	connecting, connected := context.WithCancel(alive)
	defer connected()
	l.readers.Go(func() { l.warnUnconnected(connecting, post) })
	var rejected int
	var first string
	reject := func(n int, message string, args ...any) { // logs the first: a job can cause many
		if rejected == 0 {
			first = message
			l.o.Log.Warn(message, args...)
		}
		rejected += n
	}
	conn, err = l.port.Accept(alive, l.Done(), func(ours netip.AddrPort, theirs []netip.AddrPort) int {
		at, err := l.FindConnection(ours, theirs)
		switch {
		case errors.Is(err, errors.ErrUnsupported): // macOS
			return 0
		case errors.Is(err, proc.ErrProcessEnded): // its connections are closed, so it cannot be known
			unknown = true
			return -1
		case err != nil:
			unknown = true
			reject(len(theirs), "Rejected a connection to the notification port: cannot check which process opened it", "error", err)
			return -1
		case at < 0:
			reject(len(theirs), "Rejected a connection to the notification port: it is not the listener's", "from", theirs[0])
		}
		return at
	})
	if rejected > 1 {
		l.o.Log.Warn(first, "times", rejected)
	}
	return conn, unknown, err
}

// warnUnconnected warns about a listener that received messages and did not connect, so that
// azptend does not learn about its jobs. The port stays open for it. A listener that
// received no message has no job.
func (l *Listener) warnUnconnected(connecting context.Context, post func(lifecycle.Event)) {
	if _, err := l.Perf.Wait(connecting, func(c PerfCounts) bool { return c.Messages > 0 }); err != nil {
		return
	}
	timer := time.NewTimer(connectTimeout)
	defer timer.Stop()
	select {
	case <-timer.C:
		l.o.Log.Warn("Cannot observe jobs: the agent counts as busy",
			"error", "the listener received a message, but did not connect to the notification port")
		post(lifecycle.SocketLost{})
	case <-connecting.Done():
	}
}

// WaitForSession waits until the listener's counters show its session.
func (l *Listener) WaitForSession(ctx context.Context) error {
	_, err := l.Perf.Wait(ctx, func(c PerfCounts) bool { return c.Session })
	return err
}
