package cli

import (
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/azptend/azptend/internal/config"
)

// addCompletion adds cobra's completion scripts, and the completion of values. An unknown shell
// is an error. cobra would print the help, which a shell would then execute.
func addCompletion(p Process, root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			c.Args, c.RunE = cobra.ArbitraryArgs, p.needsCommand
			continue
		}
		for _, each := range append(c.Commands(), c) {
			each.ValidArgsFunction = cobra.NoFileCompletions
			each.Flags().VisitAll(func(f *pflag.Flag) {
				// It fails only for a flag that the command does not have.
				_ = each.RegisterFlagCompletionFunc(f.Name, completionOf(f))
			})
		}
	}
}

// The flags whose values are files or directories. Settings are named by their variable.
var (
	fileFlags = []string{"AZP_CA_FILE", "AZP_CLIENTCERTIFICATE", "AZP_TOKEN_FILE", "AZP_AGENT_FILE", "AZP_KEEP_TOKEN_FILE", "AZP_KEEP_GROUPS_FILE", "AZP_KEEP_SCALE_TOKEN_FILE", "env-file"}
	dirFlags  = []string{"AZP_WORK", "AZP_AGENT_DIR", "AZP_AGENT_ROOT", "AZP_REGISTERED", "out", "write"}
)

// completionOf completes the values of a flag: a list of values, files, directories, or nothing.
func completionOf(f *pflag.Flag) cobra.CompletionFunc {
	name, values := f.Name, []string(nil)
	if row, is := config.SettingOf(f); is {
		name, values = row.Env, row.Values
	}
	switch {
	case f.NoOptDefVal != "":
		values = []string{"true", "false"}
	case name == "state":
		values = stateNames()
	case name == "role":
		values = []string{"Reader", "Service Account", "Administrator"}
	case slices.Contains(fileFlags, name):
		return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault
		}
	case slices.Contains(dirFlags, name):
		return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		}
	}
	return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
}
