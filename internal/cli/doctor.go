//go:build unix

package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

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
		Short: "Check everything that azptend run needs, and show how to fix what is wrong",
		Long: `Check everything that "azptend run" needs: settings, identity, token, network, organisation, pool, role and the agent's directory. Then check what jobs can reach, the grace period, and why jobs wait. doctor changes nothing. If a check cannot be made because another one failed, it says so and goes on.

Use the settings of run, and call doctor where run runs: in the same container, as the same user. The exit code is 0 if run would work, and otherwise the code that run would exit with. docs/doctor.md describes each check and each cause.`,
		RunE: func(c *cobra.Command, _ []string) error { return runDoctor(c.Context(), p, c.Flags(), asJSON) },
	}
	c.Flags().SortFlags = false
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	config.AddFlags(c.Flags())
	return c
}

// runDoctor makes all checks.
func runDoctor(ctx context.Context, p Process, flags *pflag.FlagSet, asJSON bool) error {
	hostName, _ := os.Hostname()
	s, problems := config.LoadPartial(flags, p.Environ, hostName)
	problems = append(problems, s.LoadGroups()...)
	s = s.WithFileToken()
	s.Identity.MaxUnreachable = p.maxUnreachable()
	p.remember(s)
	init, err := proc.NewInit()
	if err != nil {
		return err
	}
	defer init.Close()

	log := slog.New(slog.DiscardHandler)
	if s.LogLevel == slog.LevelDebug {
		log = newLog(p.redactor.Writer(p.Stderr), s)
	}
	remote := doctor.NewRemoteEnvironment(s, newWebClient(s), log, p.redactor)
	environment := doctor.NewEnvironment(remote, problems, doctor.Process{Init: init, Undumpable: p.undumpable, Hint: p.hintFor})
	out := &term.Output{W: p.redactor.Writer(p.Stdout)}
	var report doctor.Report
	if asJSON {
		report = doctor.Run(ctx, environment, nil)
		err = printReport(out, report)
	} else {
		at := newDoctorPrinter(p, out)
		report = doctor.Run(ctx, environment, at.printFinding)
		at.printConclusion(report)
	}
	switch {
	case ctx.Err() != nil:
		return exitcode.With(exitcode.Interrupted, fmt.Errorf("cannot finish the checks: interrupted"))
	case err != nil || out.Err() != nil:
		return exitcode.With(exitcode.Internal, errors.Join(err, out.Err()))
	}
	return exitcode.Silent(report.Code())
}
