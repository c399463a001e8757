package cli

import "github.com/spf13/cobra"

// azptend runs no agent on Windows. Its other commands work there: an administrator may use
// them from any machine.

func agentCommands(Process) []*cobra.Command { return nil }

func agentHint(error) string { return "" }
