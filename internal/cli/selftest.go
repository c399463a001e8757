package cli

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/selftest"
	"github.com/azptend/azptend/internal/term"
	"github.com/azptend/azptend/internal/text"
)

type selftestFlags struct{ yes, asJSON bool }

func newSelftest(p Process) *cobra.Command {
	var f selftestFlags
	c := &cobra.Command{
		Use:   "selftest",
		Short: "Test azptend's assumptions about the server, with a temporary agent in a pool",
		Long: `Test azptend's assumptions about Azure DevOps with a temporary agent in a real pool. The report shows what was expected, what was seen, and whether azptend handles a difference. The agent is disabled, so it receives no job, and selftest always removes it. Without --yes nothing is done.

The report is made for a bug report: it holds no secret, and names neither the organisation nor the pool.

The exit code is 0 if azptend handles everything that was seen, and 1 if not.`,
	}
	c.Flags().SortFlags = false
	c.Flags().BoolVar(&f.yes, "yes", false, "run the tests")
	c.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
	config.AddFlags(c.Flags(), poolSettings...)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return withSettings(p, c.Flags(), poolSettings, func(s config.Settings, log *slog.Logger) error {
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return runTests(ctx, p, s, f, log)
		})
	}
	return c
}

func runTests(ctx context.Context, p Process, s config.Settings, f selftestFlags, log *slog.Logger) error {
	_, client, err := p.newClient(s, log, slog.LevelDebug)
	if err != nil {
		return exitcode.With(exitcode.Usage, err)
	}
	in, err := findPool(ctx, client, s)
	if err != nil {
		return err
	}
	if !f.yes {
		fmt.Fprintf(p.Stdout, "would add a disabled agent to pool %q (id %d), send about 30 requests about it, and remove it\n"+
			"Dry run; use --yes to run the tests\n", in.Name, in.ID)
		return nil
	}
	out := &term.Output{W: p.Stdout}
	shown := &selftestPrinter{out: out, asJSON: f.asJSON}
	shown.printHead(serverKind(s.URL))
	web := newWebClient(s)
	began := time.Now()
	report, err := selftest.Run(ctx, selftest.Options{
		Server: client, Web: web, ServerURL: s.URL, PoolID: in.ID, OnRow: shown.printRow,
		AsAgent: func(a azdo.Authorizer) selftest.Requester { return azdo.New(s.URL, web, a, azdo.RequestLogger(log)) },
	})
	shown.printSummary(report, time.Since(began), serverKind(s.URL))
	for _, left := range report.Left {
		p.printError(p.redactor.Writer(p.errors), text.WithHint(fmt.Errorf("cannot remove %s", left),
			"delete it in the portal (Organization settings, Agent pools, the pool, Agents)"))
	}
	switch {
	case err != nil:
		return err
	case out.Err() != nil:
		return out.Err()
	case len(report.Left) > 0 || len(report.Uncovered()) > 0:
		return exitcode.Silent(exitUnexpected)
	}
	return nil
}

// exitUnexpected is the exit code if the server did something that azptend does not handle.
const exitUnexpected = 1

func findPool(ctx context.Context, client *azdo.Client, s config.Settings) (azdo.Pool, error) {
	in, err := client.FindPool(ctx, s.PoolRef())
	if err == nil && in.ClosedReason() != "" {
		err = exitcode.With(exitcode.Unavailable, fmt.Errorf("cannot test the server in pool %q: %s", in.Name, in.ClosedReason()))
	}
	return in, err
}

// serverKind is the kind of server. It does not name the organisation.
func serverKind(address string) string {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return "unknown"
	case strings.EqualFold(u.Hostname(), "dev.azure.com"):
		return "dev.azure.com"
	case strings.HasSuffix(strings.ToLower(u.Hostname()), ".visualstudio.com"):
		return "visualstudio.com"
	}
	return "Azure DevOps Server"
}

// selftestPrinter prints the report: row by row for a person, or as one document.
type selftestPrinter struct {
	out    *term.Output
	asJSON bool
}

func (t *selftestPrinter) printHead(server string) {
	if !t.asJSON {
		fmt.Fprintf(t.out, "azptend %s on %s/%s, against %s, %s\n\n", version(), runtime.GOOS, runtime.GOARCH, server, time.Now().UTC().Format(time.RFC3339))
	}
}

func (t *selftestPrinter) printRow(r selftest.Row) {
	if t.asJSON {
		return
	}
	fmt.Fprintf(t.out, "%-22s  %-20s  %s\n", r.Verdict, r.ID, r.Expected)
	if r.Seen != "" {
		fmt.Fprintf(t.out, "%46sseen: %s\n", "", r.Seen)
	}
	if r.Fallback != "" && r.Verdict == selftest.Covered {
		fmt.Fprintf(t.out, "%46sazptend: %s\n", "", r.Fallback)
	}
}

type selftestDocument struct {
	Version string         `json:"version"` // version of azptend
	System  string         `json:"system"`  // operating system and architecture
	Server  string         `json:"server"`  // kind of server
	Rows    []selftest.Row `json:"rows"`    // the assumptions
	Left    int            `json:"left"`    // number of agents that could not be removed
	Covered bool           `json:"covered"` // whether azptend handles everything that it saw
}

func (t *selftestPrinter) printSummary(r selftest.Report, took time.Duration, server string) {
	if t.asJSON {
		_ = term.PrintJSON(t.out, selftestDocument{version(), runtime.GOOS + "/" + runtime.GOARCH, server, r.Rows, len(r.Left), len(r.Uncovered()) == 0})
		return
	}
	count := map[selftest.Verdict]int{}
	fmt.Fprintln(t.out)
	for _, row := range r.Rows {
		count[row.Verdict]++
		if row.Verdict == selftest.NotTried {
			fmt.Fprintf(t.out, "%-22s  %-20s  %s: %s\n", row.Verdict, row.ID, row.Expected, row.Fallback)
		}
	}
	fmt.Fprintf(t.out, "\n%d as expected, %d different but handled, %d different and not handled, %d unknown, %d not tested; %.1f s\n",
		count[selftest.AsExpected], count[selftest.Covered], count[selftest.NotCovered], count[selftest.Unknown], count[selftest.NotTried], took.Seconds())
	switch uncovered := r.Uncovered(); {
	case len(uncovered) > 0:
		fmt.Fprintln(t.out, "azptend does not handle some of this: please open an issue with this report")
	case count[selftest.Covered] > 0:
		fmt.Fprintln(t.out, "azptend handles all of this; please open an issue with this report anyway")
	}
}
