package cli

import "github.com/spf13/cobra"

func newDemo(p Process) *cobra.Command {
	return &cobra.Command{Use: "demo", RunE: func(*cobra.Command, []string) error { return nil }}
}
