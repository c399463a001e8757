package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/setup"
	"github.com/azptend/azptend/internal/term"
	"github.com/azptend/azptend/internal/text"
)

type setupFlags struct {
	spec   setup.Spec
	apply  bool
	asJSON bool
	wait   time.Duration
}

func newSetup(p Process) *cobra.Command {
	f := setupFlags{wait: 5 * time.Minute}
	c := &cobra.Command{
		Use:   "setup --identity OBJECT_ID",
		Short: "Add an identity to the organisation, with its licence and its pool role",
		Long: `Add a managed identity or service principal to the organisation, with a Basic licence, and give it its role on the pool. Without --apply, setup only shows its plan. With --apply it does what is missing, and reads back the result.

It is for an administrator (Project Collection Administrator). Unless the settings name an identity, setup uses the login of the Azure CLI ("az login").`,
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.spec.Identity, "identity", "", "object (principal) id of the identity to add")
	flags.BoolVar(&f.apply, "apply", false, "apply the plan")
	flags.BoolVar(&f.spec.CreatePool, "create-pool", false, "create the pool if it does not exist")
	flags.BoolVar(&f.spec.NoAutoUpdate, "no-auto-update", false, "turn off agent updates in the pool")
	flags.StringVar(&f.spec.Role, "role", "Administrator", "role on the pool; only Administrator can register agents")
	flags.StringVar(&f.spec.Project, "project", "", "name of a project to add the pool to")
	flags.BoolVar(&f.spec.OpenToAll, "open-to-all-pipelines", false, "let every pipeline of the project use the pool")
	flags.BoolVar(&f.spec.Remove, "remove", false, "undo: remove the role, and the user if nothing else needs it")
	flags.Var(config.DurationFlag{Target: &f.wait}, "wait", "how long to wait for an identity that was just created")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
	config.AddFlags(flags, poolSettings...)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return withSettings(p, c.Flags(), poolSettings, func(s config.Settings, log *slog.Logger) error {
			return setUp(c.Context(), p, s, f, log)
		})
	}
	return c
}

// objectIDPattern matches an object id.
var objectIDPattern = regexp.MustCompile(`^[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$`)

// check validates setup's own flags.
func (f setupFlags) check() error {
	bad := func(hint, format string, args ...any) error {
		return text.WithHint(fmt.Errorf("cannot set up: "+format, args...), hint)
	}
	switch {
	case f.spec.Identity == "":
		return bad("it is the object (principal) id of the managed identity or service principal: "+
			"`az identity show --query principalId`, `az ad sp show --id <application id> --query id`", "--identity is not set")
	case !objectIDPattern.MatchString(f.spec.Identity):
		return bad("it looks like 01234567-89ab-cdef-0123-456789abcdef", "--identity is %q, which is not an object id", f.spec.Identity)
	case f.spec.OpenToAll && f.spec.Project == "":
		return bad("", "--open-to-all-pipelines needs --project: pipelines belong to a project")
	case f.spec.CreatePool && f.spec.PoolID != 0:
		return bad("", "--create-pool is given with the id of a pool: the server chooses the id of a new pool")
	case f.spec.Remove && (f.spec.CreatePool || f.spec.NoAutoUpdate):
		return bad("", "--remove changes no pool: omit --create-pool and --no-auto-update")
	}
	return nil
}

func setUp(ctx context.Context, p Process, s config.Settings, f setupFlags, log *slog.Logger) error {
	s.PreferAzureCLI()
	p.remember(s)
	f.spec.Pool, f.spec.PoolID = s.Pool, s.PoolID
	if err := f.check(); err != nil {
		return exitcode.With(exitcode.Usage, err)
	}
	_, client, err := p.newClient(s, log, slog.LevelDebug)
	if err != nil {
		return exitcode.With(exitcode.Usage, err)
	}
	users, err := client.Account(ctx)
	if err != nil {
		return err
	}
	place := setup.Organization{Users: users, Server: client}
	state, err := place.Read(ctx, f.spec)
	if err != nil {
		return err
	}
	tell := &setupPrinter{p: p, s: s, f: f, out: &term.Output{W: p.Stdout}}
	plan := setup.MakePlan(f.spec, state)
	tell.printPlan(state, plan)
	if !f.apply || plan.Obstacle != nil || len(plan.Steps) == 0 {
		if f.asJSON {
			_ = term.PrintJSON(tell.out, tell.document(state, plan))
		}
		return errors.Join(plan.Obstacle, tell.out.Err())
	}
	after, err := place.Apply(ctx, f.spec, state, plan, setup.Options{Timeout: f.wait, OnProgress: tell.printProgress})
	tell.printResult(after, plan, err)
	return cmp.Or(err, tell.out.Err())
}
