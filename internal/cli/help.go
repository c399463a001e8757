package cli

import (
	"fmt"
	"io"
	"maps"
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
	"":                   "azptend run --url https://dev.azure.com/your-organisation --pool linux",
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
	"placeholder":        "azptend placeholder ensure --pool linux",
	"placeholder ensure": "azptend placeholder ensure --pool linux --capability docker=true",
	"placeholder show":   "azptend placeholder show --pool linux",
	"placeholder delete": "azptend placeholder delete --pool linux",
	"agents":             "azptend agents --pool linux --state busy",
	"agents disable":     "azptend agents disable --pool linux --version-below 5.282.3 --yes",
	"agents enable":      "azptend agents enable --pool linux linux-1 linux-2",
	"prune":              "azptend prune --pool linux --older-than 3d --yes",
	"keep":               "azptend keep --pool linux --pool windows",
	"version":            "azptend version",
	"completion":         "source <(azptend completion bash)",
}

// commandGroups are the commands, grouped by their purpose.
var commandGroups = []struct {
	title string
	names []string
}{
	{"Run an agent", []string{"run", "register", "drain", "healthcheck"}},
	{"Set up", []string{"setup", "install", "service"}},
	{"Operate a pool", []string{"agents", "prune", "placeholder", "keep"}},
	{"Inspect", []string{"doctor", "selftest", "token", "version"}},
	{"Try it without Azure", []string{"demo", "emulate"}},
}

// setHelp adds an example to each command, and sets a usage text that groups its flags.
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
	for _, c := range append([]*cobra.Command{root}, root.Commands()...) {
		for _, each := range append(c.Commands(), c) {
			path := strings.TrimPrefix(strings.TrimPrefix(each.CommandPath(), root.Name()), " ")
			if example := examples[path]; example != "" {
				each.Example = "  " + strings.ReplaceAll(example, "\n", "\n  ")
			}
		}
		if c.Name() == "demo" { // azptend-lab's first command
			root.Example = c.Example
		}
	}
}

// usageText has a command's usage lines, subcommands, and flags by group.
func usageText(c *cobra.Command) string {
	var b strings.Builder
	b.WriteString("Usage:\n")
	if !c.HasAvailableSubCommands() || c.Name() == "agents" { // agents has subcommands, and can be run without one
		fmt.Fprintf(&b, "  %s\n", c.UseLine())
	}
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "  %s COMMAND\n", c.CommandPath())
	}
	if c.Example != "" {
		fmt.Fprintf(&b, "\nExamples:\n%s\n", c.Example)
	}
	writeCommands(&b, c)
	secrets := writeFlags(&b, c)
	if len(secrets) > 0 {
		b.WriteString("\n" + wrap("Each of these flags has a variable, in brackets. The flag overrides it. Secrets have only a variable, "+
			"because other users can read a command line: "+strings.Join(secrets, ", ")+".", 0) + "\n")
	}
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\nRun '%s COMMAND --help' for the flags of a command.\n", c.CommandPath())
	}
	return b.String()
}

// writeCommands lists the subcommands. Those of the root command are grouped.
func writeCommands(b *strings.Builder, c *cobra.Command) {
	rest := map[string]*cobra.Command{}
	width := 0
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() || sub.Name() == "help" {
			rest[sub.Name()] = sub
			width = max(width, len(sub.Name()))
		}
	}
	write := func(title string, names []string) {
		names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return rest[name] == nil })
		if len(names) == 0 {
			return
		}
		fmt.Fprintf(b, "\n%s:\n", title)
		for _, name := range names {
			fmt.Fprintf(b, "  %-*s  %s\n", width, name, wrap(rest[name].Short, width+4))
			delete(rest, name)
		}
	}
	title := "Commands"
	if !c.HasParent() {
		title = "Other commands"
		for _, group := range commandGroups {
			write(group.title, group.names)
		}
	}
	write(title, slices.Sorted(maps.Keys(rest)))
}

// writeFlags lists the flags, the command's own first and those of settings by group. It
// returns the secrets of these groups, which have no flag.
func writeFlags(b *strings.Builder, c *cobra.Command) (secrets []string) {
	groups, names := map[config.Group]*pflag.FlagSet{}, []config.Group{}
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		row, _ := config.SettingOf(f)
		if groups[row.Group] == nil {
			groups[row.Group] = pflag.NewFlagSet("", pflag.ContinueOnError)
			groups[row.Group].SortFlags = false
			names = append(names, row.Group)
		}
		groups[row.Group].AddFlag(withType(f))
	})
	slices.SortStableFunc(names, func(a, b config.Group) int { return min(len(a), 1) - min(len(b), 1) })
	for _, name := range names {
		title := "Flags"
		if name != "" {
			title = string(name)
		}
		fmt.Fprintf(b, "\n%s:\n%s", title, groups[name].FlagUsagesWrapped(helpWidth))
	}
	for _, row := range config.Table {
		if row.Flag == "" && groups[row.Group] != nil {
			secrets = append(secrets, row.Env)
		}
	}
	return secrets
}

// withType is a flag with azptend's type name for the help. pflag has other names, and prints a
// default for a list without one.
func withType(f *pflag.Flag) *pflag.Flag {
	name := f.Value.Type()
	if row, is := config.SettingOf(f); is && name == "string" {
		name = row.Type()
	}
	switch name {
	case "stringArray", "stringSlice":
		name = "list"
	case "float64":
		name = "number"
	}
	shown := *f
	shown.Value = typedValue{f.Value, name}
	shown.DefValue = strings.Trim(f.DefValue, "[]")
	return &shown
}

type typedValue struct {
	pflag.Value
	name string
}

func (v typedValue) Type() string { return v.name }

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

// wrap wraps a text into lines that begin at a column.
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
