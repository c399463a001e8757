// Package supervisor runs one or several agents: it passes events to package lifecycle
// and carries out the resulting actions with packages azdo, agentdir, mslistener and proc.
// lifecycle decides when to retry, give up or kill.
//
// Each agent has one goroutine, the runner's loop, which owns all state. Calls and waits
// run in the background and post messages to the loop. A message has an event for
// lifecycle, and a function that updates the runner. The loop handles messages in the
// order in which they were posted. The listener's exit is posted after all its other
// events.
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
	ReplaceForeignFiles bool // move aside the files of an agent that azptend did not register
	NoUpdate            bool // the listener ignores requests to update itself
	Capabilities        map[string]string
	Group               string             // the agent's TagGroup; "": none
	Environ             []string           // of the listener, see mslistener.EnvFilter
	Printer             mslistener.Printer // where the listener's output goes; the zero value: nowhere

	// Handoff is the agent that another azptend has registered; nil: register one. With
	// Handoff there is no identity, and azptend sends no requests to the server.
	Handoff *agentdir.HandoffFiles

	Server     Server               // nil if Handoff is set
	ClockAhead func() time.Duration // how far the server's clock is ahead, if known; may be nil
	Processes  Processes
	Log        *slog.Logger
	Hint       func(error) string // what to do about an error; "": unknown; may be nil
	Observer   Observer           // may be nil

	handle   *handle
	presence *presenceChecker   // nil: no checks
	shared   bool               // other agents run in this process: orphans may be theirs
	output   *mslistener.Output // nil: the listener's output goes nowhere
}

// Observer gets each step, for metrics. The loop calls it, so it must not block.
type Observer interface {
	// Stepped is called after each step.
	Stepped(before, after lifecycle.State, e lifecycle.Event)
	// Ready is called when the listener is ready, with the durations of the start's parts.
	Ready(parts map[string]time.Duration)
}

// Server is the part of *azdo.Client that the supervisor uses.
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

// Processes starts and finds processes. mslistener.InitProcesses implement it.
type Processes interface {
	mslistener.Starter
	Find(is func(proc.Info) bool) []proc.Info
	Adopt(pid int, is func(proc.Info) bool) (mslistener.Process, error)
	// KillTrees kills adopted processes, their groups and descendants.
	KillTrees(context.Context, []mslistener.Process) int
	KillOrphans(context.Context) int
}

// End is how a run ended: azptend's exit code, its reason, and the error that caused a
// code other than 0, if any.
type End struct {
	Code int
	Why  string
	Err  error
}

// listenerOptions are the options of mslistener.
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
