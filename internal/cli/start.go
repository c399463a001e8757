//go:build unix

package cli

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/connlimit"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/health"
	"github.com/azptend/azptend/internal/install"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/pool"
	"github.com/azptend/azptend/internal/proc"
	"github.com/azptend/azptend/internal/safefile"
	"github.com/azptend/azptend/internal/supervisor"
)

// abandonStartAfter is how long the steps before the agents run may take to return after a
// signal.
const abandonStartAfter = closeTimeout + time.Second

// startWatch watches the steps of `run` before the agents handle signals, because these steps
// may hang in a file system.
type startWatch struct {
	agentsRun chan struct{}            // closed when the agents handle signals
	run       atomic.Pointer[agentRun] // nil: the settings are not loaded yet
}

// watch calls do, which starts the agents and returns when they have exited. If a signal
// arrives, and do neither starts an agent nor returns, watch abandons it: this run has
// registered no agent.
func (w *startWatch) watch(p Process, signals *proc.Signals, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	asked, release := signals.ContextUntilEnd()
	defer release()
	select {
	case err := <-done:
		return err
	case <-w.agentsRun:
		return <-done
	case <-asked.Done():
	}
	select {
	case err := <-done:
		return err
	case <-w.agentsRun:
		return <-done
	case <-time.After(abandonStartAfter):
	}
	log := newLog(p.redactor.Writer(p.errors), *p.settings)
	if r := w.run.Load(); r != nil {
		log = r.log
		supervisor.ReportLeftAgents(r.ownDirs(), r.s.URL, r.log)
	}
	log.Warn("A step of the start does not end: a file system does not respond",
		"hint", "check the mounts of AZP_AGENT_DIR, AZP_AGENT_ROOT, AZP_REGISTERED, AZP_TOKEN_FILE and AZP_CA_FILE")
	logAskedToEnd(log, "stopped before startup finished; a file system does not respond")
	return exitcode.Silent(exitcode.OK)
}

// logAskedToEnd logs the last line of a run that was asked to end before it had an agent.
func logAskedToEnd(log *slog.Logger, reason string) {
	log.Info("Exiting", "exit_code", exitcode.OK, "reason", reason)
}

// prepareDirs installs the agent package, with AZP_INSTALL, and makes the agents' roots, if
// they are separate from the installation. asked is why this run must end now; "" if it must
// not. A step that hangs has locked a directory, so the agent there cannot be removed:
// startWatch abandons the step and reports the agent.
func (r *agentRun) prepareDirs() (asked string, err error) {
	ctx, wasAsked := r.signals.ContextUntilEnd()
	if r.s.Install && !install.HasAgent(r.s.AgentDir) {
		asked, err = "stopped while the agent was being installed", r.install(ctx)
	}
	if err == nil && ctx.Err() == nil && r.s.HasSeparateRoot() {
		asked, err = "stopped while the agent's root was being created", r.makeRoots(ctx)
	}
	if wasAsked() && asked != "" {
		return asked, nil
	}
	return "", err
}

func (r *agentRun) install(ctx context.Context) error {
	chosen, done, err := r.installAgent(ctx, r.s, r.log)
	if err == nil {
		r.log.Info("Installed the agent package", "package", chosen.Kind, "platform", chosen.Platform, "version", chosen.Version, "directory", r.s.AgentDir,
			"files", done.Files, "bytes", done.Bytes, "resumed", done.Resumed, "fetch_ms", done.Fetch.Milliseconds(), "unpack_ms", done.Unpack.Milliseconds())
	}
	return err
}

// runPlaceholder is `run` with AZP_PLACEHOLDER: the same as `placeholder ensure`, but it logs
// instead of printing.
func runPlaceholder(p Process, s config.Settings, log *slog.Logger, signals *proc.Signals) error {
	ctx, asked := signals.ContextUntilEnd()
	defer asked()
	tended, err := openPool(ctx, p, s, log, slog.LevelInfo)
	var done pool.EnsureResult
	if err == nil {
		done, err = ensurePlaceholder(ctx, tended, s)
	}
	if err != nil {
		p.printAgentFailure(log, p.diagnose(ctx, err))
		if asked() {
			return exitcode.Silent(exitcode.Interrupted)
		}
		return exitcode.Silent(exitcode.Of(err))
	}
	log.Info("Placeholder ensured", "outcome", done.Outcome, "agent", done.Agent.Name, "agent_id", done.Agent.ID,
		"pool", tended.Name, "pool_id", tended.ID, "lacked", strings.Join(done.Missing, ","), "disabled", done.Disabled)
	return nil
}

// openHealth serves probes and metrics until done is called, if AZP_HEALTH_ADDR is set. It
// begins before an agent package is installed: that takes minutes, in which probes must
// succeed. An address that is not available is an error in the settings, before anything is
// registered: if a probe fails later, the platform kills the agent during a job.
func openHealth(s config.Settings, log *slog.Logger) (page *health.Server, done func(), err error) {
	page = health.New(version())
	if s.HealthAddr == "" {
		return page, func() {}, nil
	}
	l, err := connlimit.Listen(s.HealthAddr, "AZP_HEALTH_ADDR (--health-addr)")
	if err != nil {
		return nil, nil, err
	}
	log.Info("Health server started", "page", "http://"+l.Addr().String()+"/")
	return page, page.Serve(l, log), nil
}

// makeRoots makes the agents' roots, one after the other.
func (r *agentRun) makeRoots(ctx context.Context) error {
	for i, s := range r.each {
		done, err := install.PrepareRoot(ctx, s.AgentDir, r.dir(s), s.NameWait, installProgress(r.Process, r.log), r.log)
		if err != nil {
			return err
		}
		if done.Method == install.HardLink && !s.NoUpdate {
			r.each[i].NoUpdate = true
			r.log.Warn("The agent does not update itself: its root shares files with the installation",
				"root", s.Root(), "hint", "update the agent in AZP_AGENT_DIR (--agent-dir): the next start creates the root again")
		}
	}
	return nil
}

// dir is the directory of the agent with these settings.
func (r *agentRun) dir(s config.Settings) agentdir.Dir {
	return agentdir.Dir{Root: s.Root(), LogDir: s.DiagFolder, User: r.user}
}

// ownDirs are the directories of the agents that this azptend registers. With AZP_REGISTERED
// there are none, because another azptend removes that agent.
func (r *agentRun) ownDirs() (dirs []agentdir.Dir) {
	for _, s := range r.each {
		if s.Registered == "" {
			dirs = append(dirs, r.dir(s))
		}
	}
	return dirs
}

// logPlan logs the main settings.
func logPlan(s config.Settings, o supervisor.Options, log *slog.Logger) {
	budget := lifecycle.SplitGrace(s.Grace)
	log.Info("Starting", "version", version(), "agent", o.Name, "url", s.URL, "pool", s.Pool, "registered", s.Registered,
		"once", s.Once, "idle_timeout", s.Limits.Idle.String(),
		"grace", s.Grace.String(), "drain", budget.Drain.String(), "stop", budget.Stop.String(), "remove", budget.Remove.String())
	if budget.CancelsJobs() {
		log.Warn("The grace period is too short to finish a job: on SIGTERM a running job is cancelled",
			"grace", s.Grace.String(), "cancelled_after", budget.Drain.String(),
			"hint", "raise the platform's grace period and AZP_GRACE_PERIOD: 8s of it are for cancelling a job, and 2s for removing the agent")
	}
	if accepts := s.Limits.Lifetime; accepts > 0 {
		log.Info("The agent accepts jobs for a limited time", "accepts_for", accepts.String(),
			"max_lifetime", s.MaxLifetime.String(), "replica_timeout", s.ReplicaTimeout.String())
	}
}

// logUser logs which user jobs run as, if it is not azptend's own.
func (r *agentRun) logUser() {
	user := r.user
	if user == nil {
		return
	}
	r.log.Info("The agent and its jobs run as another user", "user", user, "uid", user.UID, "gid", user.GID)
	if r.s.TokenFile != "" && user.Do(func() error { return safefile.CheckReadable(r.s.TokenFile) }) == nil {
		r.log.Warn("Jobs can read the token file", "file", r.s.TokenFile, "hint", "make azptend's user its owner, with mode 0400")
	}
}

// printAgentFailure prints the error that ended a run.
func (p Process) printAgentFailure(log *slog.Logger, err error) {
	if !p.printText(err) {
		log.Error("Agent failed", "error", err, "hint", p.hintFor(err))
	}
}

// exit prints why agents failed, and returns the exit code. During a grace period it does not
// look for the cause, because there is no time.
func (r *agentRun) exit(end supervisor.End) error {
	if end.Err != nil && end.Code != 0 {
		if r.final.Deadline().IsZero() {
			r.explain(end.Err)
		} else {
			r.printAgentFailure(r.log, end.Err)
		}
	}
	return exitcode.Silent(end.Code)
}

// explain looks for the cause of an error, until a signal asks azptend to end, and prints it
// with its hint.
func (r *agentRun) explain(err error) {
	ctx, asked := r.signals.ContextUntilEnd()
	defer asked()
	r.printAgentFailure(r.log, r.diagnose(ctx, err))
}
