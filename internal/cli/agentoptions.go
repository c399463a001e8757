package cli

import (
	"context"
	"crypto/rand"
	"log/slog"
	mathrand "math/rand/v2"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/health"
	"github.com/azptend/azptend/internal/lifecycle"
	"github.com/azptend/azptend/internal/platform"
	"github.com/azptend/azptend/internal/proc"
	"github.com/azptend/azptend/internal/secret"
	"github.com/azptend/azptend/internal/supervisor"
)

// runAgents lives the lives of this process's agents; of s are the settings that they
// have in common, and the page shows them. The error is one of the settings.
func runAgents(p Process, s config.Settings, each []config.Settings, page *health.Server, user *proc.User, log *slog.Logger, redactor *secret.Redactor, init *proc.Init, heard <-chan proc.Signal, grace *graceEnd, start *starting, on platform.Platform) (supervisor.End, error) {
	common, err := registration(p, s, page, log, redactor)
	if err != nil {
		return supervisor.End{}, err
	}
	if len(each) > 1 { // each agent's own root is locked by its life
		release, err := agentdir.Dir{Root: s.Root()}.Lock()
		if err != nil {
			return supervisor.End{}, err
		}
		defer release()
	}
	var all []supervisor.Options
	var lines supervisor.Group
	for i, own := range each {
		first := log // what they have in common is said once
		if i > 0 {
			first = slog.New(slog.DiscardHandler)
		}
		if own, err = withCABundle(own, user, first); err != nil {
			return supervisor.End{}, err
		}
		o := agentOptions(p, own, common, user, first)
		defer closeWithin(grace, log, "the lock of the listener's logs", closeTimeout, lockLogs(o.Dir, user, log))()
		o.Processes, o.Shared = supervisor.FromInit(init), len(each) > 1
		if len(each) > 1 {
			o.Name, o.JitterSeed = nameOf(own), mathrand.Uint64()
		}
		o.Observer = page.ForAgent(o.Name)
		logPlan(own, o, log)
		all, lines = append(all, o), append(lines, o.Handle)
	}
	logUser(s, user, log)
	notices := newMaintenance(s, on, log)
	if !previousRunKilled(each, user) {
		if end := notices.waitForMaintenance(heard); end != nil {
			return *end, nil
		}
	}
	page.SetAgent(statusAdapter{lines})
	defer closeWithin(grace, log, "the control socket", closeTimeout, openControl(s, lines, grace, log))()
	defer closeWithin(grace, log, "systemd", closeTimeout, notifySystemd(s, lines, log))()
	defer closeWithin(grace, log, "the scheduled events", approvalTimeout+closeTimeout, notices.watch(lines))()
	if common.Presence != nil {
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		go common.Presence.Run(ctx)
	}
	start.begun()
	return runAll(p, s, all, init, log, heard, lines, grace), nil
}

// lockLogs says so where the listener's logs are to be among another agent's: its
// life reads in them how its listener ended.
func lockLogs(f agentdir.Dir, user *proc.User, log *slog.Logger) func() {
	release, shared := func() {}, false
	_ = user.Do(func() error { release, shared = f.LockLogDir(); return nil })
	if shared {
		log.Warn("Another azptend keeps its listener's logs in the same folder: how that one ends may be taken for this one's end", "folder", f.LogDir,
			"hint", "give each agent an AGENT_DIAGLOGPATH of its own")
	}
	return release
}

// agentOptions is what one agent's life needs.
func agentOptions(p Process, s config.Settings, o supervisor.Options, user *proc.User, log *slog.Logger) supervisor.Options {
	o.WorkFolder, o.Dir = s.WorkFolder, agentdir.Dir{Root: s.Root(), LogDir: s.DiagFolder}
	o.NoUpdate = s.NoUpdate
	o.Environ, o.User = environment(s, user, log), user
	o.Handle = supervisor.NewHandle()
	return o
}

// previousRunKilled says that an azptend was killed in the folder of one of the agents, so
// that its agent may be in its pool still. That is removed whatever is announced:
// there may be no other start on this machine. The life that does so hears of the
// notice itself, and ends.
func previousRunKilled(each []config.Settings, user *proc.User) (left bool) {
	for _, s := range each {
		if s.Registered != "" { // somebody else removes it
			continue
		}
		_ = user.Do(func() error { left = left || agentdir.Dir{Root: s.Root()}.MayHaveLeftAgent(); return nil })
	}
	return left
}

// registration is what registering an agent takes, or running one that somebody
// else has registered: that takes no identity, and gets none.
func registration(p Process, s config.Settings, page *health.Server, log *slog.Logger, redactor *secret.Redactor) (supervisor.Options, error) {
	o := supervisor.Options{ProcessStarted: p.Began, Log: log, Hint: hintFor}
	o.Policy, o.ReplaceForeignFiles = s.Policy, s.ReplaceFiles
	if s.Registered != "" {
		given, err := agentdir.Dir{Root: s.Registered}.ReadHandoff()
		if err != nil {
			return supervisor.Options{}, err
		}
		o.Handoff, o.Name = &given, given.Registration.AgentName
		return o, nil
	}
	who, client, err := connect(s, log, redactor, page.Observe)
	if err != nil {
		return supervisor.Options{}, err
	}
	countTokens(who, page)
	o.URL, o.PoolName, o.PoolID, o.HostName = s.URL, s.Pool, s.PoolID, s.HostName
	o.Name = nameOf(s)
	o.Capabilities, o.Server = s.Capabilities, client
	o.JitterSeed = mathrand.Uint64()
	o.Presence = supervisor.NewPresenceChecker(client, log)
	o.ClockAhead = func() time.Duration { return time.Until(client.Now()) }
	o.Token = func(ctx context.Context) error {
		_, err := who.Authorization(ctx, secret.Text{})
		return err
	}
	return o, nil
}

// nameOf is the agent's name, unique where a prefix asks for that.
func nameOf(s config.Settings) string { return s.Name(strings.ToLower(rand.Text()[:suffixLength])) }

// suffixLength is of the random suffix of a name: of a thousand agents with one
// prefix, two are called the same once in two million pools.
const suffixLength = 8

// logPlan says once what was decided before anything happens.
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

func logUser(s config.Settings, user *proc.User, log *slog.Logger) {
	if user == nil {
		return
	}
	log.Info("The agent and its jobs run as another user", "user", user, "uid", user.UID, "gid", user.GID)
	if s.TokenFile != "" && user.Do(func() error { return readable(s.TokenFile) }) == nil {
		log.Warn("Jobs can read the token file", "file", s.TokenFile, "hint", "make it azptend's user's, with mode 0400")
	}
}

// envFilter says what jobs do not get of azptend's environment.
func envFilter(s config.Settings) agentdir.EnvFilter {
	return agentdir.EnvFilter{Secrets: reveal(s.Secrets()), Names: s.UnknownNames, Pass: s.PassEnv}
}

func reveal(texts []secret.Text) []string {
	var values []string
	for _, t := range texts {
		values = append(values, t.Reveal())
	}
	return values
}

// environment is what the listener and its jobs get to see.
func environment(s config.Settings, user *proc.User, log *slog.Logger) []string {
	rules := envFilter(s)
	environ, withheld := rules.Apply(s.Environ)
	log.Debug("Withheld from jobs", "variables", strings.Join(withheld, " "))
	if names := rules.WithheldByValue(s.Environ); len(names) > 0 {
		log.Info("Withheld from jobs: variables that hold a secret of azptend", "variables", strings.Join(names, " "),
			"hint", "AZP_PASS_ENV (--pass-env) hands a variable on")
	}
	if len(s.PassEnv) > 0 {
		log.Warn("Jobs can read variables that azptend would withhold", "variables", strings.Join(s.PassEnv, " "))
	}
	if names := agentdir.UnmaskedProxyPasswords(environ); len(names) > 0 {
		log.Warn("Jobs can read the password of a proxy, and the agent publishes it as a capability", "variables", strings.Join(names, " "),
			"hint", "set AZP_PROXY instead: the agent masks what it gets from that")
	}
	environ = user.Environ(environ, s.Root())
	if s.NoUpdate {
		environ = append(environ, agentdir.DisableUpdates)
	}
	if s.DiagFolder != "" { // of several agents, each its own
		environ = append(environ, "AGENT_DIAGLOGPATH="+s.DiagFolder)
	}
	return append(environ, s.AgentEnviron()...)
}
