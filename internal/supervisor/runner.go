package supervisor

import (
	"context"
	"crypto/rsa"
	"errors"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/bounded"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/mslistener"
	"github.com/azptend/azptend/internal/proc"
)

// runner runs one agent. Its fields belong to the loop.
type runner struct {
	o       Options
	sources mslistener.Sources
	log     *slog.Logger
	// home is the value of TagHost. It includes the directory, because a machine can have
	// agents in several directories.
	home  string
	state lifecycle.State
	final *lifecycle.Finish

	signals     <-chan proc.Signal
	interrupted bool          // a SIGINT has arrived
	held        []proc.Signal // further SIGINTs, until the queued events are applied
	messages    chan message
	ctx         context.Context // of the background goroutines; cancelled at the end
	cancel      context.CancelFunc
	background  sync.WaitGroup
	cancelCall  context.CancelCauseFunc // of the call in flight

	pool              azdo.Pool       // where this run registers
	agentRef          registrationRef // of the current agent, which may be that of a previous run
	key               *rsa.PrivateKey
	version           string            // of the agent
	instance          string            // the TagInstance of the registration
	ownerKey          string            // of the registration's record
	confirmedInstance string            // the TagInstance that was read back
	keyUsed           bool              // a registration with this key and instance succeeded
	nameHolder        azdo.Agent        // the agent with our name in the last look-up
	userCapabilities  map[string]string // of a removed agent that had our name
	registered        azdo.Agent        // the server's answer to the registration
	evidence          evidence          // about the agent that a previous run registered in this directory
	hasRecord         bool              // the record of this run's agent may exist

	listener          mslistener.Process   // the current one; nil before the first
	started           *mslistener.Listener // the same, if this run started it
	previousListener  mslistener.Process   // of a previous run, if one was still running
	previousUnchecked bool                 // a previous run was killed in this directory, and what it left is not known yet
	jobPendingSince   time.Time            // when the listener received a job that has not started; zero: none
	jobsBefore        int                  // jobs of this run's earlier listeners
	wroteFiles        bool                 // the agent's files may exist
	release           func()               // releases the directory's lock; nil: not locked

	// Messages that are logged only once.
	outageReported      bool
	nameWaitReported    bool
	dirWaitReported     bool
	sessionWaitReported bool

	times times
}

// message is something that happened in the background.
type message struct {
	apply  func(*runner)      // changes what the runner remembers; may be nil
	event  lifecycle.Event    // may be nil
	from   mslistener.Process // the event's listener: the event is dropped if another one is current; may be nil
	onDrop func()             // called instead of apply if the run has ended; may be nil
}

// run runs an agent. It returns when the agent is removed or reported, and its processes
// have exited.
func run(o Options, sources mslistener.Sources, signals <-chan proc.Signal) End {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Hint == nil {
		o.Hint = func(error) string { return "" }
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &runner{
		o: o, sources: sources, log: o.Log, state: lifecycle.New(o.Policy), signals: signals,
		messages: make(chan message), ctx: ctx, cancel: cancel, cancelCall: func(error) {},
		home: o.HostName + ":" + o.Dir.Root, times: times{started: o.ProcessStarted},
	}
	r.advance(lifecycle.Step, lifecycle.Begin{PreviousAgentID: r.findPreviousAgent()})
	for r.final == nil {
		r.waitForEvents()
	}
	return r.finish()
}

// maxBatch is how many events are applied at most before a decision, so that a job cannot
// delay the decision by many events.
const maxBatch = 64

// waitForEvents waits for an event, and applies all events that are ready. The last one
// goes to lifecycle.Step, which decides. If azptend was frozen, a job's end that is in the
// queue is so applied before any deadline, and the job is not cut.
func (r *runner) waitForEvents() {
	next, call := r.nextEvent()
	then := func(event func() lifecycle.Event) {
		if next != nil {
			r.advance(lifecycle.Apply, next())
		}
		next = event
	}
	for range maxBatch - 1 {
		ready := r.readyEvent()
		if ready == nil {
			break
		}
		then(ready)
	}
	for _, s := range r.held {
		then(func() lifecycle.Event { return r.handleSignal(s) })
	}
	r.held = nil
	if next != nil {
		e := next()
		if e == nil {
			e = lifecycle.Tick{} // the events before it still need a decision
		}
		r.advance(lifecycle.Step, e)
	}
	if call != nil {
		call(r)
	}
}

// nextEvent waits for a message, a signal, a call of the handle, or the time of the next
// Tick. The returned function applies the message. Both results are nil if a signal was
// held: it must be applied now, because the next event may come hours later.
func (r *runner) nextEvent() (event func() lifecycle.Event, call func(*runner)) {
	if ready := r.readyEvent(); ready != nil || len(r.held) > 0 {
		return ready, nil
	}
	var due <-chan time.Time
	if at := r.state.NextTick(); !at.IsZero() {
		timer := time.NewTimer(time.Until(at))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case m := <-r.messages:
		return func() lifecycle.Event { return r.handleMessage(m) }, nil
	case s := <-r.signals:
		return r.receive(s), nil
	case call := <-r.o.handle.calls:
		return nil, call
	case <-due:
		return func() lifecycle.Event { return lifecycle.Tick{} }, nil
	}
}

// readyEvent returns an event that is ready; nil if none is. Signals come first: a
// SIGTERM that the platform sent to all processes explains why the listener exited.
func (r *runner) readyEvent() func() lifecycle.Event {
	for {
		select {
		case s := <-r.signals:
			if event := r.receive(s); event != nil {
				return event
			}
			continue
		default:
		}
		break
	}
	select {
	case m := <-r.messages:
		return func() lifecycle.Event { return r.handleMessage(m) }
	default:
		return nil
	}
}

// receive returns the event of a signal, or nil if the signal is held. A second SIGINT is
// held until the queued messages are applied: it cancels the job, and one of them may say
// that the job has ended.
func (r *runner) receive(s proc.Signal) func() lifecycle.Event {
	if s.Action == proc.Interrupt && r.interrupted {
		r.held = append(r.held, s)
		return nil
	}
	r.interrupted = r.interrupted || s.Action == proc.Interrupt
	return func() lifecycle.Event { return r.handleSignal(s) }
}

func (r *runner) handleMessage(m message) lifecycle.Event {
	if m.apply != nil {
		m.apply(r)
	}
	if m.from != nil && m.from != r.listener {
		return nil
	}
	return m.event
}

func (r *runner) handleSignal(s proc.Signal) lifecycle.Event {
	switch s.Action {
	case proc.Drain:
		r.log.Info("Received a signal", "signal", signalName(s.Signal), "phase", r.state.Phase)
		return lifecycle.DrainRequested{Reason: "received " + signalName(s.Signal), StartsGrace: true, CancelsJob: true, At: s.At}
	case proc.Interrupt:
		r.log.Info("Received a signal", "signal", signalName(s.Signal), "phase", r.state.Phase)
		return lifecycle.UserInterrupt{At: s.At}
	case proc.Forward:
		if r.listener != nil {
			_ = r.listener.Signal(s.Signal)
		}
	case proc.Ignored:
		r.log.Warn("Ignored a signal: it would kill the listener", "signal", signalName(s.Signal))
	}
	return nil
}

// advance changes the state by lifecycle.Step or lifecycle.Apply, and carries out the
// actions.
func (r *runner) advance(change func(lifecycle.State, lifecycle.Event, time.Time) (lifecycle.State, []lifecycle.Action), e lifecycle.Event) {
	if e == nil {
		return
	}
	before := r.state
	after, actions := change(before, e, time.Now())
	r.state = after
	r.report(before, after, e, actions)
	if r.o.Observer != nil {
		r.o.Observer.Stepped(before, after, e)
	}
	r.o.handle.notePhase(before.Phase, after.Phase)
	for _, a := range actions {
		switch a := a.(type) {
		case lifecycle.StartCall:
			r.startCall(a)
		case lifecycle.AbortCall:
			r.cancelCall(errAborted)
		case lifecycle.InterruptListener:
			r.log.Info("Stopping the listener", "signal", "SIGINT", "pid", r.listener.Pid())
			if err := r.listener.Signal(syscall.SIGINT); err != nil {
				r.log.Error("Cannot stop the listener", "error", err)
			}
		case lifecycle.KillListener:
			r.kill()
		case lifecycle.ScanForWorker:
			r.scanForWorker()
		case lifecycle.AwaitUpdate:
			r.waitForUpdate()
		case lifecycle.ReportLeftover:
			r.agentRef.reportAbandoned(a.AgentID, r.o.URL, a.Err, r.log)
		case lifecycle.Finish:
			r.final = &a
		}
	}
}

var errAborted = errors.New("there is no time left to wait for it")

// goBackground runs f in the background. Its context ends with the run.
func (r *runner) goBackground(f func(context.Context)) {
	r.background.Go(func() { f(r.ctx) })
}

// post sends a message to the loop. After the end of the run nobody receives it.
func (r *runner) post(m message) {
	select {
	case r.messages <- m:
	case <-r.ctx.Done():
		if m.onDrop != nil {
			m.onDrop()
		}
	}
}

const (
	// finalStepTimeout is the timeout of each final step but the kill.
	finalStepTimeout = time.Second
	// minFinalStep is that timeout if the grace period is over.
	minFinalStep = 200 * time.Millisecond
)

// finish kills the processes and removes the files that are left. Each step has a timeout,
// so that azptend exits even if a goroutine is stuck in a file system or a process cannot
// be killed.
func (r *runner) finish() End {
	r.cancel()
	steps := &bounded.FinalSteps{Log: r.log, Least: minFinalStep}
	steps.EndBy(r.state.Deadline())
	ctx, done := context.WithCancel(context.Background())
	defer done()
	proc.EndOnSignal(ctx, steps, r.signals, r.o.Policy.Grace)
	unused := steps.Do("ending background work", finalStepTimeout, r.background.Wait)
	if r.listener != nil {
		steps.Do("killing processes that jobs left running", killTimeout, r.killRemaining)
	}
	unused = steps.Do("removing the agent's files", finalStepTimeout, r.removeFiles) && unused
	// If a goroutine may still change the directory, it stays locked until this process
	// exits.
	switch {
	case r.release != nil && !unused:
		r.o.handle.stillLocked = r.release
	case r.release != nil:
		steps.Do("unlocking the agent's directory", finalStepTimeout, r.release)
	}
	if r.previousUnchecked && r.o.Handoff == nil && r.state.Registration != lifecycle.Abandoned && r.final.End.Outcome != lifecycle.DirInUse {
		steps.Do("naming the agent of a previous run", finalStepTimeout, func() { reportLeftAgent(r.o.Dir, r.o.URL, r.log) })
	}
	end := End{Code: exitcode.OfRun(r.final.End), Why: r.final.Reason, Err: r.final.Err}
	r.reportEnd(end)
	r.o.handle.finish(r.status(), end)
	return end
}

// killRemaining kills the listener and the processes that its jobs left.
func (r *runner) killRemaining() {
	ctx, done := context.WithTimeout(context.Background(), killTimeout)
	defer done()
	if n := r.listener.KillTree(ctx); n > 0 {
		r.log.Info("Killed processes that jobs left running", "processes", n)
	}
	if r.listener == r.previousListener { // orphans outside its tree are not our descendants
		r.killOrphans(ctx)
	}
	select { // wait, so that its exit is in the log
	case <-r.listener.Done():
	case <-ctx.Done():
	}
}

// removeFiles removes this run's files from the agent's directory. If this run holds the
// lock, it also removes temporary files of an azptend that was killed, unless the next
// start needs them to find that run's agent.
func (r *runner) removeFiles() {
	// Also if the agent could not be removed: its key would only be useful to a thief.
	if r.wroteFiles && !r.keepsFiles() {
		if err := r.o.Dir.AsUser(r.o.Dir.RemoveFiles); err != nil {
			r.log.Warn("Cannot remove the agent's files", "error", err)
		}
	}
	// The record of an agent that stays in its pool lets the next start remove it.
	gone := r.state.Registration == lifecycle.Removed || r.state.Registration == lifecycle.Unregistered
	if gone && r.hasRecord && !r.previousUnchecked {
		if err := r.o.Dir.AsUser(r.o.Dir.RemoveOwner); err != nil {
			r.log.Warn("Cannot remove the record of the agent", "error", err)
		}
	}
	if r.release != nil && !r.previousUnchecked {
		_ = r.o.Dir.AsUser(r.o.Dir.RemoveTemporary)
	} else if r.started != nil {
		r.started.RemoveCounters()
	}
}

// keepsFiles reports whether the agent's files are for another azptend: written for it,
// or still in the directory where this one found them.
func (r *runner) keepsFiles() bool {
	found := r.o.Handoff != nil && r.o.Handoff.Dir.Root == r.o.Dir.Root
	return found || (r.o.Policy.RegisterOnly && r.state.Registration == lifecycle.External)
}
