// Package supervisor runs one or several agents: it feeds package lifecycle with events
// and carries out its actions. It connects packages that do not know each other: azdo,
// agentdir, mslistener and proc. It decides nothing itself: lifecycle decides when to
// retry, give up or kill.
//
// One goroutine for each agent, the runner's loop, owns all state. Calls, and everything
// that waits, run in the background and post a message to the loop: an event for
// lifecycle, and what the runner remembers. The loop handles messages in the order in
// which they were posted. The listener's exit comes after all its other events.
package supervisor

import (
	"context"
	"log/slog"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/mslistener"
	"github.com/azptend/azptend/internal/proc"
)

// Options are what one agent needs.
type Options struct {
	lifecycle.Policy
	ProcessStarted time.Time // for the times in the log

	URL                 string
	Pool                azdo.PoolRef
	Name                string
	HostName            string
	WorkFolder          string
	Dir                 agentdir.Dir
	ReplaceForeignFiles bool // move aside the files of an agent that azptend has not registered
	NoUpdate            bool // the listener ignores requests to update itself
	Capabilities        map[string]string
	Environ             []string           // of the listener, see mslistener.EnvFilter
	Printer             mslistener.Printer // where the listener's output goes; the zero value: nowhere

	// Handoff is the agent that another azptend has registered; nil: register one. Then
	// there is no identity, and the pool is not called.
	Handoff *agentdir.HandoffFiles

	Server     Server               // nil with Handoff
	ClockAhead func() time.Duration // how far the server's clock is ahead, if known; may be nil
	Processes  Processes
	Log        *slog.Logger
	Hint       func(error) string // what to do about a failure; "" or nil if unknown
	Observer   Observer           // may be nil

	handle   *handle
	presence *presenceChecker   // nil: nobody checks
	shared   bool               // other agents run in this process: orphans may be theirs
	output   *mslistener.Output // nil: the listener's output goes nowhere
}

// Observer counts what happens. The loop calls it, and waits for it.
type Observer interface {
	// Stepped is called after each step.
	Stepped(before, after lifecycle.State, e lifecycle.Event)
	// Ready is called when a start has succeeded, with how long its parts took.
	Ready(parts map[string]time.Duration)
}

// Server is what the supervisor calls in Azure DevOps. *azdo.Client is one.
type Server interface {
	Authorize(ctx context.Context) error
	FindPool(ctx context.Context, ref azdo.PoolRef) (azdo.Pool, error)
	AddAgent(ctx context.Context, pool int, a azdo.Agent) (azdo.Agent, error)
	AgentByName(ctx context.Context, pool int, name string) (azdo.Agent, bool, error)
	AgentByID(ctx context.Context, pool, id int, with azdo.Include) (azdo.Agent, error)
	EachAgent(ctx context.Context, pool int, with azdo.Include, each func(azdo.Agent)) error
	SetUserCapabilities(ctx context.Context, pool, id int, capabilities map[string]string) error
	SetEnabled(ctx context.Context, pool, id int, enabled bool) error
	RemoveAgent(ctx context.Context, pool, id int) error
}

// Processes starts and finds processes. InitProcesses are the real ones.
type Processes interface {
	mslistener.Starter
	Find(is func(proc.Info) bool) []proc.Info
	Adopt(pid int, is func(proc.Info) bool) (mslistener.Process, error)
	// KillTrees kills adopted processes, their groups and descendants.
	KillTrees(context.Context, []mslistener.Process) int
	KillOrphans(context.Context) int
}

// InitProcesses starts processes with the process's Init.
type InitProcesses struct{ *proc.Init }

func (p InitProcesses) Start(ctx context.Context, s proc.Spec) (mslistener.Process, error) {
	c, err := p.Init.Start(ctx, s)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (p InitProcesses) Adopt(pid int, is func(proc.Info) bool) (mslistener.Process, error) {
	f, err := p.Init.Adopt(pid, is)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (p InitProcesses) KillTrees(ctx context.Context, all []mslistener.Process) int {
	var foreign []*proc.ForeignProcess
	for _, one := range all {
		if f, is := one.(*proc.ForeignProcess); is {
			foreign = append(foreign, f)
		}
	}
	return proc.KillTrees(ctx, foreign)
}

// End is how a run ended: the exit code of azptend, and the error behind a code that is
// not 0, if there is one.
type End struct {
	Code int
	Why  string
	Err  error
}

// listenerOptions are what the listener needs.
func (o Options) listenerOptions() mslistener.Options {
	l := mslistener.Options{
		Name: o.Name, Dir: o.Dir, Once: o.Policy.Once, NoUpdate: o.NoUpdate, Environ: o.Environ,
		Output: o.output, Processes: o.Processes, Log: o.Log,
	}
	if o.shared {
		l.IsOurOrphan = func(p proc.Info) bool { return mslistener.IsDescendant(o.Dir, p) }
	}
	return l
}
