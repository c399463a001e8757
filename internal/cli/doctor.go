package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/doctor"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/proc"
	"github.com/azptend/azptend/internal/term"
)

func newDoctor(p Process) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Check all that azptend run needs, and say what to do about what is wrong",
		Long: `Check all that "azptend run" needs, from the inside out: settings, identity, token,
network, organisation, pool, role, the agent's folder; then what jobs can reach,
the grace period, and why jobs wait. Nothing is changed anywhere. A check that
another stands in the way of says so, and the rest go on.

It takes run's settings, and is best called where run is: in the same container,
as the same user. The exit code is 0 where run would work, and otherwise the one
that run would end with. docs/doctor.md has each check and each cause.`,
		RunE: func(c *cobra.Command, _ []string) error { return runDoctor(p, c.Flags(), asJSON) },
	}
	c.Flags().SortFlags = false
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	config.AddFlags(c.Flags())
	return c
}

// runDoctor makes all checks.
func runDoctor(p Process, flags *pflag.FlagSet, asJSON bool) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	hostName, _ := os.Hostname()
	s, problems := config.LoadPartial(flags, p.Environ, hostName)
	s = loadFileToken(s)
	redactor := p.redactor
	redactor.Add(s.Secrets()...)
	redactor.Add(s.ProxyPasswords()...)
	init, err := proc.NewInit()
	if err != nil {
		return err
	}
	defer init.Close()

	out := &term.Output{W: redactor.Writer(p.Stdout)}
	subject := newEnvironment(p, s, problems, redactor, init)
	var report doctor.Report
	if asJSON {
		report = doctor.Run(ctx, subject, nil)
		err = printReport(out, report)
	} else {
		at := newDoctorPrinter(p, out, redactor)
		report = doctor.Run(ctx, subject, at.printFinding)
		at.printConclusion(report)
	}
	switch {
	case ctx.Err() != nil:
		return exitcode.With(exitcode.Interrupted, fmt.Errorf("cannot finish the checks: interrupted"))
	case err != nil || out.Err() != nil:
		return exitcode.With(exitcode.Internal, out.Err())
	}
	return exitcode.Silent(report.Code())
}
