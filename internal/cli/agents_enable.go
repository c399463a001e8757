package cli

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/pool"
	"github.com/azptend/azptend/internal/term"
	"github.com/azptend/azptend/internal/text"
)

// newSwitch makes `agents enable` and `agents disable`.
func newSwitch(p Process, on bool) *cobra.Command {
	s := &switcher{p: p, on: on, verb: "disable", done: "disabled"}
	about := "the server assigns no further job to them; a running job continues"
	if on {
		s.verb, s.done, about = "enable", "enabled", "the server assigns jobs to them again"
	}
	c := &cobra.Command{
		Use:   s.verb + " [NAME...]",
		Short: strings.ToUpper(s.verb[:1]) + s.verb[1:] + " agents: " + about,
		Long: strings.ToUpper(s.verb[:1]) + s.verb[1:] + " agents: " + about + `.

Agents that are named are ` + s.done + ` at once. Agents that --match, --version-below,
--state or --mine select are only listed, unless --yes is given. Placeholders are
skipped unless they are named.

Exit codes: 0; 64 if a named agent does not exist; 75 if some could not be
` + s.done + `; otherwise those of azptend run.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			s.chosen.names = args
			if err := s.chosen.check(); err != nil {
				return err
			}
			if len(args) == 0 && s.chosen.match == "" && s.chosen.below == "" && !s.chosen.mine && len(s.chosen.states) == 0 {
				return badFlag("name agents, or select them with --match, --version-below, --state or --mine", "no agent is selected")
			}
			return withPool(c.Context(), p, c.Flags(), poolSettings, slog.LevelDebug, s.run)
		},
	}
	flags := c.Flags()
	flags.SortFlags = false
	s.chosen.addFlags(flags)
	flags.BoolVar(&s.yes, "yes", false, "apply the change to agents that were not named")
	flags.BoolVar(&s.asJSON, "json", false, "print JSON")
	config.AddFlags(flags, poolSettings...)
	return c
}

// switcher enables or disables agents.
type switcher struct {
	p          Process
	on         bool
	verb, done string
	chosen     agentFilter
	yes        bool
	asJSON     bool
}

// switched is the JSON of one agent.
type switched struct {
	ID      int        `json:"id"`              // id of the agent
	Name    string     `json:"name"`            // name of the agent
	Version string     `json:"version"`         // version of the agent package
	State   pool.State `json:"state"`           // what the agent does
	Outcome string     `json:"outcome"`         // enabled, disabled, unchanged, would be enabled, would be disabled, gone or failed
	Error   string     `json:"error,omitempty"` // why it failed
}

func (s *switcher) run(ctx context.Context, tended *pool.Pool, _ config.Settings) error {
	all, err := tended.Agents(ctx, nil)
	if err != nil {
		return err
	}
	agents := s.chosen.apply(all)
	named := len(s.chosen.names) > 0
	if absent := s.missingNames(all); len(absent) > 0 {
		return exitcode.With(exitcode.Usage, fmt.Errorf("cannot %s agents: there is no agent %s in %v", s.verb, strings.Join(absent, ", "), tended))
	}
	if !named {
		agents = slices.DeleteFunc(agents, func(a azdo.Agent) bool { return pool.PlaceholderReason(a) != "" })
	}
	if len(agents) == 0 && !s.asJSON {
		printNone(s.p, tended, len(all))
		return nil
	}
	var todo []azdo.Agent
	rows := []switched{}
	for _, a := range agents {
		if a.IsEnabled() == s.on {
			rows = append(rows, s.row(a, "unchanged", nil))
			continue
		}
		todo = append(todo, a)
	}
	if !named && !s.yes {
		for _, a := range todo {
			rows = append(rows, s.row(a, "would be "+s.done, nil))
		}
		return s.print(rows, len(todo))
	}
	return s.switchAll(ctx, tended, todo, rows)
}

func (s *switcher) switchAll(ctx context.Context, tended *pool.Pool, todo []azdo.Agent, rows []switched) error {
	working := term.NewProgress(s.p.Stderr, s.p.showsProgress(), "")
	done, failed := 0, 0
	err := tended.SetEnabled(ctx, todo, s.on, func(r pool.SwitchResult) {
		outcome := s.done
		switch {
		case r.Gone:
			outcome = "gone"
		case r.Err != nil:
			outcome = "failed"
			failed++
		}
		rows = append(rows, s.row(r.Agent, outcome, r.Err))
		done++
		working.Say("%s %d of %s", s.done, done, text.Count(len(todo), "agent"))
	})
	working.End()
	if told := s.print(rows, 0); err == nil {
		err = told
	}
	if err == nil && failed > 0 {
		err = exitcode.With(exitcode.TryAgain, &partialError{s.verb, failed, len(todo)})
	}
	return err
}

// missingNames are the given names that no agent has.
func (s *switcher) missingNames(all []azdo.Agent) []string {
	return slices.DeleteFunc(slices.Clone(s.chosen.names), func(name string) bool {
		return slices.ContainsFunc(all, func(a azdo.Agent) bool { return strings.EqualFold(a.Name, name) })
	})
}

func (s *switcher) row(a azdo.Agent, outcome string, err error) switched {
	r := switched{ID: a.ID, Name: a.Name, Version: a.Version, State: pool.StateOf(a), Outcome: outcome}
	if err != nil {
		r.Error = err.Error()
	}
	return r
}

// print prints what was done, or what would be done.
func (s *switcher) print(rows []switched, would int) error {
	slices.SortFunc(rows, func(a, b switched) int { return a.ID - b.ID })
	if s.asJSON {
		return term.PrintJSON(s.p.Stdout, rows)
	}
	t := term.NewTable(s.p.Stdout, "ID", "NAME", "VERSION", "STATE", "OUTCOME")
	for _, r := range rows {
		outcome := r.Outcome
		if r.Error != "" {
			outcome += ": " + r.Error
		}
		t.Row(fmt.Sprint(r.ID), r.Name, r.Version, string(r.State), outcome)
	}
	if would > 0 {
		s.p.note("dry run: use --yes to %s %s", s.verb, text.Count(would, "agent"))
	}
	return t.Flush()
}
