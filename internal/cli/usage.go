package cli

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/text"
)

// usageError is an error in the command line.
type usageError struct {
	what       string
	suggestion string // "did you mean --pool?"; "" if nothing is similar
	command    string
}

func newUsageError(c *cobra.Command, what, suggestion string) error {
	return exitcode.With(exitcode.Usage, &usageError{what, suggestion, c.CommandPath()})
}

func (e *usageError) Error() string {
	return "cannot read the command line: " + e.what
}

// Hint is what to do about it.
func (e *usageError) Hint() string {
	hint := "run '" + e.command + " --help' for usage"
	if e.suggestion != "" {
		hint = e.suggestion + " (" + hint + ")"
	}
	return hint
}

// badFlag is the error for a bad value of a command's own flag.
func badFlag(hint, format string, args ...any) error {
	return exitcode.With(exitcode.Usage, text.WithHint(fmt.Errorf("cannot read the command line: "+format, args...), hint))
}

// needsCommand runs a command that only has subcommands. It prints the help to standard error,
// unless the log there is JSON. It fails, because a container whose entrypoint lacks its
// argument must not succeed.
func (p Process) needsCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		if !p.logsJSON() {
			fmt.Fprintln(c.ErrOrStderr(), usageText(c))
		}
		return newUsageError(c, "no command is given", "")
	}
	return newUsageError(c, fmt.Sprintf("there is no command %q", args[0]), suggestCommand(c, args[0]))
}

// suggestCommand suggests a subcommand of c for an unknown name.
func suggestCommand(c *cobra.Command, name string) string {
	var names []string
	for _, sub := range c.Commands() {
		names = append(names, sub.Name())
	}
	if near := text.Nearest(name, names); near != "" {
		return fmt.Sprintf("did you mean '%s %s'?", c.CommandPath(), near)
	}
	return ""
}

// addHelp adds the command help. cobra's own succeeds for a command that does not exist.
func addHelp(p Process, root *cobra.Command) {
	root.InitDefaultHelpCmd()
	for _, c := range root.Commands() {
		if c.Name() != "help" {
			continue
		}
		c.Run, c.Args = nil, cobra.ArbitraryArgs
		c.RunE = func(_ *cobra.Command, args []string) error {
			about, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return p.needsCommand(about, append(rest, args...)[:1])
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		}
	}
}

// noArgs refuses arguments. "--once false" has one, because a bool flag takes its value only
// after "=".
func noArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	suggestion := cmp.Or(suggestCommand(c, args[0]), suggestEntrypoint(c, args[0]))
	if slices.Contains([]string{"true", "false", "yes", "no", "on", "off", "1", "0"}, strings.ToLower(args[0])) {
		var set []string
		c.Flags().Visit(func(f *pflag.Flag) {
			if f.NoOptDefVal != "" {
				set = append(set, f.Name)
			}
		})
		if len(set) == 1 {
			suggestion = fmt.Sprintf("did you mean --%s=%s?", set[0], args[0])
		} else if len(set) > 1 {
			suggestion = fmt.Sprintf("write the value of a boolean flag after an equals sign, as in --%s=%s", set[0], args[0])
		}
	}
	return newUsageError(c, fmt.Sprintf("%s takes no argument %q", c.CommandPath(), args[0]), suggestion)
}

// suggestEntrypoint is for "docker run IMAGE doctor": the image's entrypoint is azptend run.
func suggestEntrypoint(c *cobra.Command, name string) string {
	if sub, _, err := c.Root().Find([]string{name}); c.Name() != "run" || err != nil || !sub.HasParent() {
		return ""
	}
	return fmt.Sprintf("write 'azptend %s'; where 'azptend run' is the entrypoint of an image, use 'docker run --entrypoint azptend IMAGE %s'", name, name)
}

// configureFlags are arguments of Microsoft's config.sh that have another name in azptend.
var configureFlags = map[string]string{"agent": "agent-name", "proxyurl": "proxy", "sslcacert": "ca-file", "clientid": "client-id", "tenantid": "tenant-id"}

// suggestFlag suggests a flag for one that c does not have.
func suggestFlag(c *cobra.Command, err error) string {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return ""
	}
	name := cmp.Or(unknown.GetSpecifiedShortnames(), unknown.GetSpecifiedName()) // "-once" is one of the former
	for _, row := range config.Table {
		if row.Flag == "" && strings.EqualFold(strings.ReplaceAll(name, "-", ""), strings.ReplaceAll(strings.TrimPrefix(row.Env, "AZP_"), "_", "")) {
			return fmt.Sprintf("set the variable %s: it has no flag, because other users can read a command line", row.Env)
		}
	}
	var flags []string
	c.Flags().VisitAll(func(f *pflag.Flag) { flags = append(flags, f.Name) })
	if other := configureFlags[strings.ToLower(name)]; slices.Contains(flags, other) {
		return fmt.Sprintf("did you mean --%s?", other)
	}
	if near := text.Nearest(name, flags); near != "" {
		return fmt.Sprintf("did you mean --%s?", near)
	}
	for _, command := range []string{"run", "keep"} { // the commands with most of the flags
		if sub, _, err := c.Root().Find([]string{command}); err == nil && sub.Flags().Lookup(name) != nil {
			return fmt.Sprintf("did you mean '%s --%s'?", sub.CommandPath(), name)
		}
	}
	return ""
}
