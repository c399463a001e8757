//go:build unix

package cli

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/health"
	"github.com/azptend/azptend/internal/mslistener"
	"github.com/azptend/azptend/internal/proc"
	"github.com/azptend/azptend/internal/supervisor"
)

func newRegister(p Process) *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "register --out DIR",
		Short: "Register an agent, and write its files for another azptend",
		Long: `Register an agent and write its files into a directory. Use it in an init container, or on another machine, and give the identity to that place only. "azptend run --registered DIR" then runs the agent without an identity, so jobs find none. run cannot remove the agent; its owner tag asks a keeper to remove it.

If the directory holds an earlier registration of this host, register removes that agent first.`,
		RunE: func(c *cobra.Command, _ []string) error { return register(p, c.Flags(), out) },
	}
	c.Flags().SortFlags = false
	c.Flags().StringVar(&out, "out", "", "directory for the agent's files; created if it is missing")
	config.AddFlags(c.Flags(), registerGroups()...)
	return c
}

// registerGroups are the settings of a registration.
func registerGroups() []config.Group {
	return []config.Group{config.Connection, config.AgentPool, config.Agent, config.Naming}
}

// registerGrace is how long register may take to remove the agent after a signal. It is less
// than the grace period of any platform.
const registerGrace = 10 * time.Second

func register(p Process, flags *pflag.FlagSet, out string) error {
	signals, _ := proc.CatchSignals() // until the process exits, as in run
	p.neverWait()
	hostName, _ := os.Hostname()
	s, err := config.Load(flags, p.Environ, hostName, registerGroups()...)
	if err != nil {
		return exitcode.With(exitcode.Usage, err)
	}
	if !filepath.IsAbs(out) {
		return exitcode.With(exitcode.Usage, &config.InvalidError{LogFormat: s.LogFormat, Problems: []config.Problem{{
			What: "--out is not an absolute path", Hint: "set --out to the absolute path of a directory, such as /shared/agent"}}})
	}
	r := openRun(p, s, signals)
	init, err := proc.NewInit()
	if err != nil {
		return err
	}
	proc.EndOnSignal(context.Background(), r.final, signals.Subscribe(context.Background()), registerGrace)
	defer r.final.Do("reaping processes", closeTimeout, init.Close)
	o, err := r.agentOptions(health.New(version())) // its metrics are not served
	if err != nil {
		return exitcode.With(exitcode.OfStart(err), err)
	}
	o.RegisterOnly, o.Grace = true, registerGrace
	o.Dir, o.Processes = agentdir.Dir{Root: out}, mslistener.InitProcesses{Init: init}
	group := supervisor.NewGroup(o)
	end := group.Run(signals)
	r.final.EndBy(group.Deadline())
	return r.exit(end)
}
