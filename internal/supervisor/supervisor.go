package supervisor

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/proc"
)

// Options are what an agent's life needs.
type Options struct {
	lifecycle.Policy
	ProcessStarted time.Time // when the process began, for the times in the log

	URL                 string
	PoolName            string
	PoolID              int // 0: look PoolName up
	Name                string
	HostName            string
	WorkFolder          string
	Dir                 agentdir.Dir
	ReplaceForeignFiles bool                   // of an agent in the folder that azptend has not registered
	NoUpdate            bool                   // the listener was told not to update itself
	Handoff             *agentdir.HandoffFiles // the agent that somebody else has registered; nil: register one
	Capabilities        map[string]string      // user capabilities
	Environ             []string               // of the listener, already without ways to an identity
	Shared              bool                   // other agents live in this process: what is theirs is left alone
	User                *proc.User             // whom the listener and its jobs run as; nil: this process's

	Token       func(context.Context) error // gets a token, so that its time and its errors are known by themselves
	Server      Server                      // nil with Given: its pool is not called
	Presence    *PresenceChecker            // looks now and then whether the agent is still in its pool; nil: nobody does
	ClockAhead  func() time.Duration        // by how much the server's clock is ahead, as far as it is known; may be nil
	Processes   Processes
	Stdout      *os.File // the listener's
	Stderr      *os.File
	FlushOutput func() // waits, not for long, until what the listener has printed is passed on; may be nil
	Log         *slog.Logger
	Hint        func(error) string // what to do about a failure, "" where nobody knows; nil: nobody does
	Handle      *Handle            // by which the life is talked to; nil for nobody
	Observer    Observer           // nil for nobody
}

// Observer counts what happens in a life. The loop tells it, and waits for it.
type Observer interface {
	// Stepped is told of each step.
	Stepped(before, after lifecycle.State, e lifecycle.Event)
	// Ready is told how long the parts of a start took, when it has ended.
	Ready(parts map[string]time.Duration)
}

// nopObserver is the witness of a life that is not counted.
type nopObserver struct{}

func (nopObserver) Stepped(_, _ lifecycle.State, _ lifecycle.Event) {}
func (nopObserver) Ready(map[string]time.Duration)                  {}

// Server is what tend asks of Azure DevOps. *azdo.Client is one.
type Server interface {
	PoolByName(ctx context.Context, name string) (azdo.Pool, error)
	PoolByID(ctx context.Context, id int) (azdo.Pool, error)
	AddAgent(ctx context.Context, pool int, a azdo.Agent) (azdo.Agent, error)
	AgentByName(ctx context.Context, pool int, name string) (azdo.Agent, bool, error)
	AgentWithRequest(ctx context.Context, pool, id int) (azdo.Agent, error)
	AgentWithCapabilities(ctx context.Context, pool, id int) (azdo.Agent, error)
	SetUserCapabilities(ctx context.Context, pool, id int, capabilities map[string]string) error
	DisableAgent(ctx context.Context, pool, id int) error
	RemoveAgent(ctx context.Context, pool, id int) error
}

// Processes starts processes. See FromInit for the real one.
type Processes interface {
	Start(context.Context, proc.Spec) (Process, error)
	Output(context.Context, proc.Spec) (string, proc.Status, error)
	Find(is func(proc.Info) bool) []proc.Info
	Adopt(pid int, is func(proc.Info) bool) (Process, error)
	// KillTrees kills adopted processes, their groups and descendants.
	KillTrees(context.Context, []Process) int
}

// Process is a listener. *proc.Child and *proc.ForeignProcess are two.
type Process interface {
	Pid() int
	Done() <-chan struct{}
	Status() proc.Status
	Signal(syscall.Signal) error
	KillTree(context.Context) int
	HasDescendant(program string) (has, busy bool, err error)
	FindConnection(ours netip.AddrPort, theirs []netip.AddrPort) (at int, err error)
}

// FromInit starts processes with the process's Init.
func FromInit(i *proc.Init) Processes { return initProcesses{i} }

type initProcesses struct{ *proc.Init }

func (p initProcesses) Start(ctx context.Context, s proc.Spec) (Process, error) {
	c, err := p.Init.Start(ctx, s)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (p initProcesses) Adopt(pid int, is func(proc.Info) bool) (Process, error) {
	s, err := p.Init.Adopt(pid, is)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (p initProcesses) KillTrees(ctx context.Context, all []Process) int {
	var foreign []*proc.ForeignProcess
	for _, one := range all {
		if f, is := one.(*proc.ForeignProcess); is {
			foreign = append(foreign, f)
		}
	}
	return proc.KillTrees(ctx, foreign)
}

// End is how a life ended: the exit code of azptend, and the error behind a code
// that is not 0, if there is one.
type End struct {
	Code int
	Why  string
	Err  error
}

// isOurOrphan tells this agent's orphans from those of others in this process; nil where
// there are no others.
func (o Options) isOurOrphan() func(proc.Info) bool {
	if !o.Shared {
		return nil
	}
	return func(f proc.Info) bool { return o.Dir.IsDescendant(processInfo(f)) }
}

// asUser does something with the agent's files as the listener's user: they
// are to be that user's, and in a folder of the jobs' root must not be led astray.
func (o Options) asUser(f func() error) error {
	err := o.User.Do(f)
	var unfit *agentdir.DirError
	if o.User != nil && errors.As(err, &unfit) {
		unfit.User = o.User.String()
	}
	return err
}

// Run lives one agent's life to its end. The signals that azptend heard come in
// through heard. It returns when the agent is gone and nothing of it is left
// running.
func Run(o Options, signals <-chan proc.Signal) End {
	return newRunner(o, dirEvents{dir: o.Dir, asUser: o.asUser}).run(signals)
}
