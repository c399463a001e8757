//go:build unix

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/control"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/term"
)

func newDrain(p Process) *cobra.Command {
	var o drainOptions
	c := &cobra.Command{
		Use:   "drain",
		Short: "Ask a running azptend to finish its job, remove its agent and exit",
		Long: `Ask a running azptend to finish its job, remove its agent and exit.

The agent's directory identifies it: in its container this needs no flag. The
agent accepts no further job. The running job has no time limit until a SIGTERM
starts the grace period. With --terminating the grace period starts now, and the
SIGTERM changes nothing: use this in a preStop hook of Kubernetes, whose time
counts towards the grace period. It is safe to repeat the command.

Exit codes: 0 azptend was asked; with --wait, the exit code of its run (0: the job
finished; 75: it was cut); 69 no azptend runs there, or it does not answer or was
killed meanwhile; 77 it belongs to another user; 64 invalid command line.`,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := config.LoadLocation(c.Flags(), p.Environ)
			if err != nil {
				return exitcode.With(exitcode.Usage, err)
			}
			return drain(c.Context(), control.Client{Location: controlLocation(s)}, o, p.Stdout)
		},
	}
	c.Flags().SortFlags = false
	c.Flags().BoolVar(&o.wait, "wait", false, "wait until the agent is gone, and print each phase")
	c.Flags().BoolVar(&o.terminating, "terminating", false, "start the grace period now: the platform is about to stop azptend")
	config.AddFlags(c.Flags(), config.Location...)
	return c
}

type drainOptions struct{ wait, terminating bool }

func drain(ctx context.Context, c control.Client, o drainOptions, w io.Writer) error {
	if !o.wait {
		s, err := c.Drain(ctx, o.terminating)
		if err != nil {
			return controlError(err)
		}
		fmt.Fprintln(w, term.Safe(drainText(s)))
		return nil
	}
	said := false
	s, err := c.DrainAndWatch(ctx, o.terminating, func(s control.Status) {
		if !said {
			fmt.Fprintln(w, term.Safe(drainText(s)))
		} else if s.End == nil {
			fmt.Fprintln(w, term.Safe(fmt.Sprintf("It is %s%s", s.Phase, deadlineText(s))))
		}
		said = true
	})
	if err != nil {
		return controlError(err)
	}
	fmt.Fprintln(w, term.Safe(fmt.Sprintf("Gone: %s (registration: %s, exit code %d)", s.End.Why, s.Registration, s.End.Code)))
	if s.End.Code != 0 {
		return exitcode.Silent(s.End.Code)
	}
	return nil
}

// drainText describes the agents that drain.
func drainText(s control.Status) string {
	if s.End != nil {
		return fmt.Sprintf("Agent %q of pool %q is already draining", s.Agent, s.Pool)
	}
	text := fmt.Sprintf("Asked agent %q of pool %q to drain: it is %s", s.Agent, s.Pool, s.Phase)
	if s.Job == "running" {
		text += ", and a job runs"
	}
	return text + deadlineText(s)
}

func deadlineText(s control.Status) string {
	if s.Deadline == nil {
		return ""
	}
	return ", and has until " + s.Deadline.UTC().Format(time.RFC3339)
}

// controlError adds the exit code to an error of the control socket.
func controlError(err error) error {
	if errors.Is(err, control.ErrForbidden) {
		return exitcode.With(exitcode.Denied, err)
	}
	return exitcode.With(exitcode.Unavailable, err)
}

// controlLocation is the location of the control socket for these settings.
func controlLocation(s config.Settings) control.Location {
	return control.Location{Root: s.Root(), OtherUser: s.RunAs != ""}
}
