//go:build unix

package install

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
)

// PrepareRoot locks the directory of an agent, makes it from an installation, and logs
// what it did. If another container uses the directory, it waits up to wait for that to
// end. The root of an agent that may run on is not changed.
func PrepareRoot(ctx context.Context, from string, root agentdir.Dir, wait time.Duration, onProgress func(Progress), log *slog.Logger) (RootResult, error) {
	release, err := root.LockWithin(ctx, wait, func(err error) {
		log.Warn("Waiting for the agent's directory", "name_wait", wait.String(), "error", err)
	})
	if err != nil {
		return RootResult{}, err
	}
	defer release()
	o := RootOptions{
		From: from, Dir: root.Root, Jobs: JobUser{UID: os.Geteuid(), GID: os.Getegid()}, As: root.User.Do, OnProgress: onProgress,
	}
	if root.User != nil {
		o.Jobs = JobUser{UID: root.User.UID, GID: root.User.GID}
	}
	if err := root.User.Do(func() error { o.PreviousKilled = root.PreviousRunKilled(); return nil }); err != nil {
		return RootResult{}, err
	}
	done, err := MakeRoot(ctx, o)
	if err != nil {
		return RootResult{}, err
	}
	if done.Damage != nil {
		log.Warn("The record of how the agent's root was created is damaged: a job may have replaced it", "root", root.Root, "error", done.Damage)
	}
	where := []any{"root", root.Root, "from", from}
	switch done.Decision {
	case Create:
		log.Info("Made the agent's root", append(where, "method", done.Method, "files", done.Files, "bytes", done.Bytes,
			"copied_bytes", done.Copied, "ms", done.Took.Milliseconds())...)
	case Keep:
		log.Info("The agent's root is up to date with the installation", append(where, "method", done.Method)...)
	case Foreign:
		log.Warn("The agent's root holds an agent that azptend did not create: using it unchanged", where...)
	case Leave:
		log.Warn("The installation has changed, but a previous run may still use the agent's root: the next start creates it again", where...)
	}
	return done, nil
}
