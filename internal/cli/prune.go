package cli

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/pool"
	"github.com/azptend/azptend/internal/term"
	"github.com/azptend/azptend/internal/text"
)

func newPrune(p Process) *cobra.Command {
	r := &pruner{p: p}
	c := &cobra.Command{
		Use:   "prune [NAME...]",
		Short: "Remove the pool's ghosts: agents whose machine is gone",
		Long: `Remove the pool's ghosts: agents whose machine is gone.

Without --yes nothing is removed: the table says why each agent is a ghost or stays.
A ghost has no job, has been offline for longer than --older-than, and has
azptend's owner tag (or any, with --any-owner: agents of start scripts have no owner tag).
Placeholders, and the only agent that matches a job's demands, are never removed
unless named. Each ghost is checked again right before it is removed.

Exit codes: 0; 64 if no agent has a name that is given (the others are removed); 75
if some could not be removed; else those of azptend run.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			r.rules.Names = args
			return withPool(c.Context(), p, c.Flags(), poolSettings, slog.LevelDebug, r.run)
		},
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.BoolVar(&r.yes, "yes", false, "remove the ghosts")
	r.rules.OlderThan = pool.MinOffline
	flags.Var(config.DurationFlag{Target: &r.rules.OlderThan, Setting: "AZP_KEEP_OLDER_THAN"}, "older-than", "how long an agent must have been offline; at least 15m, "+
		"except for exited agents that ask a keeper to remove them")
	flags.BoolVar(&r.rules.AnyOwner, "any-owner", false, "include agents without azptend's owner tag")
	flags.StringVar(&r.rules.Match, "match", "", "only agents whose name matches (* any characters, ? one character)")
	flags.BoolVar(&r.asJSON, "json", false, "print JSON")
	config.AddFlags(flags, poolSettings...)
	return c
}

// pruner is one `azptend prune`.
type pruner struct {
	p      Process
	rules  pool.Rules
	yes    bool
	asJSON bool
}

// pruneReport is what --json prints.
type pruneReport struct {
	Pool   string        `json:"pool,omitempty"`   // name of the pool
	PoolID int           `json:"pool_id"`          // id of the pool
	DryRun bool          `json:"dry_run"`          // true without --yes: nothing was removed
	Ghosts int           `json:"ghosts"`           // number of ghosts
	Absent []string      `json:"absent,omitempty"` // given names that no agent has
	Agents []prunedAgent `json:"agents"`           // the agents
}

// count is the number of agents that are ghosts, or stay, for this reason.
func (r pruneReport) count(reason pool.Reason) (n int) {
	for _, a := range r.Agents {
		if a.Reason == reason {
			n++
		}
	}
	return n
}

type prunedAgent struct {
	ID      int          `json:"id"`                // id of the agent
	Name    string       `json:"name"`              // name of the agent
	Version string       `json:"version"`           // version of the agent package
	Status  string       `json:"status"`            // status at the server
	Ghost   bool         `json:"ghost"`             // whether it is a ghost
	Reason  pool.Reason  `json:"reason"`            // why it is a ghost, or why it stays
	Why     string       `json:"why"`               // the same, in a sentence
	Removal pool.Removal `json:"removal,omitempty"` // what became of a ghost; absent in a dry run
	Stayed  string       `json:"stayed,omitempty"`  // why it stayed at the second check
	Error   string       `json:"error,omitempty"`   // why the removal failed
}

func (r *pruner) run(ctx context.Context, tended *pool.Pool, _ config.Settings) error {
	looking := term.NewProgress(r.p.Stderr, r.p.showsProgress(), fmt.Sprintf("looking at %v", tended))
	seen, err := tended.Survey(ctx, r.rules)
	looking.End()
	if err != nil {
		return err
	}
	out := r.report(tended, seen)
	if r.yes {
		err = r.remove(ctx, tended, seen, out)
	} else {
		err = r.printDryRun(out)
	}
	if err == nil && len(out.Absent) > 0 {
		names, hint := strings.Join(out.Absent, ", "), "run azptend agents to see the names"
		if strings.ContainsAny(names, "*?") {
			hint = "use --match for a pattern"
		}
		err = exitcode.With(exitcode.Usage, text.WithHint(fmt.Errorf("cannot prune %s: there is no such agent in %v", names, tended), hint))
	}
	return err
}

// report lists the agents of the survey, ghosts first. If names were given, it lists only
// those agents.
func (r *pruner) report(tended *pool.Pool, seen pool.Survey) pruneReport {
	out := pruneReport{Pool: tended.Name, PoolID: tended.ID, DryRun: !r.yes, Absent: seen.Missing(r.rules.Names), Agents: []prunedAgent{}}
	for _, v := range seen.Verdicts {
		if v.Reason == pool.NotNamed {
			continue
		}
		if v.Ghost() {
			out.Ghosts++
		}
		out.Agents = append(out.Agents, prunedAgent{
			ID: v.Agent.ID, Name: v.Agent.Name, Version: v.Agent.Version, Status: v.Agent.Status, Ghost: v.Ghost(), Reason: v.Reason, Why: v.Why,
		})
	}
	slices.SortStableFunc(out.Agents, func(a, b prunedAgent) int {
		switch {
		case a.Ghost == b.Ghost:
			return 0
		case a.Ghost:
			return -1
		}
		return 1
	})
	return out
}

func (r *pruner) printDryRun(out pruneReport) error {
	if r.asJSON {
		return term.PrintJSON(r.p.Stdout, out)
	}
	if len(out.Agents) > 0 {
		t := term.NewTable(r.p.Stdout, "ID", "NAME", "VERSION", "VERDICT", "WHY")
		for _, a := range out.Agents {
			verdict := "stays"
			if a.Ghost {
				verdict = "ghost"
			}
			t.Row(strconv.Itoa(a.ID), a.Name, a.Version, verdict, a.Why)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	r.p.note("%s among %s", text.Count(out.Ghosts, "ghost"), text.Count(len(out.Agents), "agent"))
	if others := out.count(pool.NoOwnerTag); others > 0 {
		r.p.note("%s without azptend's owner tag: use --any-owner to include them", text.Count(others, "offline agent"))
	}
	if out.Ghosts > 0 {
		r.p.note("dry run: use --yes to remove the ghosts")
	}
	return nil
}

// printSpared prints for each named agent that stays why it stays.
func (r *pruner) printSpared(out pruneReport) error {
	for _, a := range out.Agents {
		if len(r.rules.Names) == 0 || a.Ghost {
			continue
		}
		if _, err := fmt.Fprintln(r.p.Stdout, term.Safe(fmt.Sprintf("skipped %s (agent %d): %s", a.Name, a.ID, a.Why))); err != nil {
			return err
		}
	}
	return nil
}

// remove removes the ghosts, and prints each result at once.
func (r *pruner) remove(ctx context.Context, tended *pool.Pool, seen pool.Survey, out pruneReport) error {
	if !r.asJSON {
		if err := r.printSpared(out); err != nil {
			return err
		}
	}
	at := map[int]*prunedAgent{}
	for i := range out.Agents {
		at[out.Agents[i].ID] = &out.Agents[i]
	}
	count := map[pool.Removal]int{}
	working := term.NewProgress(r.p.Stderr, r.p.showsProgress(), "")
	err := tended.Remove(ctx, r.rules, seen.Ghosts(), func(result pool.RemoveResult) {
		count[result.Removal]++
		row := at[result.Agent.ID]
		row.Removal, row.Stayed = result.Removal, result.Why
		if result.Err != nil {
			row.Error = result.Err.Error()
		}
		if !r.asJSON {
			working.Hide()
			fmt.Fprintln(r.p.Stdout, term.Safe(row.sentence()))
		}
		working.Say("%d of %s", count[pool.Removed]+count[pool.Gone]+count[pool.Stayed]+count[pool.Failed], text.Count(out.Ghosts, "ghost"))
	})
	working.End()
	if told := r.printDone(out, count); err == nil {
		err = told
	}
	if failed := count[pool.Failed]; err == nil && failed > 0 {
		err = exitcode.With(exitcode.TryAgain, &partialError{"remove", failed, out.Ghosts})
	}
	return err
}

func (a prunedAgent) sentence() string {
	what := fmt.Sprintf("%s (agent %d)", a.Name, a.ID)
	switch a.Removal {
	case pool.Gone:
		return "already gone: " + what
	case pool.Stayed:
		return fmt.Sprintf("skipped %s: it is no longer a ghost: %s", what, a.Stayed)
	case pool.Failed:
		return fmt.Sprintf("cannot remove %s: %s", what, a.Error)
	}
	return fmt.Sprintf("removed %s: %s", what, a.Why)
}

func (r *pruner) printDone(out pruneReport, count map[pool.Removal]int) error {
	if r.asJSON {
		return term.PrintJSON(r.p.Stdout, out)
	}
	skipped := ""
	if n := len(out.Agents) - out.Ghosts; n > 0 {
		skipped = "; skipped: " + text.Count(n, "agent")
	}
	r.p.note("removed %d of %s%s", count[pool.Removed]+count[pool.Gone], text.Count(out.Ghosts, "ghost"), skipped)
	return nil
}
