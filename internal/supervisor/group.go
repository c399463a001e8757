package supervisor

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/azptend/azptend/internal/bounded"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/mslistener"
	"github.com/azptend/azptend/internal/proc"
)

// Group is the agents of one process, which are controlled as one. Its methods, except
// Run, may be called at any time.
type Group struct {
	agents   []Options
	presence *presenceChecker // nil: this process has no identity
}

// NewGroup makes a group of at least one agent.
func NewGroup(agents ...Options) *Group {
	g := &Group{agents: agents}
	if server := agents[0].Server; server != nil {
		g.presence = newPresenceChecker(server, agents[0].Log)
	}
	for i := range agents {
		agents[i].handle, agents[i].shared, agents[i].presence = newHandle(), len(agents) > 1, g.presence
	}
	return g
}

// Run runs each agent to its end. Each gets every signal. None ends another, and none
// waits for another. Run returns when nothing of them is left running.
func (g *Group) Run(signals *proc.Signals) End {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	if g.presence != nil {
		go g.presence.run(ctx)
	}
	log, shared := g.agents[0].Log, len(g.agents) > 1
	ends := make([]End, len(g.agents))
	var running sync.WaitGroup
	for i, o := range g.agents {
		if shared {
			o.Log, o.Printer.Log = withAgent(o.Log, o.Name), withAgent(o.Printer.Log, o.Name)
		}
		running.Go(func() {
			if o.Printer != (mslistener.Printer{}) {
				o.output = mslistener.OpenOutput(o.Printer, o.Log)
				defer o.output.Close()
			}
			ends[i] = run(o, mslistener.Files{Dir: o.Dir}, signals.Subscribe(ctx))
		})
	}
	running.Wait()
	end := worst(ends)
	if shared {
		g.killOrphans()
		log.Info("All agents have exited", "agents", len(g.agents), "exit_code", end.Code, "reason", end.Why)
	}
	return end
}

// killOrphans kills what the jobs of several agents left running. A job can leave a process
// that hides which agent it belongs to.
func (g *Group) killOrphans() {
	log := g.agents[0].Log
	steps := bounded.FinalSteps{Log: log, Least: minFinalStep}
	steps.EndBy(g.Deadline())
	steps.Do("killing processes that jobs left running", killTimeout, func() {
		ctx, done := context.WithTimeout(context.Background(), killTimeout)
		defer done()
		if n := g.agents[0].Processes.KillOrphans(ctx); n > 0 {
			log.Info("Killed processes that jobs left running", "processes", n)
		}
	})
}

// LockLogs locks the directories of the listeners' logs that are not below the agents'
// own, and logs a warning if another azptend uses one.
func (g *Group) LockLogs() (release func()) {
	var releases []func()
	for _, o := range g.agents {
		release, shared := o.Dir.LockLogs()
		if shared {
			o.Log.Warn("Another azptend uses the same directory for its listener's logs: azptend may confuse the exits of the two listeners", "directory", o.Dir.LogDir,
				"hint", "give each agent its own AGENT_DIAGLOGPATH")
		}
		releases = append(releases, release)
	}
	return func() {
		for _, release := range releases {
			release()
		}
	}
}

// Status is the state of the agents. The error is ctx's.
func (g *Group) Status(ctx context.Context) (Snapshot, error) {
	return g.callAll(func(h *handle) (Snapshot, error) { return h.status(ctx) })
}

// Deadline is when the grace period ends; zero if none has started.
func (g *Group) Deadline() time.Time {
	s, _ := g.Status(context.Background())
	return s.Deadline
}

// Drain requests a drain, and returns the state right after. Reason is for the log. If
// the platform is terminating azptend, this is the same as its SIGTERM: the grace period
// starts now, unless it runs already. Otherwise the job may take as long as it takes.
// The error is ctx's.
func (g *Group) Drain(ctx context.Context, reason string, terminating bool) (Snapshot, error) {
	return g.drain(ctx, lifecycle.DrainRequested{Reason: reason, StartsGrace: terminating, CancelsJob: terminating})
}

// minNotice leaves time for one request to remove the agent.
const minNotice = time.Second

// DrainBy is Drain for a platform that has announced when it will end the machine:
// everything is over before that, or earlier if a grace period that runs already ends
// earlier. If end is zero, the platform may do so at any moment, and the grace period
// starts. The error is ctx's.
func (g *Group) DrainBy(ctx context.Context, reason string, end time.Time) (Snapshot, error) {
	request := lifecycle.DrainRequested{Reason: reason, StartsGrace: true}
	if !end.IsZero() {
		request.Grace = max(time.Until(end).Truncate(time.Second), minNotice)
	}
	return g.drain(ctx, request)
}

func (g *Group) drain(ctx context.Context, request lifecycle.DrainRequested) (Snapshot, error) {
	return g.callAll(func(h *handle) (Snapshot, error) {
		return h.call(ctx, func(r *runner) {
			r.log.Info("Received a drain request", "reason", request.Reason, "with_deadline", request.StartsGrace, "phase", r.state.Phase)
			r.advance(lifecycle.Step, request)
		})
	})
}

// Next returns the state as soon as the phase of the group is another one, or all agents
// have ended. A phase that lasts only an instant may be missed. The error is ctx's.
func (g *Group) Next(ctx context.Context, phase lifecycle.Phase) (Snapshot, error) {
	for {
		s, err := g.Status(ctx)
		if err != nil || s.Phase != phase || s.End != nil {
			return s, err
		}
		if err := g.waitForChange(ctx, s); err != nil {
			return Snapshot{}, err
		}
	}
}

// waitForChange waits until one of the agents is in another phase than it was.
func (g *Group) waitForChange(ctx context.Context, was Snapshot) error {
	waiting, changed := context.WithCancel(ctx)
	defer changed()
	each := was.Each
	if len(g.agents) == 1 {
		each = []Snapshot{was}
	}
	done := make(chan error, len(g.agents))
	waits := 0
	for i, o := range g.agents {
		if each[i].End == nil {
			waits++
			go func() { _, err := o.handle.next(waiting, each[i].Phase); done <- err }()
		}
	}
	var first error
	for n := range waits {
		if err := <-done; n == 0 {
			first = err
			changed() // the others need not wait any longer
		}
	}
	return first
}

// callAll calls each agent at the same time. All must answer.
func (g *Group) callAll(call func(*handle) (Snapshot, error)) (Snapshot, error) {
	each := make([]Snapshot, len(g.agents))
	var calls errgroup.Group
	for i, o := range g.agents {
		calls.Go(func() (err error) { each[i], err = call(o.handle); return err })
	}
	if err := calls.Wait(); err != nil {
		return Snapshot{}, err
	}
	return merge(each), nil
}

// merge shows several agents as one: in the phase of the one that has progressed least,
// ready when all are, ended when all have.
func merge(each []Snapshot) Snapshot {
	if len(each) == 1 {
		return each[0]
	}
	s := each[0]
	s.Each, s.AgentID, s.Jobs, s.End = each, 0, 0, nil
	s.Agent = fmt.Sprintf("%s … %s", each[0].Agent, each[len(each)-1].Agent)
	var ends []End
	for _, e := range each {
		s.Jobs += e.Jobs
		if progress(e.Phase) < progress(s.Phase) {
			s.Phase, s.Registration = e.Phase, e.Registration
		}
		if e.Since.After(s.Since) {
			s.Since = e.Since
		}
		if e.Deadline.After(s.Deadline) {
			s.Deadline = e.Deadline
		}
		if s.Reason == "" {
			s.Reason = e.Reason
		}
		if e.Job != lifecycle.NoJob && s.Job != lifecycle.RunningJob {
			s.Job = e.Job
		}
		if e.End != nil {
			ends = append(ends, *e.End)
		}
	}
	if len(ends) == len(each) {
		end := worst(ends)
		s.End = &end
		s.Registration = each[slices.Index(ends, end)].Registration
	}
	return s
}

// progress orders the phases. Of several agents that are up, one that has a job counts.
func progress(p lifecycle.Phase) int {
	return slices.Index([]lifecycle.Phase{
		lifecycle.Booting, lifecycle.Registering, lifecycle.Starting, lifecycle.Busy, lifecycle.Idle,
		lifecycle.Draining, lifecycle.Stopping, lifecycle.Removing, lifecycle.Gone,
	}, p)
}

// worst is the end that matters most: an internal error before what needs a person, that
// before what may pass by itself, and that before success. Of equals it is the first.
func worst(ends []End) End {
	w := ends[0]
	for _, e := range ends {
		if exitcode.Severity(e.Code) > exitcode.Severity(w.Code) {
			w = e
		}
	}
	return w
}

// withAgent adds the agent's name to each line of a log that does not have it. Nil stays
// nil.
func withAgent(log *slog.Logger, name string) *slog.Logger {
	if log == nil {
		return nil
	}
	return slog.New(&agentLogHandler{log.Handler(), name})
}

// agentLogHandler adds the agent's name to each line, once.
type agentLogHandler struct {
	slog.Handler
	agent string
}

func (h *agentLogHandler) Handle(ctx context.Context, r slog.Record) error {
	has := false
	r.Attrs(func(a slog.Attr) bool { has = a.Key == "agent"; return !has })
	if !has {
		r = r.Clone()
		r.AddAttrs(slog.String("agent", h.agent))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs keeps the agent's name, which the promoted method would lose.
func (h *agentLogHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &agentLogHandler{h.Handler.WithAttrs(attrs), h.agent}
}

// WithGroup is like WithAttrs.
func (h *agentLogHandler) WithGroup(name string) slog.Handler {
	return &agentLogHandler{h.Handler.WithGroup(name), h.agent}
}
