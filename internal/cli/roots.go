package cli

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/install"
	"github.com/azptend/azptend/internal/proc"
	"github.com/azptend/azptend/internal/secret"
)

// makeRoots makes the roots of agents that live apart from the installation, one
// after the other, and returns the settings of each. The error is how `run` ends.
func makeRoots(p Process, s config.Settings, user *proc.User, log *slog.Logger, redactor *secret.Redactor, heard <-chan proc.Signal) ([]config.Settings, error) {
	var each []config.Settings
	for n := range s.Agents {
		each = append(each, s.ForAgent(n+1))
	}
	if !s.HasSeparateRoot() {
		return each, nil
	}
	ctx, stop := contextUntilSignal(heard)
	var failed error
	for i := range each {
		own := each[i]
		each[i], failed = waitBriefly(ctx, func() (config.Settings, error) { return makeRoot(ctx, p, own, user, log) })
		if failed != nil {
			break
		}
	}
	switch {
	case stop():
		log.Info("Left", "exit_code", 0, "why", "asked to end while the agent's root was being made")
		return nil, exitcode.Silent(0)
	case failed != nil:
		explain(heard, p, s, log, redactor, failed)
		return nil, exitcode.Silent(exitcode.OfInstall(failed))
	}
	return each, nil
}

// makeRoot makes the root of one agent, and says what that means for updates. No
// other azptend may live in it meanwhile.
func makeRoot(ctx context.Context, p Process, s config.Settings, user *proc.User, log *slog.Logger) (config.Settings, error) {
	folder := agentdir.Dir{Root: s.Root()}
	release, err := lockOrWait(ctx, folder, s.NameWait, user, log)
	if err != nil {
		return s, err
	}
	defer release()
	var survivor bool
	if err := user.Do(func() error { survivor = folder.PreviousRunKilled(); return nil }); err != nil {
		return s, err
	}
	o := install.RootOptions{
		From: s.AgentDir, Dir: s.Root(), Jobs: install.JobUser{UID: os.Geteuid(), GID: os.Getegid()},
		As: user.Do, PreviousKilled: survivor, OnProgress: installProgress(p, log),
	}
	if user != nil {
		o.Jobs = install.JobUser{UID: user.UID, GID: user.GID}
	}
	done, err := install.MakeRoot(ctx, o)
	if err != nil {
		return s, err
	}
	logRoot(s, done, log)
	if done.Linked() && !s.NoUpdate {
		s.NoUpdate = true
		log.Warn("The agent does not update itself: its root shares files with the installation",
			"root", s.Root(), "hint", "bring AZP_AGENT_DIR (--agent-dir) up to date: the next start makes the root anew from it")
	}
	return s, nil
}

// lockOrWait locks a folder, and waits for another container that is at work in it.
func lockOrWait(ctx context.Context, folder agentdir.Dir, wait time.Duration, user *proc.User, log *slog.Logger) (release func(), err error) {
	ctx, done := context.WithTimeout(ctx, wait)
	defer done()
	for told := false; ; told = true {
		err = user.Do(func() (err error) { release, err = folder.Lock(); return err })
		var unfit *agentdir.DirError
		if err == nil || !errors.As(err, &unfit) || !unfit.InUse || ctx.Err() != nil {
			return release, err
		}
		if !told {
			log.Warn("Waiting for the agent's folder", "name_wait", wait.String(), "error", err)
		}
		select {
		case <-time.After(2 * time.Second):
		case <-ctx.Done():
		}
	}
}

func logRoot(s config.Settings, done install.RootResult, log *slog.Logger) {
	if done.Damage != nil {
		log.Warn("The file that says what the agent's root was made from is damaged: a job may have replaced it", "root", s.Root(), "error", done.Damage)
	}
	where := []any{"root", s.Root(), "from", s.AgentDir}
	switch done.Decision {
	case install.Create:
		log.Info("Made the agent's root", append(where, "method", done.Method, "files", done.Files, "bytes", done.Bytes,
			"copied_bytes", done.Copied, "ms", done.Took.Milliseconds())...)
	case install.Keep:
		log.Info("The agent's root is made from this installation already", append(where, "method", done.Method)...)
	case install.Foreign:
		log.Warn("The agent's root holds an agent that azptend has not put there: it is used as it is", where...)
	case install.Leave:
		log.Warn("The installation has changed, and an earlier life may be at work in the agent's root: the next start makes it anew", where...)
	}
}
