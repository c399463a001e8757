//go:build unix

package cli

import (
	"context"
	"crypto/rand"
	"log/slog"
	mathrand "math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/bounded"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/control"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/health"
	"github.com/azptend/azptend/internal/httpclient"
	"github.com/azptend/azptend/internal/identity"
	"github.com/azptend/azptend/internal/mslistener"
	"github.com/azptend/azptend/internal/platform"
	"github.com/azptend/azptend/internal/proc"
	"github.com/azptend/azptend/internal/supervisor"
	"github.com/azptend/azptend/internal/systemd"
)

func newRun(p Process) *cobra.Command {
	c := &cobra.Command{
		Use:   "run",
		Short: "Register an agent, run it, and remove it on exit",
		Long: `Register an agent, run it, and remove it on exit.

SIGTERM drains: no further job is accepted, the running one is finished within
the grace period, then the agent is removed. Ctrl-C does the same. A second
Ctrl-C, at least a second later, cancels the job; a third one kills it, and a
fourth one exits at once.`,
		RunE: func(c *cobra.Command, _ []string) error { return run(p, c.Flags()) },
	}
	c.Flags().SortFlags = false
	config.AddFlags(c.Flags())
	return c
}

// minCloseTimeout is the timeout of the final steps if the grace period is over.
const minCloseTimeout = 50 * time.Millisecond

// agentRun is the state that the steps of `run` and of `register` share.
type agentRun struct {
	Process
	s       config.Settings
	log     *slog.Logger
	signals *proc.Signals
	user    *proc.User          // the user that jobs run as; nil: azptend's own
	each    []config.Settings   // the settings of each agent
	final   *bounded.FinalSteps // its deadline is the end of the grace period
}

// openRun opens the log for these settings.
func openRun(p Process, s config.Settings, signals *proc.Signals) *agentRun {
	log := openLog(p, s)
	return &agentRun{Process: p, s: s, log: log, signals: signals, final: &bounded.FinalSteps{Log: log, Least: minCloseTimeout}}
}

// run runs one or several agents. It catches signals before anything else, and until the
// process exits: a second SIGTERM must not kill it before its log is written.
func run(p Process, flags *pflag.FlagSet) error {
	signals, _ := proc.CatchSignals()
	p.neverWait()
	start := &startWatch{agentsRun: make(chan struct{})}
	return start.watch(p, signals, func() error { return runAgents(p, flags, signals, start) })
}

// runAgents runs the agents. run calls it in a goroutine, and start watches that.
func runAgents(p Process, flags *pflag.FlagSet, signals *proc.Signals, start *startWatch) error {
	hostName, _ := os.Hostname()
	s, err := config.Load(flags, p.Environ, hostName)
	if err != nil {
		return exitcode.With(exitcode.Usage, err)
	}
	user, err := proc.RunAs(s.RunAs)
	if err != nil {
		return exitcode.With(exitcode.Usage, err)
	}
	// Before there is a child that could use up the threads of the container.
	if err := proc.ReserveThreads(s.Agents, user); err != nil {
		return err
	}
	s = s.WithFileToken()
	r := openRun(p, s, signals)
	r.user = user
	mslistener.WarnExposed(user, s.Secrets(), p.undumpable, r.log)
	if s.Placeholder {
		return runPlaceholder(p, s, r.log, signals)
	}
	found := s.DetectPlatform()
	found.Log(r.log, s.Grace, s.ReplicaTimeout)
	if r.s, err = s.OnPlatform(found); err != nil {
		return exitcode.With(exitcode.Usage, err)
	}
	for n := range r.s.Agents {
		r.each = append(r.each, r.s.ForAgent(n+1))
	}
	start.run.Store(r)
	proc.EndOnSignal(context.Background(), r.final, signals.Subscribe(context.Background()), r.s.Grace)
	page, closePage, err := openHealth(r.s, r.log)
	if err != nil {
		return exitcode.With(exitcode.Usage, err)
	}
	defer r.final.Do("closing the health page", closeTimeout, closePage)
	asked, err := r.prepareDirs()
	switch {
	case err != nil:
		supervisor.ReportLeftAgents(r.ownDirs(), r.s.URL, r.log)
		r.explain(err)
		return exitcode.Silent(exitcode.OfInstall(err))
	case asked != "" && len(supervisor.LeftAgents(r.ownDirs())) == 0:
		logAskedToEnd(r.log, asked)
		return exitcode.Silent(exitcode.OK)
	}
	// If a killed run left an agent, a run that was asked to end goes on: it removes that
	// agent, registers none, and exits.
	init, err := proc.NewInit()
	if err != nil {
		r.explain(err)
		return exitcode.Silent(exitcode.Internal)
	}
	defer r.final.Do("reaping processes", closeTimeout, init.Close)
	end, err := r.superviseAgents(init, page, found.Platform, start)
	if err != nil {
		supervisor.ReportLeftAgents(r.ownDirs(), r.s.URL, r.log)
		r.explain(err)
		return exitcode.Silent(exitcode.OfStart(err))
	}
	return r.exit(end)
}

// superviseAgents runs the agents, with the control socket, metrics, systemd and scheduled
// events. An error is caused by the settings.
func (r *agentRun) superviseAgents(init *proc.Init, page *health.Server, on platform.Platform, start *startWatch) (supervisor.End, error) {
	common, err := r.agentOptions(page)
	if err != nil {
		return supervisor.End{}, err
	}
	common.Processes = mslistener.InitProcesses{Init: init}
	if len(r.each) > 1 { // each agent locks its own root
		release, err := agentdir.Dir{Root: r.s.Root()}.Lock()
		if err != nil {
			return supervisor.End{}, err
		}
		defer r.final.Do("unlocking the agents' directory", closeTimeout, release)
	}
	var agents []supervisor.Options
	for i, own := range r.each {
		o, err := r.oneAgent(common, own, i)
		if err != nil {
			return supervisor.End{}, err
		}
		o.Observer = page.ForAgent(o.Name)
		agents = append(agents, o)
	}
	r.logUser()
	maintenance := platform.NewMaintenance(on, httpclient.ForIdentity(), r.s.Grace, r.s.ApproveEvents, r.log)
	// If a killed run left an agent, do not wait for a scheduled event to be over: remove the
	// agent, because this machine may never start azptend again. The event ends this run then.
	if len(supervisor.LeftAgents(r.ownDirs())) == 0 {
		ctx, asked := r.signals.ContextUntilEnd()
		if maintenance.WaitUntilOver(ctx); asked() {
			end := supervisor.End{Why: "stopped before an agent was started"}
			logAskedToEnd(r.log, end.Why)
			return end, nil
		}
	}
	group := supervisor.NewGroup(agents...)
	defer r.final.Do("unlocking the listeners' logs", closeTimeout, group.LockLogs())
	page.SetAgent(group)
	closeControl := control.Open(controlLocation(r.s), group, r.log)
	defer r.final.Do("closing the control socket", closeTimeout, func() { closeControl(r.final.Limit(closeTimeout) / 2) })
	defer r.final.Do("closing the systemd socket", closeTimeout, systemd.Start(systemd.NotifyOptions{
		Socket: r.s.Getenv("NOTIFY_SOCKET"), WatchdogUsec: r.s.Getenv("WATCHDOG_USEC"), WatchdogPid: r.s.Getenv("WATCHDOG_PID"), Pid: os.Getpid(),
	}, group, r.log))
	defer r.final.Do("ending the watch for scheduled events", platform.ApprovalTimeout+closeTimeout, watchMaintenance(maintenance, group))
	close(start.agentsRun)
	end := group.Run(r.signals)
	r.final.EndBy(group.Deadline())
	return end, nil
}

// watchMaintenance drains the agents before Azure ends this machine, until done is called.
func watchMaintenance(maintenance *platform.Maintenance, group *supervisor.Group) (done func()) {
	ctx, cancel := context.WithCancel(context.Background())
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		maintenance.Watch(ctx, func(reason string, by time.Time) { _, _ = group.DrainBy(ctx, reason, by) })
	}()
	return func() {
		cancel()
		<-watching
		maintenance.Approve()
	}
}

// agentOptions are the options that all agents have in common. An agent that another azptend
// registered has no identity. An error is caused by the settings or the directory.
func (r *agentRun) agentOptions(page *health.Server) (supervisor.Options, error) {
	s := r.s
	o := supervisor.Options{
		Policy: s.Policy, ProcessStarted: r.Began, HostName: s.HostName, WorkFolder: s.WorkFolder,
		ReplaceForeignFiles: s.ReplaceFiles, Log: r.log, Hint: r.hintFor,
	}
	if s.Registered != "" {
		given, err := agentdir.Dir{Root: s.Registered}.ReadHandoff()
		o.Handoff, o.Name = &given, given.Registration.AgentName
		return o, err
	}
	o.URL, o.Pool, o.Capabilities, o.Group, o.JitterSeed = s.URL, s.PoolRef(), s.Capabilities, s.AgentGroup, mathrand.Uint64()
	who, client, err := r.newClient(s, r.log, slog.LevelInfo, page.Observe)
	if err != nil {
		return supervisor.Options{}, err
	}
	who.OnFetch = func(f identity.Fetch) { page.TokenFetched(string(f.Source), f.Expires, f.Err) }
	o.Name, o.Server = randomName(s), client
	o.ClockAhead = func() time.Duration { return time.Until(client.Now()) }
	return o, nil
}

// oneAgent completes the options for agent i. It logs common values only for the first.
func (r *agentRun) oneAgent(o supervisor.Options, s config.Settings, i int) (supervisor.Options, error) {
	once := r.log
	if i > 0 {
		once = slog.New(slog.DiscardHandler)
	}
	if len(r.each) > 1 {
		o.Name, o.JitterSeed = randomName(s), mathrand.Uint64()
	}
	o.Dir = r.dir(s)
	o.NoUpdate = s.NoUpdate
	var err error
	if s.CAFile, err = mslistener.CABundle(o.Dir, s.CA, s.CAFile, s.Environ, once); err != nil {
		return o, err
	}
	o.Environ = append(mslistener.EnvFilter{Secrets: s.Secrets(), Names: s.UnknownNames, Pass: s.PassEnv}.Environment(s.Environ, once), s.AgentEnviron()...)
	o.Printer.Log = newLog(r.redactor.Writer(r.errors.LowPriority()), s)
	if len(r.each) == 1 && s.LogFormat == "text" { // a person reads it
		o.Printer.Stdout = r.redactor.Writer(r.prints.LowPriority())
		if o.Printer.Stderr = o.Printer.Stdout; r.prints != r.errors {
			o.Printer.Stderr = r.redactor.Writer(r.errors.LowPriority())
		}
	}
	logPlan(s, o, r.log)
	return o, nil
}

// randomName is the agent's name, with a random suffix if the settings have a prefix. In a
// pool with a thousand agents of one prefix, the probability that two have the same suffix is
// one in two million.
func randomName(s config.Settings) string { return s.Name(strings.ToLower(rand.Text()[:8])) }
