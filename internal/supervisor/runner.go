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
	state   lifecycle.State
	final   *lifecycle.Finish

	signals     <-chan proc.Signal
	interrupted bool          // SIGINT has come
	held        []proc.Signal // further SIGINTs, until what has happened before is applied
	messages    chan message
	ctx         context.Context // ends with the run, and ends everything in the background
	cancel      context.CancelFunc
	background  sync.WaitGroup
	cancelCall  context.CancelCauseFunc // of the call in flight

	pool              azdo.Pool       // where this run registers
	agentRef          registrationRef // of the agent that is or was registered: at first, that of a previous run
	key               *rsa.PrivateKey
	version           string            // of the agent
	instance          string            // the TagInstance of the registration
	ownerKey          string            // of the registration's record
	confirmedInstance string            // the TagInstance that was read back
	keyUsed           bool              // a registration with this key and instance has succeeded
	nameHolder        azdo.Agent        // the agent that had our name at the last look-up
	userCapabilities  map[string]string // of the agent of our name that was removed
	registered        azdo.Agent        // the server's answer to the registration
	evidence          evidence          // of the agent that a previous run registered in this directory
	hasRecord         bool              // the record of this run's agent may exist

	listener          mslistener.Process   // the current one; nil before the first
	started           *mslistener.Listener // the same, if this run has started it
	previousListener  mslistener.Process   // of a previous run, if there was one
	previousUnchecked bool                 // azptend was killed in this directory, and nobody has looked at what it left
	jobPendingSince   time.Time            // since when the listener has had a job that has not started
	jobsBefore        int                  // jobs of this run that earlier listeners had
	wroteFiles        bool                 // the agent's files may exist
	release           func()               // of the directory's lock; nil while it is not ours

	// What was logged already, and is logged once.
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
	from   mslistener.Process // the listener that the event is about; it is dropped if there is another by now; may be nil
	onDrop func()             // is called instead if the run has ended; may be nil
}

// run runs an agent to its end. It returns when the agent is removed or reported, and
// nothing of it is left running.
func run(o Options, sources mslistener.Sources, signals <-chan proc.Signal) End {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Hint == nil {
		o.Hint = func(error) string { return "" }
	}
	if o.Observer == nil {
		o.Observer = nopObserver{}
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &runner{
		o: o, sources: sources, log: o.Log, state: lifecycle.New(o.Policy), signals: signals,
		messages: make(chan message), ctx: ctx, cancel: cancel, cancelCall: func(error) {},
		times: times{started: o.ProcessStarted},
	}
	r.advance(lifecycle.Step, lifecycle.Begin{PreviousAgentID: r.findPreviousAgent()})
	for r.final == nil {
		r.waitForEvents()
	}
	return r.finish()
}

// maxBatch bounds how many events are applied before a decision: a job must not be able
// to delay it.
const maxBatch = 64

// waitForEvents waits for the first event, applies all that are ready, and lets lifecycle
// decide with the last. What has happened counts before any decision, and before the
// clock: azptend may have been frozen or slow, and a job that has ended is not cut.
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

// nextEvent waits for a message, a signal, a call by the handle, or the time that
// lifecycle has set. A message is applied when the returned function is called. Both
// results are nil if a signal was held: nothing else may come for hours.
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

// receive returns the event of a signal; nil if it is held. That is a second SIGINT: it
// cancels the job, unless a message says that the job has ended.
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
	r.o.Observer.Stepped(before, after, e)
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
	// finalStepTimeout bounds each of the final steps.
	finalStepTimeout = time.Second
	// minFinalStep is for those steps when the grace period is over already.
	minFinalStep = 200 * time.Millisecond
)

// finish leaves nothing behind: no process, no file. Each of its steps has a limit, so
// that azptend exits even if a goroutine is stuck in a file system or a process cannot be
// killed.
func (r *runner) finish() End {
	r.cancel()
	steps := &bounded.FinalSteps{Log: r.log, Least: minFinalStep}
	steps.EndBy(r.state.Deadline())
	defer r.endSooner(steps)()
	unused := steps.Do("ending background work", finalStepTimeout, r.background.Wait)
	if r.listener != nil {
		steps.Do("killing processes that jobs left running", finalStepTimeout, r.killRemaining)
	}
	unused = steps.Do("removing the agent's files", finalStepTimeout, r.removeFiles) && unused
	// If something may still change the directory, the kernel unlocks it when this process
	// exits. Until then the next start finds it in use.
	switch {
	case r.release != nil && !unused:
		r.o.handle.stillLocked = r.release
	case r.release != nil:
		steps.Do("unlocking the agent's directory", finalStepTimeout, r.release)
	}
	if r.previousUnchecked && r.o.Handoff == nil && r.state.Registration != lifecycle.Abandoned && r.final.End.Outcome != lifecycle.DirInUse {
		steps.Do("naming the agent of a previous run", finalStepTimeout, func() { ReportLeftAgent(r.o.Dir, r.o.URL, ErrNotStarted, r.log) })
	}
	end := End{Code: exitcode.OfRun(r.final.End), Why: r.final.Reason, Err: r.final.Err}
	r.reportEnd(end)
	r.o.handle.finish(r.snapshot(), end)
	return end
}

// endSooner shortens the final steps when a signal starts the grace period now, until
// done is called.
func (r *runner) endSooner(steps *bounded.FinalSteps) (done func()) {
	ctx, done := context.WithCancel(context.Background())
	go func() {
		for {
			select {
			case s := <-r.signals:
				if s.AsksToEnd() {
					steps.EndBy(s.At.Add(r.o.Policy.Grace))
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return done
}

// killRemaining kills the listener and what is left of its jobs.
func (r *runner) killRemaining() {
	ctx, done := context.WithTimeout(context.Background(), finalStepTimeout)
	defer done()
	if n := r.listener.KillTree(ctx); n > 0 {
		r.log.Info("Killed processes that jobs left running", "processes", n)
	}
	if r.listener == r.previousListener { // orphans outside its tree are not our descendants
		r.killOrphans(ctx)
	}
	select { // the log is about to end, and its exit belongs in it
	case <-r.listener.Done():
	case <-ctx.Done():
	}
}

// removeFiles removes what this run has left in the agent's directory. If the lock is
// ours, that includes temporary files of an azptend that was killed, unless the next
// start must see them.
func (r *runner) removeFiles() {
	// Even of an agent that could not be removed: its key is of use only to a thief.
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
