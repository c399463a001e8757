package cli

import (
	"context"
	"errors"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/azptend/azptend/internal/bounded"
	"github.com/azptend/azptend/internal/exitcode"
)

// closeTimeout is the timeout of each step before the process exits. The steps take
// milliseconds, unless a file system or a peer hangs.
const closeTimeout = 2 * time.Second

// endOnSignal makes a command and its subcommands end on SIGINT and SIGTERM. The signal cancels
// the command's context. If the command does not return soon after, because a file system
// hangs, it is abandoned: it has no agent to remove.
func endOnSignal(c *cobra.Command) {
	if run := c.RunE; run != nil {
		c.RunE = func(c *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			c.SetContext(ctx)
			ended, err := bounded.CallLonger(ctx, closeTimeout, func() (bool, error) { return true, run(c, args) })
			if !ended {
				return exitcode.With(exitcode.Interrupted, errAbandoned)
			}
			return err
		}
	}
	for _, below := range c.Commands() {
		endOnSignal(below)
	}
}

// errAbandoned is the error of a command that did not end after a signal.
var errAbandoned = errors.New("cannot wait for the command to end: a file system does not respond")
