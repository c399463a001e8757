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
	"github.com/azptend/azptend/internal/control"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/mslistener"
	"github.com/azptend/azptend/internal/proc"
)

// Group is all agents of one process. Status and drains are for the whole group. All
// methods except Run may be called at any time. *Group is a control.Handler.
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

// Run runs all agents, independently of each other. Each gets every signal. Run returns
// when all have ended.
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
	end := slices.MaxFunc(ends, func(a, b End) int { return exitcode.Severity(a.Code) - exitcode.Severity(b.Code) })
	if shared {
		g.killOrphans()
		log.Info("All agents have exited", "agents", len(g.agents), "exit_code", end.Code, "reason", end.Why)
	}
	return end
}

// killOrphans kills processes that jobs of several agents left running. A job can leave a
// process that does not show which agent it belongs to.
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

// LockLogs locks the listeners' log directories that are outside the agents' directories,
// and logs a warning if another azptend uses one.
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

// Status is the status of the agents. The error is ctx's.
func (g *Group) Status(ctx context.Context) (control.Status, error) {
	return g.callAll(func(h *handle) (control.Status, error) { return h.status(ctx) })
}

// Deadline is when the grace period ends; zero if none has started.
func (g *Group) Deadline() time.Time {
	s, _ := g.Status(context.Background())
	if s.Deadline == nil {
		return time.Time{}
	}
	return *s.Deadline
}

// Drain is a request of azptend drain. It returns the status after it. If terminating is
// set, it has the effect of SIGTERM: the grace period starts now, unless it has started
// before. Otherwise the job has no deadline. The error is ctx's.
func (g *Group) Drain(ctx context.Context, terminating bool) (control.Status, error) {
	reason := "asked by azptend drain"
	if terminating {
		reason += " --terminating"
	}
	return g.drain(ctx, lifecycle.DrainRequested{Reason: reason, StartsGrace: terminating, CancelsJob: terminating})
}

// minNotice is the shortest grace period of DrainBy: enough to remove the agent with one
// request.
const minNotice = time.Second

// DrainBy is Drain for a platform that has announced when it ends the machine. The grace
// period starts now and ends at end, or earlier if one that has started ends earlier. If
// end is zero, the platform may end the machine at any moment, and the grace period has its
// usual length. The error is ctx's.
func (g *Group) DrainBy(ctx context.Context, reason string, end time.Time) (control.Status, error) {
	request := lifecycle.DrainRequested{Reason: reason, StartsGrace: true}
	if !end.IsZero() {
		request.Grace = max(time.Until(end).Truncate(time.Second), minNotice)
	}
	return g.drain(ctx, request)
}

func (g *Group) drain(ctx context.Context, request lifecycle.DrainRequested) (control.Status, error) {
	return g.callAll(func(h *handle) (control.Status, error) {
		return h.call(ctx, func(r *runner) {
			r.log.Info("Received a drain request", "reason", request.Reason, "with_deadline", request.StartsGrace, "phase", r.state.Phase)
			r.advance(lifecycle.Step, request)
		})
	})
}

// Next waits until the group's phase differs from phase or all agents have ended, and
// returns the state. It may miss a very short phase. The error is ctx's.
func (g *Group) Next(ctx context.Context, phase string) (control.Status, error) {
	for {
		s, err := g.Status(ctx)
		if err != nil || s.Phase != phase || s.End != nil {
			return s, err
		}
		if err := g.waitForChange(ctx, s); err != nil {
			return control.Status{}, err
		}
	}
}

// waitForChange waits until one of the agents has left the phase that it has in was.
func (g *Group) waitForChange(ctx context.Context, was control.Status) error {
	waiting, changed := context.WithCancel(ctx)
	defer changed()
	each := was.Agents
	if len(g.agents) == 1 {
		each = []control.Status{was}
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
			changed() // end the other waits
		}
	}
	return first
}

// callAll calls each agent at the same time. All must answer.
func (g *Group) callAll(call func(*handle) (control.Status, error)) (control.Status, error) {
	each := make([]control.Status, len(g.agents))
	var calls errgroup.Group
	for i, o := range g.agents {
		calls.Go(func() (err error) { each[i], err = call(o.handle); return err })
	}
	if err := calls.Wait(); err != nil {
		return control.Status{}, err
	}
	return merge(each), nil
}

// merge makes one status of several. Its phase is that of the agent that has progressed
// least. It is ready if all agents are, and has ended if all have, with the worst end.
func merge(each []control.Status) control.Status {
	if len(each) == 1 {
		return each[0]
	}
	s := each[0]
	s.Agents, s.AgentID, s.Jobs, s.End = each, 0, 0, nil
	s.Agent = fmt.Sprintf("%s … %s", each[0].Agent, each[len(each)-1].Agent)
	ended := 0
	for _, e := range each {
		s.Jobs += e.Jobs
		s.Ready = s.Ready && e.Ready
		if progress(e.Phase) < progress(s.Phase) {
			s.Phase, s.Registration = e.Phase, e.Registration
		}
		if e.Since.After(s.Since) {
			s.Since = e.Since
		}
		if e.Deadline != nil && (s.Deadline == nil || e.Deadline.After(*s.Deadline)) {
			s.Deadline = e.Deadline
		}
		if s.Reason == "" {
			s.Reason = e.Reason
		}
		if e.Job != string(lifecycle.NoJob) && s.Job != string(lifecycle.RunningJob) {
			s.Job = e.Job
		}
		if e.End != nil {
			ended++
		}
	}
	if ended == len(each) {
		worst := slices.MaxFunc(each, func(a, b control.Status) int { return exitcode.Severity(a.End.Code) - exitcode.Severity(b.End.Code) })
		s.End, s.Registration = worst.End, worst.Registration
	}
	return s
}

// progress orders the phases. Busy comes before Idle, so that a group with a job is busy.
func progress(phase string) int {
	return slices.Index([]lifecycle.Phase{
		lifecycle.Booting, lifecycle.Registering, lifecycle.Starting, lifecycle.Busy, lifecycle.Idle,
		lifecycle.Draining, lifecycle.Stopping, lifecycle.Removing, lifecycle.Gone,
	}, lifecycle.Phase(phase))
}

// withAgent adds the agent's name to each log line that does not have it. It returns nil
// for nil.
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
