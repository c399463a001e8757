package cli

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestHelp: the help of each command is at most 80 columns wide, and has an example with flags
// that exist.
func TestHelp(t *testing.T) {
	root := NewRoot(Process{Name: "azptend", Stdout: os.Stdout, Stderr: os.Stderr})
	seen := 0
	var check func(c *cobra.Command)
	check = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			if sub.Name() != "help" {
				check(sub)
			}
		}
		var help bytes.Buffer
		c.SetOut(&help)
		if err := c.Help(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(help.String()) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > helpWidth {
				t.Errorf("%s: %d columns: %s", c.CommandPath(), n, line)
			}
		}
		if c.Parent() != nil && c.Parent().Name() == "completion" { // cobra's text has longer lines
			return
		}
		seen++
		words := strings.Fields(strings.NewReplacer("\\\n", " ", "source <(", "", ")", "").Replace(c.Example))
		found, rest, err := root.Find(words[min(1, len(words)):])
		if c.HasAvailableSubCommands() && found != c { // the example is of a subcommand
			found = found.Parent()
		}
		if err != nil || found != c {
			t.Errorf("%s has the example %q: %v", c.CommandPath(), c.Example, err)
			return
		}
		if err := c.ParseFlags(rest); err != nil && !c.HasAvailableSubCommands() {
			t.Errorf("%s has the example %q: %v", c.CommandPath(), c.Example, err)
		}
	}
	check(root)
	if seen != len(examples) {
		t.Errorf("%d commands need an example, there are %d", seen, len(examples))
	}
}

func TestHelpGroupsFlags(t *testing.T) {
	root := NewRoot(Process{Name: "azptend", Stdout: os.Stdout, Stderr: os.Stderr})
	run, _, _ := root.Find([]string{"run"})
	text := usageText(run)
	last := 0
	for _, title := range []string{"\nExamples:", "\nConnection:", "--url", "\nPool:", "\nIdentity:", "--auth", "\nWhen the agent exits:", "--once", "AZP_CLIENTSECRET"} {
		at := strings.Index(text[last:], title)
		if at < 0 {
			t.Fatalf("%q is not where it belongs in\n%s", title, text)
		}
		last += at
	}
}
