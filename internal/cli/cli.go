// Package cli is the command line. Each command has a file: it parses flags and settings,
// calls other packages, and prints. The other packages do not print. Package exitcode has the
// exit codes.
package cli

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/logqueue"
	"github.com/azptend/azptend/internal/proc"
	"github.com/azptend/azptend/internal/secret"
	"github.com/azptend/azptend/internal/term"
)

// Process is the process in which a command runs: its arguments, streams and environment.
type Process struct {
	Name    string   // of the program, for its help
	Args    []string // with the program's name
	Environ []string
	Stdout  *os.File
	Stderr  *os.File
	Began   time.Time

	redactor   *secret.Redactor // removes the secrets in the settings from output
	settings   *config.Settings // the settings that the command loaded: they decide how an error is printed
	errors     *logqueue.Queue  // in front of Stderr, for the log and errors
	prints     *logqueue.Queue  // in front of Stdout, for the listener's output; may be the same queue
	undumpable error            // why this process could not be made undumpable; nil: it is
}

// OffMainThread runs a program on other threads, and the main thread only waits. The kernel
// delivers a signal for the process to its main thread first. If that hangs in a file system,
// no other thread gets the signal, and SIGTERM has no effect. The caller must have locked the
// main goroutine to the main thread, in an init function.
func OffMainThread(program func() int) int {
	code := make(chan int)
	go func() { code <- program() }()
	return <-code
}

// Main runs the program and returns its exit code. more makes the commands of other packages.
func Main(p Process, more ...func(Process) *cobra.Command) int {
	// This comes first in every command: a probe or a hook has the container's environment,
	// and runs beside jobs of the same user.
	p.undumpable = proc.MakeUndumpable()
	config.IgnoreGoSettings()
	p.redactor = &secret.Redactor{}
	p.settings = &config.Settings{LogFormat: config.LogFormatOf(p.Args[1:], p.Environ)}
	p.openStreams()
	root := NewRoot(p, more...)
	root.SetArgs(p.Args[1:])
	code := p.complain(p.redactor.Writer(p.errors), root.Execute())
	p.flushStreams()
	return code
}

// NewRoot makes the root command with all commands, including those of other packages.
func NewRoot(p Process, more ...func(Process) *cobra.Command) *cobra.Command {
	root := &cobra.Command{
		Use:     p.Name,
		Version: version(),
		Short:   "Tend Azure Pipelines agents: no PATs, no ghosts, no lost jobs",
		Long: "azptend is the entrypoint of a self-hosted Azure Pipelines agent. It registers\n" +
			"the agent with a managed identity, runs it, finishes its job on SIGTERM, and\n" +
			"removes it.",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return newUsageError(c, err.Error(), suggestFlag(c, err))
	})
	root.RunE = p.needsCommand
	root.Args = cobra.ArbitraryArgs
	root.AddCommand(agentCommands(p)...)
	root.AddCommand(newToken(p), newSetup(p), newSelftest(p), newPlaceholder(p), newAgents(p), newPrune(p), newKeep(p))
	for _, newCommand := range more {
		root.AddCommand(newCommand(p))
	}
	root.AddCommand(newVersion(p))
	addCompletion(p, root)
	addHelp(p, root)
	setHelp(root)
	for _, c := range root.Commands() {
		if c.Args == nil {
			c.Args = noArgs
		}
		switch c.Name() {
		case "install", "token", "doctor", "setup", "placeholder", "agents", "prune", "keep":
			endOnSignal(c)
		} // run, register and selftest have an agent to remove: they handle signals themselves
	}
	return root
}

// Self is the path of this program's own file.
func Self() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}

// WantsColor says whether to print in colors: on a terminal, unless NO_COLOR is set.
func (p Process) WantsColor() bool {
	for _, pair := range p.Environ {
		if strings.HasPrefix(pair, "NO_COLOR=") && pair != "NO_COLOR=" {
			return false
		}
	}
	return term.IsTerminal(p.Stdout)
}
