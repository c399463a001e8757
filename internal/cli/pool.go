package cli

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/pool"
	"github.com/azptend/azptend/internal/secret"
)

// poolSettings are the settings of commands for a pool.
var poolSettings = []config.Group{config.Connection, config.AgentPool}

// withSettings loads settings, and calls do with a context that a signal ends.
func withSettings(p Process, flags *pflag.FlagSet, groups []config.Group,
	do func(context.Context, config.Settings, *slog.Logger, *secret.Redactor) error) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	hostName, _ := os.Hostname()
	s, err := config.Load(flags, p.Environ, hostName, groups...)
	if err != nil {
		return exitcode.With(exitcode.Usage, err)
	}
	log, redactor := openLog(p, s)
	return do(ctx, s, log, redactor)
}

// withPool calls do with the pool of the settings.
func withPool(p Process, flags *pflag.FlagSet, groups []config.Group, do func(context.Context, *pool.Pool, config.Settings) error) error {
	return withSettings(p, flags, groups, func(ctx context.Context, s config.Settings, log *slog.Logger, redactor *secret.Redactor) error {
		tended, err := openPool(ctx, p, s, log, redactor)
		if err != nil {
			return err
		}
		return do(ctx, tended, s)
	})
}

func openPool(ctx context.Context, p Process, s config.Settings, log *slog.Logger, redactor *secret.Redactor) (*pool.Pool, error) {
	_, client, err := connect(s, log, redactor)
	if err != nil {
		return nil, err
	}
	return pool.Open(ctx, pool.Options{Server: client, Name: s.Pool, ID: s.PoolID, Log: log, Hint: p.hintFor})
}
