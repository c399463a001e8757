package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/azptend/azptend/internal/config"
)

// helpWidth is the width of the help in columns.
const helpWidth = 80

// examples has an example for each command, by its path below the program's name.
var examples = map[string]string{
	"run":                "azptend run --url https://dev.azure.com/your-organisation --pool linux --once",
	"register":           "azptend register --out /shared/agent --pool linux",
	"install":            "azptend install --agent-dir /azp --agent-version 5.282.3 --agent-sha256 SHA256",
	"service":            "azptend service --user agent --write /etc/systemd/system",
	"drain":              "azptend drain --agent-dir /azp --wait",
	"healthcheck":        "azptend healthcheck --agent-dir /azp --ready",
	"token":              "azptend token --url https://dev.azure.com/your-organisation",
	"doctor":             "azptend doctor --url https://dev.azure.com/your-organisation --pool linux",
	"setup":              "azptend setup --url https://dev.azure.com/your-organisation --pool linux \\\n    --identity 01234567-89ab-cdef-0123-456789abcdef --apply",
	"selftest":           "azptend selftest --url https://dev.azure.com/your-organisation --pool linux",
	"placeholder ensure": "azptend placeholder ensure --pool linux --capability docker=true",
	"placeholder show":   "azptend placeholder show --pool linux",
	"placeholder delete": "azptend placeholder delete --pool linux",
	"agents":             "azptend agents --pool linux --state busy",
	"agents disable":     "azptend agents disable --pool linux --version-below 5.282.3 --yes",
	"agents enable":      "azptend agents enable --pool linux linux-1 linux-2",
	"prune":              "azptend prune --pool linux --older-than 3d --yes",
	"keep":               "azptend keep --pool linux --pool windows",
}

// setHelp gives every command an example, and a usage text that groups its flags.
func setHelp(root *cobra.Command) {
	root.SetUsageFunc(func(c *cobra.Command) error {
		_, err := io.WriteString(c.OutOrStderr(), usageText(c))
		return err
	})
	root.SetHelpFunc(func(c *cobra.Command, _ []string) {
		long := c.Long
		if long == "" {
			long = c.Short
		}
		fmt.Fprintf(c.OutOrStdout(), "%s\n\n%s", wrapParagraphs(long), usageText(c))
	})
	for _, c := range root.Commands() {
		for _, each := range append(c.Commands(), c) {
			if example := examples[strings.TrimPrefix(each.CommandPath(), root.Name()+" ")]; example != "" {
				each.Example = "  " + example
			}
		}
	}
}

// usageText lists how a command is called, its subcommands, and its flags by group.
func usageText(c *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage:\n  %s\n", c.UseLine())
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "  %s COMMAND\n", c.CommandPath())
	}
	if c.Example != "" {
		fmt.Fprintf(&b, "\nExample:\n%s\n", c.Example)
	}
	if c.HasAvailableSubCommands() {
		b.WriteString("\nCommands:\n")
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() || sub.Name() == "help" {
				fmt.Fprintf(&b, "  %-*s %s\n", sub.NamePadding(), sub.Name(), wrap(sub.Short, sub.NamePadding()+3))
			}
		}
	}
	groups, names := map[config.Group]*pflag.FlagSet{}, []config.Group{}
	add := func(f *pflag.Flag) {
		group := config.GroupOf(f)
		if groups[group] == nil {
			groups[group] = pflag.NewFlagSet("", pflag.ContinueOnError)
			groups[group].SortFlags = false
			names = append(names, group)
		}
		groups[group].AddFlag(f)
	}
	c.LocalFlags().VisitAll(add)
	// The command's own flags come first.
	slices.SortStableFunc(names, func(a, b config.Group) int { return min(len(a), 1) - min(len(b), 1) })
	for _, name := range names {
		title := "Flags"
		if name != "" {
			title = string(name)
		}
		fmt.Fprintf(&b, "\n%s:\n%s", title, groups[name].FlagUsagesWrapped(helpWidth))
	}
	if len(names) > 1 {
		b.WriteString("\nEach of these flags has a variable, in brackets. The flag overrides it. Secrets\n" +
			"have only a variable, because other users can read a command line: AZP_TOKEN,\nAZP_CLIENTSECRET")
		if groups[config.Keeper] != nil {
			b.WriteString(", AZP_KEEP_TOKEN")
		}
		b.WriteString(".\n")
	}
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\nRun '%s COMMAND --help' for the flags of a command.\n", c.CommandPath())
	}
	return b.String()
}

// wrapParagraphs wraps each paragraph that is not indented.
func wrapParagraphs(s string) string {
	paragraphs := strings.Split(strings.TrimSpace(s), "\n\n")
	for i, p := range paragraphs {
		if !strings.HasPrefix(p, " ") {
			paragraphs[i] = wrap(p, 0)
		}
	}
	return strings.Join(paragraphs, "\n\n")
}

// wrap breaks a text into lines that begin at a column.
func wrap(s string, column int) string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		if line != "" && column+len(line)+1+len(word) > helpWidth {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return strings.Join(append(lines, line), "\n"+strings.Repeat(" ", column))
}
