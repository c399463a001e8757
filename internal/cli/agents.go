package cli

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/pool"
	"github.com/azptend/azptend/internal/term"
	"github.com/azptend/azptend/internal/text"
)

func newAgents(p Process) *cobra.Command {
	var (
		chosen agentFilter
		asJSON bool
		watch  bool
		every  = 5 * time.Second
	)
	c := &cobra.Command{
		Use:   "agents",
		Short: "List the pool's agents, and enable or disable them",
		Long: `List the pool's agents: state, job, version, age and owner, by azptend's owner tag.

States: busy (has a job), idle (waits for one), disabled (online and gets none),
offline, and placeholder (never runs). Which offline agents are ghosts is up to the
rules of azptend prune, which shows them. SINCE is the time in the current state;
for a busy agent, since the job was assigned.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := chosen.check(); err != nil {
				return err
			}
			return withPool(c.Context(), p, c.Flags(), poolSettings, slog.LevelDebug, func(ctx context.Context, tended *pool.Pool, _ config.Settings) error {
				if watch {
					return watchAgents(ctx, p, tended, chosen, max(every, time.Second), asJSON)
				}
				return listAgents(ctx, p, tended, chosen, asJSON)
			})
		},
	}
	flags := c.Flags()
	flags.SortFlags = false
	chosen.addFlags(flags)
	flags.BoolVar(&asJSON, "json", false, "print JSON; with --watch, one line per change")
	flags.BoolVar(&watch, "watch", false, "watch the pool: redraw the table on a terminal, otherwise print one line per change")
	flags.Var(config.DurationFlag{Target: &every}, "every", "with --watch, the polling interval; each poll is one request for the whole pool")
	config.AddFlags(flags, poolSettings...)
	c.AddCommand(newSwitch(p, false), newSwitch(p, true))
	return c
}

// agentFilter selects agents of a pool by flags and names.
type agentFilter struct {
	match  string
	below  string // a version
	mine   bool
	names  []string
	states []string // the values of --state
	chosen []pool.State
}

func (c *agentFilter) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&c.match, "match", "", "only agents whose name matches (* any characters, ? one character)")
	flags.StringVar(&c.below, "version-below", "", "only agents of a lower version; 4.9.0 is below 4.10.0")
	flags.StringSliceVar(&c.states, "state", nil, "only agents in one of these states, separated by commas: "+strings.Join(stateNames(), ", "))
	flags.BoolVar(&c.mine, "mine", false, "only agents with azptend's owner tag")
}

// check validates the flags.
func (c *agentFilter) check() error {
	if _, ok := pool.VersionBelow(c.below, c.below); c.below != "" && !ok {
		return badFlag("", "--version-below is %q, which is not of the form 5.282.3", c.below)
	}
	for _, name := range c.states {
		states, ok := parseState(name)
		if !ok {
			return badFlag(stateHint(name), "--state has %q, which is none of %s", name, strings.Join(stateNames(), ", "))
		}
		c.chosen = append(c.chosen, states...)
	}
	return nil
}

// stateNames are the values of --state. Ghost is not one of them: which agents are ghosts
// depends on rules for which this command has no settings.
func stateNames() []string {
	var names []string
	for _, state := range pool.States() {
		if state != pool.StateGhost {
			names = append(names, string(state))
		}
	}
	return names
}

// parseState parses a value of --state. It also accepts online, the server's status of idle
// and disabled agents, which earlier versions of this command used.
func parseState(name string) ([]pool.State, bool) {
	name = strings.ToLower(strings.TrimSpace(name))
	if name == "online" {
		return []pool.State{pool.StateIdle, pool.StateDisabled}, true
	}
	return []pool.State{pool.State(name)}, slices.Contains(stateNames(), name)
}

func stateHint(name string) string {
	if strings.EqualFold(name, string(pool.StateGhost)) {
		return "azptend prune shows the ghosts"
	}
	if near := text.Nearest(name, stateNames()); near != "" {
		return "did you mean " + near + "?"
	}
	return ""
}

func (c *agentFilter) matches(a azdo.Agent) bool {
	if c.below != "" {
		if below, ok := pool.VersionBelow(a.Version, c.below); !ok || !below {
			return false
		}
	}
	return pool.MatchName(c.match, a.Name) &&
		(!c.mine || pool.HasOwnerTag(a)) &&
		(len(c.names) == 0 || slices.ContainsFunc(c.names, func(n string) bool { return strings.EqualFold(n, a.Name) })) &&
		(len(c.chosen) == 0 || slices.Contains(c.chosen, pool.StateOf(a)))
}

func (c *agentFilter) apply(agents []azdo.Agent) []azdo.Agent {
	return slices.DeleteFunc(slices.Clone(agents), func(a azdo.Agent) bool { return !c.matches(a) })
}

func listAgents(ctx context.Context, p Process, tended *pool.Pool, chosen agentFilter, asJSON bool) error {
	looking := term.NewProgress(p.Stderr, p.showsProgress(), fmt.Sprintf("looking at %v", tended))
	agents, err := tended.Agents(ctx, nil)
	looking.End()
	if err != nil {
		return err
	}
	rows := agentRows(tended, chosen.apply(agents))
	if asJSON {
		return term.PrintJSON(p.Stdout, rows)
	}
	if len(rows) == 0 {
		printNone(p, tended, len(agents))
		return nil
	}
	return agentTable(p.Stdout, rows)
}

// printNone says that no agent matches the filter. all is the number of agents in the pool.
func printNone(p Process, tended *pool.Pool, all int) {
	if all == 0 {
		p.note("there is no agent in %v", tended)
		return
	}
	p.note("none of the %s in %v matches", text.Count(all, "agent"), tended)
}

// partialError says that the operation failed for some agents, which were printed before.
type partialError struct {
	op         string // "remove"
	failed, of int
}

func (e *partialError) Error() string {
	return fmt.Sprintf("cannot %s %d of %s: see above", e.op, e.failed, text.Count(e.of, "agent"))
}
