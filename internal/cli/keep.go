package cli

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/keep"
	"github.com/azptend/azptend/internal/pool"
	"github.com/azptend/azptend/internal/secret"
	"github.com/azptend/azptend/internal/text"
)

func newKeep(p Process) *cobra.Command {
	c := &cobra.Command{
		Use:   "keep",
		Short: "Maintain pools: remove ghosts, ensure the placeholder, show the pool",
		Long: `Maintain one or more pools until a signal stops the process.

Every half minute it reads each pool. It removes ghosts, as azptend prune does, and
agents that azptend run --registered left behind. It creates the placeholder if it
is missing. On AZP_KEEP_LISTEN it shows agents, queue and waiting times, as a page
and as metrics for Prometheus.

Several keepers can share a pool. Each needs the Administrator role on it.`,
		RunE: func(c *cobra.Command, _ []string) error { return keepPools(c.Context(), p, c.Flags()) },
	}
	c.Flags().SortFlags = false
	config.AddKeepFlags(c.Flags())
	c.Flags().Lookup("agent-name").Usage = "the placeholder's name; " + pool.DefaultName + " if not set (AZP_AGENT_NAME)"
	c.Flags().Lookup("capability").Usage = "capabilities of the placeholder: name=value, separated by commas (AZP_CAPABILITIES)"
	return c
}

// keepPools runs a keeper of the pools in the settings until a signal. A signal may come at any
// time: a keeper that starts later does what was not done.
func keepPools(ctx context.Context, p Process, flags *pflag.FlagSet) error {
	p.neverWait()
	hostName, _ := os.Hostname()
	s, err := config.LoadKeep(flags, p.Environ, hostName)
	if err != nil {
		return exitcode.With(exitcode.Usage, err)
	}
	log, redactor := openLog(p, s)
	metrics := keep.NewMetrics(version())
	o, err := keepOptions(p, s, metrics, log, redactor)
	if err != nil {
		return exitcode.With(exitcode.Usage, err)
	}
	page, err := listenOptional(s.KeepListen, "AZP_KEEP_LISTEN (--listen)")
	if err != nil {
		return exitcode.With(exitcode.Usage, err)
	}
	health, err := listenOptional(s.KeepHealthListen, "AZP_KEEP_HEALTH_LISTEN (--health-listen)")
	if err != nil {
		return exitcode.With(exitcode.Usage, err)
	}
	log.Info("Keeper started", "version", version(), "url", s.URL, "pools", strings.Join(s.Pools(), ","), "pool_id", s.PoolID,
		"interval", s.KeepInterval.String(), "prune", s.KeepPrune, "older_than", text.Duration(s.Ghosts.OlderThan), "placeholder", s.KeepPlaceholder, "page", pageAddress(page), "health", pageAddress(health))
	if err := runKeeper(ctx, keep.New(o), page, health, s.KeepToken); err != nil {
		printFailure(p, s, log, redactor, diagnose(ctx, s, redactor, err))
		return exitcode.Silent(exitcode.Of(err))
	}
	log.Info("Keeper stopped", "reason", "received a signal")
	return nil
}

func keepOptions(p Process, s config.Settings, metrics *keep.Metrics, log *slog.Logger, redactor *secret.Redactor) (keep.Options, error) {
	_, client, err := newClient(s, log, redactor, slog.LevelInfo, metrics.Observe)
	if err != nil {
		return keep.Options{}, err
	}
	o := keep.Options{
		URL: s.URL, Interval: s.KeepInterval, Metrics: metrics, Log: log, Hint: p.hintFor, Prune: s.KeepPrune,
		Rules: s.Ghosts,
	}
	if s.KeepPlaceholder {
		o.Placeholder = &pool.PlaceholderSpec{Name: cmp.Or(s.AgentName, pool.DefaultName), Capabilities: s.Capabilities}
	}
	add := func(name string, id int) {
		o.Pools = append(o.Pools, keep.PoolSource{Name: name, Open: func(ctx context.Context) (*pool.Pool, error) {
			return pool.Open(ctx, pool.Options{Server: client, Pool: azdo.PoolRef{ID: id, Name: name}, RetryFor: keep.RetryFor})
		}})
	}
	if s.PoolID != 0 {
		add(strconv.Itoa(s.PoolID), s.PoolID)
		return o, nil
	}
	for _, name := range s.Pools() {
		add(name, 0)
	}
	return o, nil
}

func pageAddress(page net.Listener) string {
	if page == nil {
		return "off"
	}
	return "http://" + page.Addr().String() + "/"
}

// listenOptional is Listen, or nil if the address is not set.
func listenOptional(address, setting string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	return Listen(address, setting)
}

// runKeeper runs the keeper with its page and its health listener, if there are any. If one of
// them fails, the keeper ends.
func runKeeper(ctx context.Context, keeper *keep.Keeper, page, health net.Listener, token secret.Text) error {
	all, ctx := errgroup.WithContext(ctx)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if page != nil {
		all.Go(func() error { return keeper.Serve(ctx, page, token) })
	}
	if health != nil {
		all.Go(func() error { return keeper.ServeHealth(ctx, health) })
	}
	all.Go(func() error {
		defer stop()
		return keeper.Run(ctx)
	})
	return all.Wait()
}
