package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/pool"
	"github.com/azptend/azptend/internal/term"
	"github.com/azptend/azptend/internal/text"
)

// watchAgents prints the agents again and again. A signal ends it without an error.
func watchAgents(ctx context.Context, p Process, tended *pool.Pool, chosen agentFilter, every time.Duration, asJSON bool) error {
	tell := (&changePrinter{p: p, asJSON: asJSON}).print
	if term.IsTerminal(p.Stdout) && !asJSON {
		tell = func(tended *pool.Pool, agents []azdo.Agent) error { return redraw(p, tended, agents) }
	}
	for {
		agents, err := tended.Agents(ctx, nil)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		if err := tell(tended, chosen.apply(agents)); err != nil {
			return fmt.Errorf("cannot write to standard output: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

// redraw clears the terminal and prints as many rows of the table as fit.
func redraw(p Process, tended *pool.Pool, agents []azdo.Agent) error {
	var b bytes.Buffer
	if err := agentTable(&b, agentRows(tended, agents)); err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	last := fmt.Sprintf("%v, %s: %s; press Ctrl-C to stop", tended, tended.Now().UTC().Format(time.TimeOnly), text.Count(len(agents), "agent"))
	if room := term.Rows(p.Stdout) - 2; room > 0 && len(lines) > room {
		last += fmt.Sprintf("; %d more below", len(lines)-room)
		lines = lines[:room]
	}
	_, err := fmt.Fprintf(p.Stdout, "\x1b[H\x1b[J%s\n\n%s", strings.Join(lines, "\n"), last)
	return err
}

// changePrinter prints a line for each agent that has changed since the last time. It is used
// if the output is a file or a pipe.
type changePrinter struct {
	p      Process
	asJSON bool
	before map[int]agentRow
}

// change is the JSON of a changed agent.
type change struct {
	Time   time.Time `json:"time"`   // when azptend saw the change
	Change string    `json:"change"` // what happened: there, changed or gone
	agentRow
}

func (c *changePrinter) print(tended *pool.Pool, agents []azdo.Agent) error {
	now := map[int]agentRow{}
	var lines []change
	at := tended.Now().UTC().Truncate(time.Second)
	for _, row := range agentRows(tended, agents) {
		now[row.ID] = row
		before, known := c.before[row.ID]
		switch {
		case !known:
			lines = append(lines, change{at, "there", row})
		case before.summary() != row.summary():
			lines = append(lines, change{at, "changed", row})
		}
	}
	for id, row := range c.before {
		if _, there := now[id]; !there {
			lines = append(lines, change{at, "gone", row})
		}
	}
	c.before = now
	slices.SortFunc(lines, func(a, b change) int { return a.ID - b.ID })
	for _, line := range lines {
		if err := c.write(line); err != nil {
			return err
		}
	}
	return nil
}

// summary contains the values whose change is printed.
func (r agentRow) summary() string {
	return strings.Join([]string{r.Name, string(r.State), fmt.Sprint(r.Enabled), r.Version, r.Job.text()}, "\n")
}

func (c *changePrinter) write(line change) error {
	if c.asJSON {
		return json.NewEncoder(c.p.Stdout).Encode(line)
	}
	state := string(line.State)
	if line.Change == "gone" {
		state = line.Change
	} else if !line.Enabled && line.State != pool.StateDisabled {
		state += ", disabled"
	}
	text := fmt.Sprintf("%s  %s (agent %d, version %s): %s", line.Time.Format(time.RFC3339), line.Name, line.ID, line.Version, state)
	if job := line.Job.text(); job != "" && line.Change != "gone" {
		text += ", job " + job
	}
	_, err := fmt.Fprintln(c.p.Stdout, term.Safe(text))
	return err
}
