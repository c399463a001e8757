package cli

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/azptend/azptend/internal/agent"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/identity"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/proc"
	"github.com/azptend/azptend/internal/secret"
	"github.com/azptend/azptend/internal/tend"
	"github.com/azptend/azptend/internal/transport"
)

func newRun(p Process) *cobra.Command {
	c := &cobra.Command{
		Use:   "run",
		Short: "Register an agent, run it, and remove it when it is asked to end",
		Long: `Register an agent, run it, and remove it when it is asked to end.

SIGTERM drains: no further job is accepted, the running one is finished within
the grace period, then the agent is removed. Ctrl-C does the same; pressed again
after a second it cancels the job, and once more it kills it.

Every setting has a variable, in brackets below, and a flag; the flag wins. Only
AZP_TOKEN, a personal access token, has no flag: a command line is public.`,
		RunE: func(c *cobra.Command, _ []string) error { return run(p, c.Flags()) },
	}
	c.Flags().SortFlags = false
	config.AddFlags(c.Flags())
	return c
}

// run is one agent's life, in the order that safety wants: signals are caught
// before anything can be lost to one, and the process is closed to its children
// before there are any.
func run(p Process, flags *pflag.FlagSet) error {
	heard, stop := proc.Listen()
	defer stop()
	undumpable := proc.MakeUndumpable()

	hostName, _ := os.Hostname()
	s, err := config.Load(flags, p.Environ, hostName)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	guard := &secret.Guard{}
	guard.Watch(s.Token)
	guard.Watch(s.ProxyPassword())
	log := newLog(guard.Writer(p.Stderr), s)
	if undumpable != nil {
		log.Warn("Jobs of the same user can read this process's identity", "error", undumpable)
	} else if proc.ChildrenMayTrace() {
		log.Warn("Jobs can read this process's identity: they have CAP_SYS_PTRACE", "hint", "run as another user than root, or drop the capability")
	}
	for _, w := range s.Warnings {
		log.Warn("A setting is odd", "what", w)
	}
	if s.Placeholder {
		return holdPlace(p, s, log, guard, heard)
	}
	init, err := proc.NewInit()
	if err != nil {
		explain(p, s, log, guard, err)
		return silent(exitFault)
	}
	defer init.Close()

	end, err := live(p, s, log, guard, init, heard)
	if err != nil {
		explain(p, s, log, guard, err)
		return silent(exitUsage)
	}
	if end.Err != nil && end.Code != 0 {
		explain(p, s, log, guard, end.Err)
	}
	return silent(end.Code)
}

// explain says why a life failed, and what to do: to a person in the voice of
// all commands, to a machine as a line of its log.
func explain(p Process, s config.Settings, log *slog.Logger, guard *secret.Guard, err error) {
	if s.LogFormat == "text" {
		printError(guard.Writer(p.Stderr), err)
		return
	}
	log.Error("Cannot go on", "error", err, "hint", hintFor(err))
}

// connect makes what every command that speaks to Azure DevOps begins with: who
// azptend is, and a client that is it. The error is one of the settings.
func connect(s config.Settings, log *slog.Logger, guard *secret.Guard) (*identity.Identity, *azdo.Client, error) {
	web := transport.ForAzureDevOps(transport.UserAgent(version()), s.Proxy(), s.CA)
	who, err := newIdentity(s, web, log, guard)
	if err != nil {
		return nil, nil, err
	}
	sayIdentity(log, who, s.Identity)
	return who, azdo.New(s.URL, web, who, observer(log)), nil
}

func live(p Process, s config.Settings, log *slog.Logger, guard *secret.Guard, init *proc.Init, heard <-chan proc.Heard) (tend.End, error) {
	who, client, err := connect(s, log, guard)
	if err != nil {
		return tend.End{}, err
	}
	s.AgentName = s.Name(strings.ToLower(rand.Text()[:suffixLength]))
	if s, err = onPlatform(s, log); err != nil {
		return tend.End{}, err
	}
	environ, withheld := agent.Environment(s.Environ, s.PassEnv, s.Unknown)
	if s.NoUpdate {
		environ = append(environ, agent.NoUpdates)
	}
	budget := lifecycle.Split(s.Grace)
	log.Info("Starting", "version", version(), "agent", s.AgentName, "url", s.URL, "pool", s.Pool,
		"once", s.Once, "idle_timeout", s.IdleTimeout.String(),
		"grace", s.Grace.String(), "drain", budget.Drain.String(), "stop", budget.Stop.String(), "remove", budget.Remove.String())
	if budget.Drain == 0 {
		log.Warn("The grace period is too short to finish a job in: on SIGTERM a running job is cancelled", "grace", s.Grace.String())
	}
	if accepts := s.Lifetime(); accepts > 0 {
		log.Info("The agent accepts jobs for a limited time", "accepts_for", accepts.String(),
			"max_lifetime", s.MaxLifetime.String(), "replica_timeout", s.ReplicaTimeout.String())
	}
	log.Debug("Withheld from jobs", "variables", strings.Join(withheld, " "))
	if len(s.PassEnv) > 0 {
		log.Warn("Jobs can read variables that azptend would withhold", "variables", strings.Join(s.PassEnv, " "))
	}
	line := tend.NewLine()
	defer openControl(s, line, log)()
	return tend.Run(tend.Options{
		Began: p.Began,
		URL:   s.URL, PoolName: s.Pool, PoolID: s.PoolID, Name: s.AgentName, HostName: s.HostName,
		WorkFolder: s.WorkFolder, Folder: agent.Folder{Root: s.AgentDir, Diag: s.DiagFolder},
		Once: s.Once, Grace: s.Grace, NameWait: s.NameWait, StrictRemove: s.StrictRemove,
		CancelOnTerm: s.CancelOnTerm, NoUpdate: s.NoUpdate,
		Limits:       lifecycle.Limits{Idle: s.IdleTimeout, Lifetime: s.Lifetime(), Jobs: s.MaxJobs},
		Capabilities: s.Capabilities, Environ: append(environ, s.ForTheAgent()...),
		Token: func(ctx context.Context) error {
			_, err := who.Authorization(ctx, false)
			return err
		},
		Server: client, Processes: tend.FromInit(init), Stdout: p.Stdout, Stderr: p.Stderr, Log: log, Line: line,
	}, heard), nil
}

// observer logs each request for those who debug.
func observer(log *slog.Logger) func(azdo.Observation) {
	return func(o azdo.Observation) {
		log.Debug("Called Azure DevOps", "method", o.Method, "path", o.Path, "status", o.Status, "ms", o.Took.Milliseconds())
	}
}

func newLog(w io.Writer, s config.Settings) *slog.Logger {
	options := &slog.HandlerOptions{Level: s.LogLevel}
	if s.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// suffixLength is of the random suffix of a name: of a thousand agents with one
// prefix, two are called the same once in two million pools.
const suffixLength = 8
