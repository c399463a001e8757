package cli

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/connlimit"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/keep"
	"github.com/azptend/azptend/internal/pool"
	"github.com/azptend/azptend/internal/term"
	"github.com/azptend/azptend/internal/text"
)

func newKeep(p Process) *cobra.Command {
	var check bool
	c := &cobra.Command{
		Use:   "keep",
		Short: "Maintain pools: remove ghosts, ensure the placeholder, show the pool",
		Long: `Maintain one or more pools until a signal stops the process.

Every half minute it reads each pool. It removes ghosts, as azptend prune does, and
agents that azptend run --registered left behind. It creates the placeholder if it
is missing. On AZP_KEEP_LISTEN it shows agents, queue and waiting times, as a page
and as metrics for Prometheus.

With AZP_KEEP_GROUPS_FILE it tells an autoscaler how many agents each group should
have (/scale/GROUP). --check checks the file and all other settings.

Several keepers can share a pool. Each needs the Administrator role on it.`,
		RunE: func(c *cobra.Command, _ []string) error { return keepPools(c.Context(), p, c.Flags(), check) },
	}
	c.Flags().SortFlags = false
	c.Flags().BoolVar(&check, "check", false, "check the settings and exit, without a request to the server")
	config.AddKeepFlags(c.Flags())
	c.Flags().Lookup("agent-name").Usage = "the placeholder's name; " + pool.DefaultName + " if not set (AZP_AGENT_NAME)"
	c.Flags().Lookup("capability").Usage = "capabilities of the placeholder: name=value, separated by commas (AZP_CAPABILITIES)"
	return c
}

// keepPools runs a keeper of the pools in the settings until a signal, or only checks them. A signal
// may come at any time: a keeper that starts later does what was not done.
func keepPools(ctx context.Context, p Process, flags *pflag.FlagSet, check bool) error {
	p.neverWait()
	hostName, _ := os.Hostname()
	s, err := config.LoadKeep(flags, p.Environ, hostName)
	if err != nil {
		return exitcode.With(exitcode.Usage, err)
	}
	log := openLog(p, s)
	if check {
		out := &term.Output{W: p.redactor.Writer(p.Stdout)}
		printGroups(out, s.Groups, time.Now())
		if err := out.Err(); err != nil {
			return exitcode.With(exitcode.Internal, err)
		}
		return nil
	}
	metrics := keep.NewMetrics(version())
	o, err := p.keepOptions(s, metrics, log)
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
	if err := keep.New(o).RunAndServe(ctx, page, health, s.KeepToken); err != nil {
		if err := p.diagnose(ctx, err); !p.printText(err) {
			log.Error("Keeper failed", "error", err, "hint", p.hintFor(err))
		}
		return exitcode.Silent(exitcode.Of(err))
	}
	log.Info("Keeper stopped", "reason", "received a signal")
	return nil
}

// printGroups prints what --check has read.
func printGroups(out *term.Output, groups []pool.Group, now time.Time) {
	fmt.Fprintln(out, "The settings are valid.")
	for _, g := range groups {
		where := ""
		if g.Pool != "" {
			where = " of pool " + g.Pool
		}
		fmt.Fprintf(out, "group %s%s: at most %s, %d warm now\n", g.Name, where, text.Count(g.Max, "agent"), g.WarmAt(now))
	}
}

func (p Process) keepOptions(s config.Settings, metrics *keep.Metrics, log *slog.Logger) (keep.Options, error) {
	_, client, err := p.newClient(s, log, slog.LevelInfo, metrics.Observe)
	if err != nil {
		return keep.Options{}, err
	}
	o := keep.Options{
		URL: s.URL, Server: client, Interval: s.KeepInterval, Metrics: metrics, Log: log, Hint: p.hintFor, Prune: s.KeepPrune,
		Rules: s.Ghosts, Groups: s.Groups, ScaleToken: s.ScaleToken,
	}
	if s.KeepPlaceholder {
		o.Placeholder = &pool.PlaceholderSpec{Name: s.PlaceholderName(), Capabilities: s.Capabilities}
	}
	if s.PoolID != 0 {
		o.Pools = []azdo.PoolRef{{ID: s.PoolID, Name: strconv.Itoa(s.PoolID)}}
		return o, nil
	}
	for _, name := range s.Pools() {
		o.Pools = append(o.Pools, azdo.PoolRef{Name: name})
	}
	return o, nil
}

func pageAddress(page net.Listener) string {
	if page == nil {
		return "off"
	}
	return "http://" + page.Addr().String() + "/"
}

// listenOptional is connlimit.Listen, or nil if the address is not set.
func listenOptional(address, setting string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	return connlimit.Listen(address, setting)
}
