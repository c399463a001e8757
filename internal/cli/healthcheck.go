//go:build unix

package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/control"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/term"
)

func newHealthcheck(p Process) *cobra.Command {
	var o healthOptions
	c := &cobra.Command{
		Use:   "healthcheck",
		Short: "Check whether a running azptend is alive or ready",
		Long: `Check whether a running azptend is alive or ready, without an open port.

--live, the default, is right for Docker's HEALTHCHECK and for a livenessProbe:
it succeeds in every phase, also during a drain, and fails only when azptend's own
loop does not answer within 5 seconds. A platform may then kill azptend and its job.

--ready is for a readinessProbe or a script that waits: it succeeds while the agent
listens for jobs or runs one. With several agents (AZP_AGENTS) all must be ready.

Exit codes: 0 success, 1 failure, 64 invalid command line. One line says why.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.live && o.ready {
				return newUsageError(c, "--live and --ready exclude each other", "")
			}
			s, err := config.LoadLocation(c.Flags(), p.Environ)
			if err != nil {
				return exitcode.With(exitcode.Usage, err)
			}
			return healthcheck(c.Context(), control.Client{Location: controlLocation(s)}, o, p.Stdout)
		},
	}
	c.Flags().SortFlags = false
	c.Flags().BoolVar(&o.live, "live", false, "succeed if azptend's loop responds (default)")
	c.Flags().BoolVar(&o.ready, "ready", false, "succeed if the agent listens for jobs or runs one")
	c.Flags().BoolVar(&o.json, "json", false, "print the status as JSON")
	config.AddFlags(c.Flags(), config.Location...)
	return c
}

type healthOptions struct{ live, ready, json bool }

// healthcheck prints the result to standard output, also of a failure, because platforms show
// a probe's standard output.
func healthcheck(ctx context.Context, c control.Client, o healthOptions, w io.Writer) error {
	var h control.Health
	s, err := c.Status(ctx)
	if err != nil {
		h.Error = err.Error()
	} else {
		h.Live, h.Ready, h.Status = true, s.Ready, &s
	}
	ok, line := h.Probe(o.ready)
	if o.json {
		if err := json.NewEncoder(w).Encode(h); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(w, term.Safe(line))
	}
	if !ok {
		return exitcode.Silent(1)
	}
	return nil
}
