package supervisor

import (
	"context"
	"crypto/rsa"
	"errors"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/bounded"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/proc"
)

// runner is one agent's life. Its fields belong to the loop.
type runner struct {
	o      Options
	events listenerEvents
	log    *slog.Logger
	state  lifecycle.State
	final  *lifecycle.Finish

	messages   chan message
	ctx        context.Context // ends with the life, and with it everything beside the loop
	cancel     context.CancelFunc
	background sync.WaitGroup
	cancelCall context.CancelCauseFunc // of the call in flight

	pool              azdo.Pool       // where this life registers
	agentRef          registrationRef // of the agent that is held, or was: of an earlier life's at first
	key               *rsa.PrivateKey
	version           string            // of the agent
	instance          string            // of the registration, its mark
	ownerKey          string            // of the registration's record
	confirmedInstance string            // the mark that was read back
	keyUsed           bool              // a registration with this key and mark has been made
	nameHolder        azdo.Agent        // the last that was found to hold our name
	userCapabilities  map[string]string // user capabilities of one that was removed
	registered        azdo.Agent        // the server's answer to the registration
	evidence          evidence          // of the agent that an earlier run has registered in this folder
	hasRecord         bool              // the record of this life's agent may be there

	listener          Process
	previousListener  Process                // an earlier life's listener, where there was one
	previousUnchecked bool                   // azptend was killed in this folder, and what it has left was not looked at yet
	updateMarkers     agentdir.UpdateMarkers // as they were when the listener started
	perf              *agentdir.PerfFile     // the listener's counters
	jobPendingSince   time.Time              // since when they have had a job that has not started
	jobsBefore        int                    // jobs of this life that earlier listeners had
	wroteFiles        bool                   // the agent's files may be there
	outageReported    bool                   // it was said that the server is away
	release           func()                 // of the agent's folder; nil while it is not ours
	nameWaitReported  bool                   // it was said that the name is waited for

	dirWaitReported     bool // it was said that another agent in the folder is waited for
	sessionWaitReported bool // it was said that an earlier listener's session is waited for

	times times
}

// message is something that happened beside the loop: what the runner has to
// remember of it, and the event it is to lifecycle.
type message struct {
	apply  func(*runner)   // may be nil
	event  lifecycle.Event // may be nil
	from   Process         // the listener that the event is about: dropped if there is another by now; may be nil
	onDrop func()          // done instead when the life has ended meanwhile; may be nil
}

func newRunner(o Options, w listenerEvents) *runner {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Hint == nil {
		o.Hint = func(error) string { return "" }
	}
	if o.Handle == nil {
		o.Handle = NewHandle()
	}
	if o.Observer == nil {
		o.Observer = nopObserver{}
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &runner{
		o: o, events: w, log: o.Log,
		state:    lifecycle.New(o.Policy),
		messages: make(chan message), ctx: ctx, cancel: cancel, cancelCall: func(error) {},
		times: times{started: o.ProcessStarted},
	}
}

// run lives the life to its end.
func (r *runner) run(signals <-chan proc.Signal) End {
	r.step(lifecycle.Begin{PreviousAgentID: r.findPreviousAgent()})
	for r.final == nil {
		r.waitForEvents(signals)
	}
	return r.end()
}

// waitForEvents waits for whatever comes first. What has happened already is taken in before
// anything is decided, and before the clock: azptend may have been frozen or slow, and
// a job that has ended is not cut.
func (r *runner) waitForEvents(signals <-chan proc.Signal) {
	var due <-chan time.Time
	if wake := r.state.NextTick(); !wake.IsZero() {
		timer := time.NewTimer(time.Until(wake))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case w := <-r.messages:
		r.applyReady(signals, r.fromMessage(w))
	case h := <-signals:
		r.applyReady(signals, r.fromSignal(h))
	case ask := <-r.o.Handle.calls:
		if first := r.nextReady(signals); first != nil {
			r.applyReady(signals, first)
		}
		ask(r)
	case <-due:
		r.applyReady(signals, func() lifecycle.Event { return lifecycle.Tick{} })
	}
}

// maxBatch bounds what is taken in before a decision: a job must not be able to put
// it off.
const maxBatch = 64

// pendingEvent does what belongs to something that has happened, and returns the event
// that it is for lifecycle; nil where it is none.
type pendingEvent func() lifecycle.Event

// applyReady takes in what has happened, first and what else is ready, and lets lifecycle
// decide with the last of it.
func (r *runner) applyReady(signals <-chan proc.Signal, first pendingEvent) {
	last := first
	for range maxBatch {
		next := r.nextReady(signals)
		if next == nil {
			break
		}
		r.advance(lifecycle.Apply, last())
		last = next
	}
	e := last()
	if e == nil {
		e = lifecycle.Tick{} // what came before it is still to be decided on
	}
	r.step(e)
}

// nextReady is what has happened and was not taken in yet; nil is nothing.
func (r *runner) nextReady(signals <-chan proc.Signal) pendingEvent {
	select {
	case w := <-r.messages:
		return r.fromMessage(w)
	case h := <-signals:
		return r.fromSignal(h)
	default:
		return nil
	}
}

func (r *runner) fromMessage(w message) pendingEvent {
	return func() lifecycle.Event {
		if w.apply != nil {
			w.apply(r)
		}
		if w.from != nil && w.from != r.listener {
			return nil
		}
		return w.event
	}
}

// fromSignal turns a signal into what it means.
func (r *runner) fromSignal(h proc.Signal) pendingEvent {
	return func() lifecycle.Event { return r.handleSignal(h) }
}

func (r *runner) handleSignal(h proc.Signal) lifecycle.Event {
	switch h.Action {
	case proc.Drain:
		r.log.Info("Heard a signal", "signal", signalName(h.Signal), "phase", r.state.Phase)
		return lifecycle.DrainRequested{Reason: "asked by " + signalName(h.Signal), WithDeadline: true}
	case proc.Interrupt:
		r.log.Info("Heard a signal", "signal", signalName(h.Signal), "phase", r.state.Phase)
		return lifecycle.UserInterrupt{}
	case proc.Forward:
		if r.listener != nil {
			_ = r.listener.Signal(h.Signal)
		}
	case proc.Ignored:
		r.log.Warn("Ignored a signal: the listener would die of it", "signal", signalName(h.Signal))
	}
	return nil
}

// step lets lifecycle decide, and does what it says.
func (r *runner) step(e lifecycle.Event) { r.advance(lifecycle.Step, e) }

// advance changes the state by Step or Take.
func (r *runner) advance(take func(lifecycle.State, lifecycle.Event, time.Time) (lifecycle.State, []lifecycle.Action), e lifecycle.Event) {
	if e == nil {
		return
	}
	before := r.state
	after, actions := take(before, e, time.Now())
	r.state = after
	r.report(before, after, e)
	r.o.Observer.Stepped(before, after, e)
	r.o.Handle.notePhase(before.Phase, after.Phase)
	for _, a := range actions {
		r.do(a)
	}
}

func (r *runner) do(a lifecycle.Action) {
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
		r.lookForWork()
	case lifecycle.AwaitUpdate:
		r.waitForUpdate()
	case lifecycle.ReportLeftover:
		r.reportAbandoned(a)
	case lifecycle.Finish:
		r.final = &a
	}
}

var errAborted = errors.New("there is no time left to wait for it")

// goBackground runs f beside the loop, until the life ends at the latest.
func (r *runner) goBackground(f func(context.Context)) {
	r.background.Go(func() {
		f(r.ctx)
	})
}

// post brings a word into the loop. After the end nobody listens any more.
func (r *runner) post(w message) {
	select {
	case r.messages <- w:
	case <-r.ctx.Done():
		if w.onDrop != nil {
			w.onDrop()
		}
	}
}

// startCall makes a call beside the loop.
func (r *runner) startCall(a lifecycle.StartCall) {
	ctx, abort := context.WithCancelCause(r.ctx)
	r.cancelCall = abort
	call := r.call(a)
	r.goBackground(func(context.Context) {
		defer abort(nil)
		ctx, done := context.WithDeadlineCause(ctx, a.Deadline, errAborted)
		defer done()
		r.post(call(ctx))
	})
}

// end leaves nothing behind: no process, no file. Each of its steps has a limit, so
// that azptend exits even if a goroutine is stuck in a file system or a process
// cannot be killed.
func (r *runner) end() End {
	r.cancel()
	last := finalSteps{r.log, r.finalStepLimit()}
	last.do("what runs beside the loop", r.background.Wait)
	if r.listener != nil {
		last.do("the processes that the jobs left running", r.killRemaining)
	}
	last.do("the removal of its files in the agent's folder", r.removeFiles)
	if r.release != nil { // not before the folder is left alone
		last.do("the lock of the agent's folder", r.release)
	}
	end := End{Code: exitcode.OfRun(r.final.End), Why: r.final.Reason, Err: r.final.Err}
	r.reportEnd(end)
	r.o.Handle.finish(r.snapshot(), end)
	return end
}

const (
	// finalStepTimeout bounds each of the last steps, of which the killing of what a job
	// left behind is one.
	finalStepTimeout = time.Second
	// minFinalStep is for those steps when the grace period is over already.
	minFinalStep = 200 * time.Millisecond
)

// finalStepLimit is how long one of the last steps may take. Two that are stuck
// still fit into the grace period, where there is as much left of it.
func (r *runner) finalStepLimit() time.Duration {
	deadline := r.state.Deadline()
	if deadline.IsZero() {
		return finalStepTimeout
	}
	return min(finalStepTimeout, max(time.Until(deadline)/2, minFinalStep))
}

// finalSteps are the steps after which nothing comes that could wait for them.
type finalSteps struct {
	log    *slog.Logger
	within time.Duration
}

// do does a step, and says so if it does not wait for its end.
func (l finalSteps) do(what string, step func()) {
	if !bounded.Within(l.within, step) {
		l.log.Warn("Exiting without waiting for a step to finish", "step", what, "waited", l.within.String())
	}
}

// killRemaining kills the listener and what is left of its jobs.
func (r *runner) killRemaining() {
	ctx, done := context.WithTimeout(context.Background(), finalStepTimeout)
	defer done()
	if n := r.listener.KillTree(ctx); n > 0 {
		r.log.Info("Killed what the jobs left running", "processes", n)
	}
	if r.listener == r.previousListener { // what has left its tree is not ours by birth
		r.killOrphans(ctx)
	}
	select { // its status belongs to a log that is about to end
	case <-r.listener.Done():
	case <-ctx.Done():
	}
}

// removeFiles removes what this life has left in the agent's folder. In a folder
// that is ours, that includes temporary files of an azptend that was killed, unless
// the next start has to see them.
func (r *runner) removeFiles() {
	// Also of an agent that had to be named: its key is of use to nobody but a thief.
	if r.wroteFiles && !r.keepsFiles() {
		if err := r.o.asUser(r.o.Dir.RemoveFiles); err != nil {
			r.log.Warn("Cannot remove the agent's files", "error", err)
		}
	}
	r.removeRecord()
	_ = r.o.asUser(func() error {
		if r.release != nil && !r.previousUnchecked {
			return r.o.Dir.RemoveTemporary()
		}
		if r.perf != nil {
			return agentdir.RemovePerfDir(r.perf.Dir())
		}
		return nil
	})
}

// keepsFiles says that the agent's files are for another life: they were written
// for it, or are where it was given them.
func (r *runner) keepsFiles() bool {
	given := r.o.Handoff != nil && r.o.Handoff.Dir.Root == r.o.Dir.Root
	return given || (r.o.RegisterOnly && r.state.Registration == lifecycle.External)
}

// removeRecord removes the record of an agent that is not in its pool any more. Of
// one that stays it is what lets the next start remove it.
func (r *runner) removeRecord() {
	gone := r.state.Registration == lifecycle.Removed || r.state.Registration == lifecycle.Unregistered
	if !gone || r.previousUnchecked || !r.hasRecord {
		return
	}
	if err := r.o.asUser(r.o.Dir.RemoveOwner); err != nil {
		r.log.Warn("Cannot remove the record of the agent", "error", err)
	}
}
