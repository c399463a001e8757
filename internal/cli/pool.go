package cli

import (
	"context"
	"log/slog"
	"os"

	"github.com/spf13/pflag"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/pool"
	"github.com/azptend/azptend/internal/secret"
	"github.com/azptend/azptend/internal/term"
)

// poolSettings are the settings of commands for a pool.
var poolSettings = []config.Group{config.Connection, config.AgentPool}

// withSettings loads settings and calls do with them.
func withSettings(p Process, flags *pflag.FlagSet, groups []config.Group, do func(config.Settings, *slog.Logger, *secret.Redactor) error) error {
	hostName, _ := os.Hostname()
	s, err := config.Load(flags, p.Environ, hostName, groups...)
	if err != nil {
		return exitcode.With(exitcode.Usage, err)
	}
	log, redactor := openLog(p, s)
	return do(s, log, redactor)
}

// poolAction is the action of a command on a pool.
type poolAction func(context.Context, *pool.Pool, config.Settings) error

// withPool calls do with the pool in the settings, for a command that a person starts.
func withPool(ctx context.Context, p Process, flags *pflag.FlagSet, do poolAction) error {
	return withSettings(p, flags, poolSettings, func(s config.Settings, log *slog.Logger, redactor *secret.Redactor) error {
		s.Identity.MaxUnreachable = p.maxUnreachable()
		tended, err := openPool(ctx, p, s, log, redactor, slog.LevelDebug)
		if err != nil {
			return err
		}
		return do(ctx, tended, s)
	})
}

// withPlaceholderPool calls do with the pool in the settings, for a command on a placeholder,
// which may start before the network is up.
func withPlaceholderPool(ctx context.Context, p Process, flags *pflag.FlagSet, do poolAction) error {
	return withSettings(p, flags, placeholderSettings, func(s config.Settings, log *slog.Logger, redactor *secret.Redactor) error {
		tended, err := openPool(ctx, p, s, log, redactor, slog.LevelInfo)
		if err != nil {
			return err
		}
		return do(ctx, tended, s)
	})
}

func openPool(ctx context.Context, p Process, s config.Settings, log *slog.Logger, redactor *secret.Redactor, level slog.Level) (*pool.Pool, error) {
	_, client, err := newClient(s, log, redactor, level)
	if err != nil {
		return nil, err
	}
	return pool.Open(ctx, pool.Options{Server: client, Pool: azdo.PoolRef{ID: s.PoolID, Name: s.Pool}, MaxUnreachable: s.Identity.MaxUnreachable, Log: log, Hint: p.hintFor})
}

// maxUnreachable is how often a command that a person starts tries a host that it cannot reach: on
// a terminal, somebody waits for the error. 0 is no limit.
func (p Process) maxUnreachable() int {
	if term.IsTerminal(p.Stderr) {
		return 2
	}
	return 0
}
