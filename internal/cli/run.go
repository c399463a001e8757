package cli

import (
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/httpclient"
	"github.com/azptend/azptend/internal/identity"
	"github.com/azptend/azptend/internal/install"
	"github.com/azptend/azptend/internal/proc"
	"github.com/azptend/azptend/internal/safefile"
	"github.com/azptend/azptend/internal/secret"
)

func newRun(p Process) *cobra.Command {
	c := &cobra.Command{
		Use:   "run",
		Short: "Register an agent, run it, and remove it when it is asked to end",
		Long: `Register an agent, run it, and remove it when it is asked to end.

SIGTERM drains: no further job is accepted, the running one is finished within
the grace period, then the agent is removed. Ctrl-C does the same; pressed again
after a second it cancels the job, and once more it kills it.`,
		RunE: func(c *cobra.Command, _ []string) error { return run(p, c.Flags()) },
	}
	c.Flags().SortFlags = false
	config.AddFlags(c.Flags())
	return c
}

// run is the life of one agent, or of several, in the order that safety wants: signals are caught
// before anything can be lost to one.
func run(p Process, flags *pflag.FlagSet) error {
	heard, stop := proc.CatchSignals()
	defer stop()
	p.neverWait()
	each, end := proc.Broadcast(heard, 2)
	defer end()
	start := &starting{over: make(chan struct{})}
	return start.run(p, each[0], func() error { return runBeside(p, flags, each[1], start) })
}

// runBeside is run in a goroutine of its own: start has an eye on it.
func runBeside(p Process, flags *pflag.FlagSet, heard <-chan proc.Signal, start *starting) error {
	hostName, _ := os.Hostname()
	s, err := config.Load(flags, p.Environ, hostName)
	if err != nil {
		return exitcode.With(exitcode.Usage, err)
	}
	user, err := runAs(s.RunAs)
	if err != nil {
		return exitcode.With(exitcode.Usage, err)
	}
	// Before there is a child that could use up the threads.
	proc.ReserveThreads(s.Agents)
	if err := user.ReserveThreads(s.Agents); err != nil {
		return err
	}
	log, redactor := openLog(p, s)
	start.log.Store(log)
	s = loadFileToken(s)
	tellOpenings(p, user, log)
	warnExposingParents(s, user, log)
	if s.Placeholder {
		return runPlaceholder(p, s, log, redactor, heard)
	}
	found := s.DetectPlatform()
	found.Log(log, s.Grace, s.ReplicaTimeout)
	if s, err = s.OnPlatform(found); err != nil {
		return exitcode.With(exitcode.Usage, err)
	}
	grace := &graceEnd{}
	page, done, err := openHealth(s, log)
	if err != nil {
		return exitcode.With(exitcode.Usage, err)
	}
	defer closeWithin(grace, log, "the page for probes", closeTimeout, done)()
	if s.Install && !install.HasAgent(s.AgentDir) {
		if ended := installAtStart(p, s, log, redactor, heard); ended != nil {
			return ended
		}
	}
	each, ended := makeRoots(p, s, user, log, redactor, heard)
	if ended != nil {
		return ended
	}
	init, err := proc.NewInit()
	if err != nil {
		explain(heard, p, s, log, redactor, err)
		return exitcode.Silent(exitcode.Internal)
	}
	defer closeWithin(grace, log, "the reaping of processes", closeTimeout, init.Close)()

	end, err := runAgents(p, s, each, page, user, log, redactor, init, heard, grace, start, found.Platform)
	if err != nil {
		explain(heard, p, s, log, redactor, err)
		return exitcode.Silent(exitcode.OfStart(err))
	}
	if end.Err != nil && end.Code != 0 {
		explainEnd(grace, heard, p, s, log, redactor, end.Err)
	}
	return exitcode.Silent(end.Code)
}

// tellOpenings warns of what opens this process's memory to jobs.
func tellOpenings(p Process, user *proc.User, log *slog.Logger) {
	if p.undumpable != nil {
		log.Warn("Jobs of the same user can read this process's identity", "error", p.undumpable)
	} else if names := proc.CapabilitiesToInspect(); user == nil && len(names) > 0 {
		log.Warn("Jobs can read this process's identity: they have "+strings.Join(names, ", "),
			"hint", "set AZP_RUN_AS (--run-as) to a user without privileges, or drop the capability")
	}
}

// explain says why a life failed, and what to do: to a person in the voice of
// all commands, to a machine as a line of its log. The cause is looked for until a
// signal asks azptend to end.
func explain(heard <-chan proc.Signal, p Process, s config.Settings, log *slog.Logger, redactor *secret.Redactor, err error) {
	ctx, stop := contextUntilSignal(heard)
	defer stop()
	say(p, s, log, redactor, diagnose(ctx, s, redactor, err))
}

// explainEnd is explain for agents that have left. While a grace period runs there is
// no time to look for a cause.
func explainEnd(grace *graceEnd, heard <-chan proc.Signal, p Process, s config.Settings, log *slog.Logger, redactor *secret.Redactor, err error) {
	if grace.runs() {
		say(p, s, log, redactor, err)
		return
	}
	explain(heard, p, s, log, redactor, err)
}

// say is explain without the look for a cause.
func say(p Process, s config.Settings, log *slog.Logger, redactor *secret.Redactor, err error) {
	if s.LogFormat == "text" {
		printError(redactor.Writer(p.errors), err)
		return
	}
	log.Error("Cannot go on", "error", err, "hint", hintFor(err))
}

// runAs finds the user that jobs are to run as, and whether that can be; nil is
// the one we are.
func runAs(asked string) (*proc.User, error) {
	if asked == "" {
		return nil, nil
	}
	user, err := proc.LookUpUser(asked)
	if err == nil {
		err = user.CheckRunAs()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot use AZP_RUN_AS (--run-as): %w", err)
	}
	return user, nil
}

func readable(path string) error {
	f, err := safefile.Open(path)
	if err != nil {
		return err
	}
	return f.Close()
}

// connect makes what every command that speaks to Azure DevOps begins with: who
// azptend is, and a client that is it. Observe hears of each request, besides the
// log. The error is one of the settings.
func connect(s config.Settings, log *slog.Logger, redactor *secret.Redactor, observe ...func(azdo.Observation)) (*identity.Identity, *azdo.Client, error) {
	web := httpclient.ForAzureDevOps(httpclient.UserAgent(version()), s.Proxy(), s.CA)
	who, err := newIdentity(s, web, log, redactor)
	if err != nil {
		return nil, nil, err
	}
	logIdentity(log, who, s.Identity)
	client := azdo.New(s.URL, web, who, requestLogger(log, observe...))
	who.UseClock(client.Now) // if this machine's clock jumps, the token is still good
	return who, client, nil
}
