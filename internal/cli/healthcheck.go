package cli

import (
	"context"
	"encoding/json"
	"errors"
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
		Short: "Say whether a running azptend is alive, or ready",
		Long: `Say whether a running azptend is alive, or ready, without any port open.

--live, the default, is right for Docker's HEALTHCHECK and for a livenessProbe:
it is green in every phase, also while a job is finished, and red only when
azptend's own loop does not answer within 5 seconds. A platform may kill what is
red; it would take the job with it.

--ready is for a readinessProbe or a script that waits: it is green while the
agent listens for jobs or runs one, and red before and after. Of several agents
(AZP_AGENTS) each has to be.

Exit codes: 0 green, 1 red, 64 the command line. One line says why.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.live && o.ready {
				return exitcode.With(exitcode.Usage, &usageError{errors.New("--live and --ready are two questions"), c.CommandPath()})
			}
			s, err := config.LoadLocation(c.Flags(), p.Environ)
			if err != nil {
				return exitcode.With(exitcode.Usage, err)
			}
			return healthcheck(c.Context(), control.Client{Location: controlLocation(s)}, o, p.Stdout)
		},
	}
	c.Flags().SortFlags = false
	c.Flags().BoolVar(&o.live, "live", false, "is its loop alive? (the default)")
	c.Flags().BoolVar(&o.ready, "ready", false, "does it listen for jobs, or run one?")
	c.Flags().BoolVar(&o.json, "json", false, "print what azptend says of itself, for a program")
	config.AddLocationFlags(c.Flags())
	return c
}

type healthOptions struct{ live, ready, json bool }

// healthReport is what --json prints.
type healthReport struct {
	Live   bool            `json:"live"`
	Ready  bool            `json:"ready"`
	Error  string          `json:"error,omitempty"`
	Status *control.Status `json:"status,omitempty"`
}

// healthcheck prints its verdict to standard output, the red one too: that is
// what platforms show of a probe.
func healthcheck(ctx context.Context, c control.Client, o healthOptions, w io.Writer) error {
	var h healthReport
	s, err := c.Status(ctx)
	if err != nil {
		h.Error = err.Error()
	} else {
		h.Live, h.Ready, h.Status = true, s.Ready, &s
	}
	if o.json {
		if err := json.NewEncoder(w).Encode(h); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(w, term.Safe(h.line(o.ready)))
	}
	if h.green(o.ready) {
		return nil
	}
	return exitcode.Silent(1)
}

func (h healthReport) green(ready bool) bool { return h.Live && (h.Ready || !ready) }

func (h healthReport) line(ready bool) string {
	what := "alive"
	if ready {
		what = "ready"
	}
	switch {
	case h.Error != "":
		return fmt.Sprintf("not %s: %s", what, h.Error)
	case !h.green(ready):
		what = "not " + what
	}
	return fmt.Sprintf("%s: %v", what, h.Status)
}
