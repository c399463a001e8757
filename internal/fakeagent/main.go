package fakeagent

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/azptend/azptend/internal/proc"
)

// termCap is how long a v4 listener may take to exit after SIGTERM (5.1), and capExit is its exit
// code if it takes longer (the reference has "143 or 0").
const (
	termCap = 30 * time.Second
	capExit = 128 + int(syscall.SIGTERM)
)

// Main is the fake agent: the listener or the worker, by the base name of
// args[0]. It returns the exit code.
func Main(ctx context.Context, args []string, env []string, stdout, stderr *os.File) int {
	if len(args) > 0 && filepath.Base(args[0]) == workerName {
		return workerMain(ctx, args[1:], newEnviron(env), stderr)
	}
	if len(args) > 0 {
		args = args[1:]
	}
	t := &terminal{out: stdout, errOut: stderr}
	return listenerMain(ctx, args, newEnviron(env), t)
}

// listenerMain prepares a listener in the order of 1.2: .env, then the arguments.
func listenerMain(ctx context.Context, args []string, env environ, t *terminal) int {
	s := catchSignals(ctx, t)
	defer s.stop()
	p, err := findInstallation()
	if err == nil {
		err = env.loadFile(p.root)
	}
	if err != nil {
		return t.fail(err, exitRetryable)
	}
	o := parseOptions(args, env.takeInputs())
	k, err := readSettings(env)
	if err != nil {
		return t.fail(err, exitTerminated)
	}
	version := versionOf(p.bin, k.major)
	if o.version {
		t.line("%s", version)
		return exitSuccess
	}
	t.line("azptend's fake agent, version %s. This is not Microsoft's agent.", version)
	for _, arg := range o.unknown {
		t.err("Unrecognized command-line input argument: %q.", arg) // and go on (1.2)
	}
	if o.verb != "run" {
		return t.fail(fmt.Errorf("cannot %s: azptend's fake agent only runs", o.verb), exitTerminated)
	}
	s.configure(k)
	if err := checkListable(p.root); err != nil {
		return t.fail(err, exitTerminated)
	}
	return s.runListener(&listener{install: p, env: env, opts: o, settings: k, term: t, version: version})
}

// runListener runs the listener until it exits, or until termCap after SIGTERM is over.
func (s *signals) runListener(l *listener) int {
	diag, file, err := openDiag(l.env["AGENT_DIAGLOGPATH"], l.install.root, "Agent")
	if err != nil {
		return l.term.fail(err, exitRetryable)
	}
	defer file.Close()
	l.term.setLog(diag)
	l.log, l.perf = diag, perf(l.env["VSTS_AGENT_PERFLOG"])
	if l.host, err = os.Hostname(); err != nil {
		l.host = "localhost"
	}
	defer s.logShutdown(diag)()
	if l.procs, err = newProcs(); err != nil {
		return l.term.fail(err, exitRetryable)
	}
	defer l.procs.Close()
	code := make(chan int, 1)
	go func() { code <- l.run(s.ctx) }()
	select {
	case c := <-code:
		s.delayExit()
		return c
	case <-s.expired:
		return capExit
	case sig := <-s.exitOrders:
		order := int(sig.(syscall.Signal)) - orderSignalBase
		if order == exitUpdating || order == exitOnceUpdate { // after an update it exits normally
			s.caught <- syscall.SIGINT
			<-code
		} // after a failure, session and worker may stay
		return l.exitAsOrdered(order)
	}
}

// logShutdown logs that a signal ends the listener, as HostContext.ShutdownAgent does. It waits
// for a signal until stop is called.
func (s *signals) logShutdown(diag *log.Logger) (stop func()) {
	told := make(chan struct{})
	stopIt := context.AfterFunc(s.ctx, func() {
		defer close(told)
		diag.Print("Agent will be shutdown for UserCancelled")
	})
	return func() {
		if !stopIt() {
			<-told
		}
	}
}

// newProcs makes a proc.Init and disowns orphans: the real listener and its worker are not
// subreapers, so orphans of a job go to the supervisor.
func newProcs() (*proc.Init, error) {
	p, err := proc.NewInit()
	if err != nil {
		return nil, err
	}
	return p, proc.DisownOrphans()
}

// signals handles the listener's signals (5.1): the first SIGINT, SIGQUIT or (v4) SIGTERM ends
// ctx, and further ones have no effect. Other signals have their default action.
type signals struct {
	ctx        context.Context
	expired    chan struct{} // closed when cap has passed after SIGTERM
	caught     chan os.Signal
	cap        atomic.Int64   // how long the listener may take to exit after SIGTERM
	termed     chan struct{}  // closed at the first SIGTERM
	takes      time.Duration  // the shortest time from SIGTERM to the exit
	exitOrders chan os.Signal // orderSignalBase+n
}

func catchSignals(ctx context.Context, t *terminal) *signals {
	ctx, cancel := context.WithCancel(ctx)
	s := &signals{
		ctx: ctx, expired: make(chan struct{}), caught: make(chan os.Signal, 4),
		termed: make(chan struct{}), exitOrders: make(chan os.Signal, 1),
	}
	signal.Notify(s.caught, syscall.SIGINT, syscall.SIGQUIT)
	// .NET's runtime ignores SIGPIPE, so a listener survives if the reader of its output exits.
	// Here it is caught and never read, so that children do not inherit it as ignored.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	go s.watch(cancel, t)
	return s
}

// configure applies the settings: v4 catches SIGTERM, which kills v5 at once.
func (s *signals) configure(k settings) {
	s.takes = k.termTakes
	switch {
	case k.ignoresTerm:
		signal.Ignore(syscall.SIGTERM)
	case k.major == "v4":
		s.cap.Store(int64(max(k.timeScale.scaled(termCap), 2*k.termTakes)))
		signal.Notify(s.caught, syscall.SIGTERM)
	}
	if !k.obeysSignals {
		return
	}
	for code := exitSuccess; code <= exitOnceUpdate; code++ {
		signal.Notify(s.exitOrders, syscall.Signal(orderSignalBase+code))
	}
}

// delayExit waits after a SIGTERM until the time in the settings has passed.
func (s *signals) delayExit() {
	select {
	case <-s.termed:
		<-time.After(s.takes)
	default:
	}
}

func (s *signals) watch(cancel context.CancelFunc, t *terminal) {
	defer cancel()
	termed := false
	for sig := range s.caught {
		if s.ctx.Err() == nil {
			t.line("Exiting...")
			cancel()
		}
		if sig == syscall.SIGTERM && !termed {
			termed = true
			time.AfterFunc(time.Duration(s.cap.Load()), func() { close(s.expired) })
			close(s.termed)
		}
	}
}

func (s *signals) stop() {
	signal.Stop(s.caught)
	close(s.caught)
}
