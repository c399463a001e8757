// Package cli is the command line. Each command has a file. It turns settings into
// calls of the packages below, and prints; nothing below prints. Package exitcode has
// the exit codes.
package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/logqueue"
	"github.com/azptend/azptend/internal/proc"
	"github.com/azptend/azptend/internal/secret"
	"github.com/azptend/azptend/internal/term"
)

// Process is what a command gets from the process it runs in.
type Process struct {
	Name    string   // of the program, for its help
	Args    []string // with the program's name
	Environ []string
	Stdout  *os.File
	Stderr  *os.File
	Began   time.Time

	redactor   *secret.Redactor // of what the settings hold that nobody is to read
	settings   *config.Settings // what this command has loaded: they decide how an error is printed
	errors     *logqueue.Queue  // in front of Stderr, for the log and what follows it
	prints     *logqueue.Queue  // in front of Stdout, for what a listener prints; may be the same
	undumpable error            // nil: other processes of our user cannot look into this one
}

// OffMainThread runs a program, and leaves the main thread to wait. The kernel hands a
// signal for the process to its main thread first. If that hangs in a file system, no
// other thread gets the signal, and SIGTERM has no effect. The caller has locked the
// main goroutine to the main thread, in an init function.
func OffMainThread(program func() int) int {
	code := make(chan int)
	go func() { code <- program() }()
	return <-code
}

// Main runs the program and returns its exit code. More makes commands of other
// packages.
func Main(p Process, more ...func(Process) *cobra.Command) int {
	// Before anything else, in every command: a probe and a hook are started with
	// the container's environment while jobs of the same user run.
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

// NewRoot makes the program: all its commands, with those of other packages.
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
		} // run, register and selftest have an agent to remove; the others die of a signal
	}
	return root
}

func newVersion(p Process) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(p.Stdout, "azptend %s (%s, %s/%s)\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

// version is the module's version where the binary was built from a tagged
// module, else the commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := strings.TrimPrefix(info.Main.Version, "v"); v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "0.0.0-" + s.Value[:12]
		}
	}
	return "0.0.0-dev"
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
