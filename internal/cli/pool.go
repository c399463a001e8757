package cli

import (
	"context"
	"log/slog"
	"os"
	"slices"

	"github.com/spf13/pflag"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/pool"
	"github.com/azptend/azptend/internal/term"
)

// poolSettings are the settings of commands for a pool.
var poolSettings = []config.Group{config.Connection, config.AgentPool}

// withSettings loads the settings of a command, and calls do with them. A command with an agent's
// settings, such as placeholder ensure, may run in a container that starts before its network: it
// retries. Others are started by a person, who waits for the error.
func withSettings(p Process, flags *pflag.FlagSet, groups []config.Group, do func(config.Settings, *slog.Logger) error) error {
	hostName, _ := os.Hostname()
	s, err := config.Load(flags, p.Environ, hostName, groups...)
	if err != nil {
		return exitcode.With(exitcode.Usage, err)
	}
	if !slices.Contains(groups, config.Agent) {
		s.Identity.MaxUnreachable = p.maxUnreachable()
	}
	return do(s, openLog(p, s))
}

// withPool calls do with the pool in the settings. It logs the identity at this level.
func withPool(ctx context.Context, p Process, flags *pflag.FlagSet, groups []config.Group, level slog.Level, do func(context.Context, *pool.Pool, config.Settings) error) error {
	return withSettings(p, flags, groups, func(s config.Settings, log *slog.Logger) error {
		opened, err := openPool(ctx, p, s, log, level)
		if err != nil {
			return err
		}
		return do(ctx, opened, s)
	})
}

func openPool(ctx context.Context, p Process, s config.Settings, log *slog.Logger, level slog.Level) (*pool.Pool, error) {
	_, client, err := p.newClient(s, log, level)
	if err != nil {
		return nil, err
	}
	return pool.Open(ctx, pool.Options{Server: client, Pool: s.PoolRef(), MaxUnreachable: s.Identity.MaxUnreachable, Log: log, Hint: p.hintFor})
}

// maxUnreachable is how often a command that a person starts tries a host that it cannot reach: on
// a terminal, somebody waits for the error. 0 is no limit.
func (p Process) maxUnreachable() int {
	if term.IsTerminal(p.Stderr) {
		return 2
	}
	return 0
}
