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

// closeTimeout bounds each of the steps before the process exits. They take
// milliseconds, unless a file system or a peer is stuck.
const closeTimeout = 2 * time.Second

// endOnSignal makes a command, and those below it, end on SIGINT and SIGTERM. Its context
// ends at once. If it does not return soon after that, because a file system does not
// answer, it is abandoned: it has no agent that is still to be removed.
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
