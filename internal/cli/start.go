package cli

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/bounded"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/install"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/proc"
	"github.com/azptend/azptend/internal/safefile"
	"github.com/azptend/azptend/internal/secret"
	"github.com/azptend/azptend/internal/supervisor"
)

// startTimeout is how long the steps before the agents run may take to end after a signal.
const startTimeout = closeTimeout + time.Second

// starting is what `run` does before the agents handle signals. It reads files that may
// be on a file system that does not answer.
type starting struct {
	over chan struct{} // closed when the agents handle signals
	log  atomic.Pointer[slog.Logger]
}

// begun says that the agents handle signals from now on.
func (s *starting) begun() { close(s.over) }

// watch calls do, which starts the agents and returns when they have exited. If a signal
// asks for the end, and do neither starts an agent nor returns, watch abandons it: this
// run has registered no agent.
func (s *starting) watch(p Process, signals <-chan proc.Signal, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	var late <-chan time.Time
	for {
		select {
		case err := <-done:
			return err
		case <-s.over:
			return <-done
		case h := <-signals:
			if late == nil && (h.Action == proc.Drain || h.Action == proc.Interrupt) {
				late = time.After(startTimeout)
			}
		case <-late:
			log := s.log.Load()
			if log == nil { // the settings are not loaded yet
				log = newLog(p.redactor.Writer(p.errors), config.Settings{LogFormat: "text"})
			}
			log.Warn("Exiting", "exit_code", 0, "reason", "stopped before startup finished; a file system does not respond",
				"hint", "check the mounts of AZP_AGENT_DIR, AZP_REGISTERED, AZP_TOKEN_FILE and AZP_CA_FILE")
			return exitcode.Silent(0)
		}
	}
}

// contextUntilSignal returns a context that ends when a signal asks azptend to end. After
// stop, which reports whether one did, others receive the signals.
func contextUntilSignal(signals <-chan proc.Signal) (ctx context.Context, stop func() (asked bool)) {
	ctx, cancel := context.WithCancel(context.Background())
	done, received := make(chan struct{}), false
	go func() {
		defer close(done)
		for {
			select {
			case s := <-signals:
				if s.Action == proc.Drain || s.Action == proc.Interrupt {
					received = true
					cancel()
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, func() bool {
		cancel()
		<-done
		return received
	}
}

// install installs the agent package before the start, with AZP_INSTALL. Nil is success.
func (r *agentRun) install() error {
	ctx, stop := contextUntilSignal(r.signals)
	var chosen install.Package
	done, err := bounded.CallLonger(ctx, closeTimeout, func() (done install.Result, err error) {
		chosen, done, err = installAgent(ctx, r.Process, r.s, r.log, r.redactor)
		return done, err
	})
	if ended := r.startFailed(stop(), "stopped while the agent was being installed", err); ended != nil {
		return ended
	}
	r.log.Info("Installed the agent package", "package", chosen.Kind, "platform", chosen.Platform, "version", chosen.Version, "directory", r.s.AgentDir,
		"files", done.Files, "bytes", done.Bytes, "resumed", done.Resumed, "fetch_ms", done.Fetch.Milliseconds(), "unpack_ms", done.Unpack.Milliseconds())
	return nil
}

// startFailed is how `run` ends if a step before the agents was interrupted, or failed;
// nil if neither.
func (r *agentRun) startFailed(asked bool, reason string, err error) error {
	switch {
	case asked:
		r.log.Info("Exiting", "exit_code", 0, "reason", reason)
		return exitcode.Silent(0)
	case err != nil:
		r.explain(err)
		return exitcode.Silent(exitcode.OfInstall(err))
	}
	return nil
}

// makeRoots returns the settings of each agent, and makes their roots, one after the
// other, if they are apart from the installation. The error is how `run` ends.
func (r *agentRun) makeRoots(user *proc.User) ([]config.Settings, error) {
	var each []config.Settings
	for n := range r.s.Agents {
		each = append(each, r.s.ForAgent(n+1))
	}
	if !r.s.HasSeparateRoot() {
		return each, nil
	}
	ctx, stop := contextUntilSignal(r.signals)
	var failed error
	for i, s := range each {
		var done install.RootResult
		done, failed = bounded.CallLonger(ctx, closeTimeout, func() (install.RootResult, error) {
			return install.PrepareRoot(ctx, s.AgentDir, agentdir.Dir{Root: s.Root(), User: user}, s.NameWait, installProgress(r.Process, r.log), r.log)
		})
		if failed != nil {
			break
		}
		if done.Method == install.HardLink && !s.NoUpdate {
			each[i].NoUpdate = true
			r.log.Warn("The agent does not update itself: its root shares files with the installation",
				"root", s.Root(), "hint", "update the agent in AZP_AGENT_DIR (--agent-dir): the next start creates the root again")
		}
	}
	return each, r.startFailed(stop(), "stopped while the agent's root was being created", failed)
}

// logPlan logs the settings that decide what follows.
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

// logUser logs which user jobs run as, if that is not azptend's.
func (r *agentRun) logUser(user *proc.User) {
	if user == nil {
		return
	}
	r.log.Info("The agent and its jobs run as another user", "user", user, "uid", user.UID, "gid", user.GID)
	if r.s.TokenFile != "" && user.Do(func() error { return readable(r.s.TokenFile) }) == nil {
		r.log.Warn("Jobs can read the token file", "file", r.s.TokenFile, "hint", "make azptend's user its owner, with mode 0400")
	}
}

func readable(path string) error {
	f, err := safefile.Open(path)
	if err != nil {
		return err
	}
	return f.Close()
}

// exit explains why agents failed, and returns their exit code. While a grace period runs,
// there is no time to look for the cause.
func (r *agentRun) exit(end supervisor.End) error {
	if end.Err != nil && end.Code != 0 {
		if r.final.Deadline.IsZero() {
			r.explain(end.Err)
		} else {
			printFailure(r.Process, r.s, r.log, r.redactor, end.Err)
		}
	}
	return exitcode.Silent(end.Code)
}

// explain looks for the cause of an error, until a signal asks azptend to end, and prints
// it with what to do.
func (r *agentRun) explain(err error) {
	ctx, stop := contextUntilSignal(r.signals)
	defer stop()
	printFailure(r.Process, r.s, r.log, r.redactor, diagnose(ctx, r.s, r.redactor, err))
}

// printFailure prints an error with what to do: for a person as all commands do, for a
// program as a line of the log.
func printFailure(p Process, s config.Settings, log *slog.Logger, redactor *secret.Redactor, err error) {
	if s.LogFormat == "text" {
		p.printError(redactor.Writer(p.errors), err)
		return
	}
	log.Error("Agent failed", "error", err, "hint", p.hintFor(err))
}
