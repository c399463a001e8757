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

// withPool calls do with the pool of the settings.
func withPool(ctx context.Context, p Process, flags *pflag.FlagSet, groups []config.Group, do func(context.Context, *pool.Pool, config.Settings) error) error {
	return withSettings(p, flags, groups, func(s config.Settings, log *slog.Logger, redactor *secret.Redactor) error {
		tended, err := openPool(ctx, p, s, log, redactor)
		if err != nil {
			return err
		}
		return do(ctx, tended, s)
	})
}

func openPool(ctx context.Context, p Process, s config.Settings, log *slog.Logger, redactor *secret.Redactor) (*pool.Pool, error) {
	_, client, err := newClient(s, log, redactor)
	if err != nil {
		return nil, err
	}
	return pool.Open(ctx, pool.Options{Server: client, Pool: azdo.PoolRef{ID: s.PoolID, Name: s.Pool}, Log: log, Hint: p.hintFor})
}
