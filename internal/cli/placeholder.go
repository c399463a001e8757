package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/pool"
	"github.com/azptend/azptend/internal/term"
)

// placeholderSettings are the settings of commands for a placeholder.
var placeholderSettings = []config.Group{config.Connection, config.AgentPool, config.Agent}

func newPlaceholder(p Process) *cobra.Command {
	c := &cobra.Command{
		Use:   "placeholder",
		Short: "Create, show or delete the pool's placeholder agent",
		Long: `Create, show or delete the pool's placeholder agent.

Azure DevOps accepts a job only if at least one agent, even an offline one, matches
its demands. A pool that scales to zero needs a placeholder. It never runs.`,
		RunE: p.needsCommand,
		Args: cobra.ArbitraryArgs,
	}
	asJSON := false
	show := newPlaceholderCommand("show", "List the pool's placeholders", func(ctx context.Context, flags *pflag.FlagSet) error {
		return withPool(ctx, p, flags, placeholderSettings, slog.LevelInfo, func(ctx context.Context, tended *pool.Pool, _ config.Settings) error {
			return showPlaceholders(ctx, p, tended, asJSON)
		})
	})
	show.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.AddCommand(
		newPlaceholderCommand("ensure", "Create the placeholder if it is missing", func(ctx context.Context, flags *pflag.FlagSet) error {
			return withPool(ctx, p, flags, placeholderSettings, slog.LevelInfo, func(ctx context.Context, tended *pool.Pool, s config.Settings) error {
				done, err := ensurePlaceholder(ctx, tended, s)
				if err == nil {
					printEnsured(p.Stdout, tended, done)
				}
				return err
			})
		}),
		show,
		newPlaceholderCommand("delete", "Delete the placeholder; refuses to delete real agents", func(ctx context.Context, flags *pflag.FlagSet) error {
			return withPool(ctx, p, flags, placeholderSettings, slog.LevelInfo, func(ctx context.Context, tended *pool.Pool, s config.Settings) error {
				return deletePlaceholder(ctx, p.Stdout, tended, s.PlaceholderName())
			})
		}),
	)
	return c
}

func newPlaceholderCommand(name, short string, do func(context.Context, *pflag.FlagSet) error) *cobra.Command {
	c := &cobra.Command{
		Use: name, Short: short, Args: noArgs,
		Long: short + ".",
		RunE: func(c *cobra.Command, _ []string) error { return do(c.Context(), c.Flags()) },
	}
	c.Flags().SortFlags = false
	config.AddFlags(c.Flags(), placeholderSettings...)
	c.Flags().Lookup("agent-name").Usage = "the placeholder's name; " + pool.DefaultName + " if not set (AZP_AGENT_NAME)"
	c.Flags().Lookup("capability").Usage = "capabilities: name=value, separated by commas; " +
		"Agent.OS is Linux and Agent.Version is 99.999.9 unless given (AZP_CAPABILITIES)"
	return c
}

func ensurePlaceholder(ctx context.Context, tended *pool.Pool, s config.Settings) (pool.EnsureResult, error) {
	return tended.EnsurePlaceholder(ctx, pool.PlaceholderSpec{Name: s.PlaceholderName(), Capabilities: s.Capabilities})
}

func printEnsured(w io.Writer, tended *pool.Pool, done pool.EnsureResult) {
	lacked := strings.Join(done.Missing, ", ")
	switch what := fmt.Sprintf("placeholder %q in %v (agent %d)", done.Agent.Name, tended, done.Agent.ID); done.Outcome {
	case pool.Created:
		fmt.Fprintf(w, "created %s\n", what)
	case pool.Updated:
		fmt.Fprintf(w, "updated %s: it lacked %s\n", what, lacked)
	case pool.Unchanged:
		fmt.Fprintf(w, "%s exists: nothing changed\n", what)
	case pool.Foreign:
		fmt.Fprintf(w, "%s exists, made by another tool: left unchanged\n", what)
		if lacked != "" {
			fmt.Fprintf(w, "it lacks %s\n", lacked)
		}
	}
	if done.Disabled {
		fmt.Fprintln(w, "it is disabled: if the pool accepts no jobs, enable it in the portal")
	}
}

func deletePlaceholder(ctx context.Context, w io.Writer, tended *pool.Pool, name string) error {
	removed, err := tended.DeletePlaceholder(ctx, name)
	switch {
	case err != nil:
		return err
	case removed.ID == 0:
		fmt.Fprintf(w, "there is no placeholder %q in %v\n", name, tended)
	default:
		fmt.Fprintf(w, "deleted placeholder %q in %v (agent %d)\n", removed.Name, tended, removed.ID)
	}
	return nil
}

// placeholderRow is a row of the table, and its JSON.
type placeholderRow struct {
	ID           int               `json:"id"`                // id of the agent
	Name         string            `json:"name"`              // name of the agent
	Pool         string            `json:"pool,omitempty"`    // name of the pool
	PoolID       int               `json:"pool_id"`           // id of the pool
	Version      string            `json:"version"`           // version that it shows
	OS           string            `json:"os,omitempty"`      // operating system that it shows
	MadeBy       pool.Maker        `json:"made_by"`           // the tool that created it
	Status       string            `json:"status"`            // status at the server
	Enabled      bool              `json:"enabled"`           // whether it is enabled
	Created      string            `json:"created,omitempty"` // when it was created, RFC 3339
	Capabilities map[string]string `json:"capabilities"`      // user capabilities
}

func showPlaceholders(ctx context.Context, p Process, tended *pool.Pool, asJSON bool) error {
	found, err := tended.Placeholders(ctx)
	if err != nil {
		return err
	}
	rows := []placeholderRow{}
	for _, a := range found {
		rows = append(rows, newPlaceholderRow(tended, a))
	}
	if asJSON {
		return term.PrintJSON(p.Stdout, rows)
	}
	if len(rows) == 0 {
		p.remark(slog.LevelInfo, fmt.Sprintf("there is no placeholder in %v", tended), "create one with azptend placeholder ensure")
		return nil
	}
	table := term.NewTable(p.Stdout, "ID", "NAME", "VERSION", "OS", "MADE BY", "STATUS", "ENABLED", "CREATED")
	for _, r := range rows {
		table.Row(strconv.Itoa(r.ID), r.Name, r.Version, r.OS, string(r.MadeBy), r.Status, strconv.FormatBool(r.Enabled), r.Created)
	}
	return table.Flush()
}

func newPlaceholderRow(tended *pool.Pool, a azdo.Agent) placeholderRow {
	maker, _ := pool.PlaceholderMaker(a)
	r := placeholderRow{
		ID: a.ID, Name: a.Name, Pool: tended.Name, PoolID: tended.ID, Version: a.Version, OS: a.SystemCapabilities["Agent.OS"],
		MadeBy: maker, Status: a.Status, Enabled: a.IsEnabled(), Capabilities: map[string]string{},
	}
	if !a.CreatedOn.IsZero() {
		r.Created = a.CreatedOn.UTC().Format(time.RFC3339)
	}
	for name, value := range a.UserCapabilities {
		if !strings.HasPrefix(name, "azptend.") {
			r.Capabilities[name] = value
		}
	}
	return r
}
