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
	o     Options
	ways  ways
	log   *slog.Logger
	state lifecycle.State
	left  *lifecycle.Finish

	words  chan word
	ctx    context.Context // ends with the life, and with it everything beside the loop
	cancel context.CancelFunc
	beside sync.WaitGroup
	abort  context.CancelCauseFunc // of the call in flight

	pool      azdo.Pool // where this life registers
	seat      seat      // of the agent that is held, or was: of an earlier life's at first
	key       *rsa.PrivateKey
	version   string            // of the agent
	instance  string            // of the registration, its mark
	ownerKey  string            // of the registration's record
	confirmed string            // the mark that was read back
	used      bool              // a registration with this key and mark has been made
	twin      azdo.Agent        // the last that was found to hold our name
	carried   map[string]string // user capabilities of one that was removed
	granted   azdo.Agent        // the server's answer to the registration
	earlier   evidence          // of the agent that an earlier run has registered in this folder
	recorded  bool              // the record of this life's agent may be there

	listener   Process
	former     Process                // an earlier life's listener, where there was one
	unsettled  bool                   // azptend was killed in this folder, and what it has left was not looked at yet
	markers    agentdir.UpdateMarkers // as they were when the listener started
	perf       *agentdir.Perf         // the listener's counters
	notStarted time.Time              // since when they have had a job that has not started
	jobsBefore int                    // jobs of this life that earlier listeners had
	wrote      bool                   // the agent's files may be there
	outage     bool                   // it was said that the server is away
	release    func()                 // of the agent's folder; nil while it is not ours
	waits      bool                   // it was said that the name is waited for

	waitsFolder  bool // it was said that another agent in the folder is waited for
	waitsSession bool // it was said that an earlier listener's session is waited for

	times times
}

// word is something that happened beside the loop: what the runner has to
// remember of it, and the event it is to lifecycle.
type word struct {
	note    func(*runner)   // may be nil
	event   lifecycle.Event // may be nil
	of      Process         // the listener that the event is about: dropped if there is another by now; may be nil
	unheard func()          // done instead when the life has ended meanwhile; may be nil
}

func newRunner(o Options, w ways) *runner {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Hint == nil {
		o.Hint = func(error) string { return "" }
	}
	if o.Line == nil {
		o.Line = NewLine()
	}
	if o.Witness == nil {
		o.Witness = nobody{}
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &runner{
		o: o, ways: w, log: o.Log,
		state: lifecycle.New(lifecycle.Policy{
			Once: o.Once, Grace: o.Grace, NameWait: o.NameWait, StrictRemove: o.StrictRemove,
			CancelOnTerm: o.CancelOnTerm, RegisterOnly: o.HandOver, Limits: o.Limits, JitterSeed: o.Seed,
		}),
		words: make(chan word), ctx: ctx, cancel: cancel, abort: func(error) {},
		times: times{began: o.Began},
	}
}

// live lives the life to its end.
func (r *runner) live(heard <-chan proc.Signal) End {
	r.step(lifecycle.Begin{PreviousAgentID: r.formerAgent()})
	for r.left == nil {
		r.wait(heard)
	}
	return r.end()
}

// wait waits for whatever comes first. What has happened already is taken in before
// anything is decided, and before the clock: azptend may have been frozen or slow, and
// a job that has ended is not cut.
func (r *runner) wait(heard <-chan proc.Signal) {
	var due <-chan time.Time
	if wake := r.state.NextTick(); !wake.IsZero() {
		timer := time.NewTimer(time.Until(wake))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case w := <-r.words:
		r.takeIn(heard, r.happened(w))
	case h := <-heard:
		r.takeIn(heard, r.hear(h))
	case ask := <-r.o.Line.asks:
		if first := r.ready(heard); first != nil {
			r.takeIn(heard, first)
		}
		ask(r)
	case <-due:
		r.takeIn(heard, func() lifecycle.Event { return lifecycle.Tick{} })
	}
}

// mostAtOnce bounds what is taken in before a decision: a job must not be able to put
// it off.
const mostAtOnce = 64

// happening does what belongs to something that has happened, and returns the event
// that it is for lifecycle; nil where it is none.
type happening func() lifecycle.Event

// takeIn takes in what has happened, first and what else is ready, and lets lifecycle
// decide with the last of it.
func (r *runner) takeIn(heard <-chan proc.Signal, first happening) {
	last := first
	for range mostAtOnce {
		next := r.ready(heard)
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

// ready is what has happened and was not taken in yet; nil is nothing.
func (r *runner) ready(heard <-chan proc.Signal) happening {
	select {
	case w := <-r.words:
		return r.happened(w)
	case h := <-heard:
		return r.hear(h)
	default:
		return nil
	}
}

func (r *runner) happened(w word) happening {
	return func() lifecycle.Event {
		if w.note != nil {
			w.note(r)
		}
		if w.of != nil && w.of != r.listener {
			return nil
		}
		return w.event
	}
}

// hear turns a signal into what it means.
func (r *runner) hear(h proc.Signal) happening {
	return func() lifecycle.Event { return r.meaning(h) }
}

func (r *runner) meaning(h proc.Signal) lifecycle.Event {
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
	r.o.Witness.Stepped(before, after, e)
	r.o.Line.stepped(before.Phase, after.Phase)
	for _, a := range actions {
		r.do(a)
	}
}

func (r *runner) do(a lifecycle.Action) {
	switch a := a.(type) {
	case lifecycle.StartCall:
		r.ask(a)
	case lifecycle.AbortCall:
		r.abort(errAborted)
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
		r.awaitUpdate()
	case lifecycle.ReportLeftover:
		r.name(a)
	case lifecycle.Finish:
		r.left = &a
	}
}

var errAborted = errors.New("there is no time left to wait for it")

// besides runs f beside the loop, until the life ends at the latest.
func (r *runner) besides(f func(context.Context)) {
	r.beside.Go(func() {
		f(r.ctx)
	})
}

// say brings a word into the loop. After the end nobody listens any more.
func (r *runner) say(w word) {
	select {
	case r.words <- w:
	case <-r.ctx.Done():
		if w.unheard != nil {
			w.unheard()
		}
	}
}

// ask makes a call beside the loop.
func (r *runner) ask(a lifecycle.StartCall) {
	ctx, abort := context.WithCancelCause(r.ctx)
	r.abort = abort
	call := r.call(a)
	r.besides(func(context.Context) {
		defer abort(nil)
		ctx, done := context.WithDeadlineCause(ctx, a.Deadline, errAborted)
		defer done()
		r.say(call(ctx))
	})
}

// end leaves nothing behind: no process, no file. Each of its steps has a limit, so
// that azptend exits even if a goroutine is stuck in a file system or a process
// cannot be killed.
func (r *runner) end() End {
	r.cancel()
	last := lastSteps{r.log, r.lastStepWithin()}
	last.do("what runs beside the loop", r.beside.Wait)
	if r.listener != nil {
		last.do("the processes that the jobs left running", r.killRemains)
	}
	last.do("the removal of its files in the agent's folder", r.removeFiles)
	if r.release != nil { // not before the folder is left alone
		last.do("the lock of the agent's folder", r.release)
	}
	end := End{Code: exitcode.OfRun(r.left.End), Why: r.left.Reason, Err: r.left.Err}
	r.reportEnd(end)
	r.o.Line.end(r.snapshot(), end)
	return end
}

const (
	// lastSweep bounds each of the last steps, of which the killing of what a job
	// left behind is one.
	lastSweep = time.Second
	// shortestStep is for those steps when the grace period is over already.
	shortestStep = 200 * time.Millisecond
)

// lastStepWithin is how long one of the last steps may take. Two that are stuck
// still fit into the grace period, where there is as much left of it.
func (r *runner) lastStepWithin() time.Duration {
	deadline := r.state.Deadline()
	if deadline.IsZero() {
		return lastSweep
	}
	return min(lastSweep, max(time.Until(deadline)/2, shortestStep))
}

// lastSteps are the steps after which nothing comes that could wait for them.
type lastSteps struct {
	log    *slog.Logger
	within time.Duration
}

// do does a step, and says so if it does not wait for its end.
func (l lastSteps) do(what string, step func()) {
	if !bounded.Within(l.within, step) {
		l.log.Warn("Exiting without waiting for a step to finish", "step", what, "waited", l.within.String())
	}
}

// killRemains kills the listener and what is left of its jobs.
func (r *runner) killRemains() {
	ctx, done := context.WithTimeout(context.Background(), lastSweep)
	defer done()
	if n := r.listener.KillTree(ctx); n > 0 {
		r.log.Info("Killed what the jobs left running", "processes", n)
	}
	if r.listener == r.former { // what has left its tree is not ours by birth
		r.killStrays(ctx)
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
	if r.wrote && !r.keepsFiles() {
		if err := r.o.asAgent(r.o.Folder.RemoveFiles); err != nil {
			r.log.Warn("Cannot remove the agent's files", "error", err)
		}
	}
	r.removeRecord()
	_ = r.o.asAgent(func() error {
		if r.release != nil && !r.unsettled {
			return r.o.Folder.RemoveTemporary()
		}
		if r.perf != nil {
			return agentdir.RemovePerf(r.perf.Dir())
		}
		return nil
	})
}

// keepsFiles says that the agent's files are for another life: they were written
// for it, or are where it was given them.
func (r *runner) keepsFiles() bool {
	given := r.o.Given != nil && r.o.Given.Folder.Root == r.o.Folder.Root
	return given || (r.o.HandOver && r.state.Registration == lifecycle.External)
}

// removeRecord removes the record of an agent that is not in its pool any more. Of
// one that stays it is what lets the next start remove it.
func (r *runner) removeRecord() {
	gone := r.state.Registration == lifecycle.Removed || r.state.Registration == lifecycle.Unregistered
	if !gone || r.unsettled || !r.recorded {
		return
	}
	if err := r.o.asAgent(r.o.Folder.RemoveOwner); err != nil {
		r.log.Warn("Cannot remove the record of the agent", "error", err)
	}
}
