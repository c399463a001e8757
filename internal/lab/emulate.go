// Package lab is azptend with fakes: it has the product's commands, and `demo` and `emulate`,
// which need no Azure. If it is started as Agent.Listener or Agent.Worker, it is the fake
// agent. Only cmd/azptend-lab runs it: the product links no fakes.
package lab

import (
	"context"
	"fmt"
	"log/slog"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/azptend/azptend/internal/cli"
	"github.com/azptend/azptend/internal/connlimit"
	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/fakeagent"
	"github.com/azptend/azptend/internal/term"
)

// Main runs the program and returns its exit code.
func Main(p cli.Process) int {
	if fakeagent.IsInvokedAs(p.Args[0]) {
		return fakeagent.Main(context.Background(), p.Args, p.Environ, p.Stdout, p.Stderr)
	}
	return cli.Main(p, newDemo, newEmulate)
}

type emulateFlags struct {
	listen    string
	org       string
	pools     []string
	projects  []string
	hosts     []string
	timeScale float64
	agentDir  string
	verbose   bool
	limit     emulator.RateLimit
}

func newEmulate(p cli.Process) *cobra.Command {
	var f emulateFlags
	c := &cobra.Command{
		Use:   "emulate",
		Short: "Emulate Azure DevOps' agent pools and Azure's identity endpoint on localhost",
		Long: `Emulate Azure DevOps' agent pools and Azure's identity endpoint on localhost,
in memory, until Ctrl-C. It prints what to export. "azptend install" can download
a fake agent from it; --agent-dir puts one into a directory.

Queue jobs, and set faults and holds, on /_emulator/ (docs/emulator.md).`,
		Example: "  azptend-lab emulate --pool linux --agent-dir /tmp/agent",
		RunE:    func(*cobra.Command, []string) error { return emulate(p, f) },
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.listen, "listen", "127.0.0.1:8140", "address to listen on; port 0 takes a free one")
	flags.StringArrayVar(&f.hosts, "host", nil, "another host name that clients may use; may be repeated")
	flags.StringVar(&f.org, "org", "emulated", "the organisation's name")
	flags.StringArrayVar(&f.pools, "pool", []string{"Default"}, "a pool that exists from the start; may be repeated")
	flags.StringArrayVar(&f.projects, "project", []string{"Project"}, "a project that exists from the start; may be repeated")
	flags.StringVar(&f.agentDir, "agent-dir", "", "put a fake agent into this directory")
	flags.Float64Var(&f.timeScale, "time-scale", 1, "divide the protocol's slow times (long poll, session and job locks) by this")
	flags.Float64Var(&f.limit.Budget, "rate-limit", 0, "rate limit of an identity, in TSTU in five minutes; Azure DevOps allows 200; 0 means no limit")
	flags.Float64Var(&f.limit.Cost, "call-cost", 1, "TSTU of a call; an assumption, because Azure DevOps publishes no number")
	flags.BoolVar(&f.verbose, "verbose", false, "log each call on standard error")
	return c
}

func emulate(p cli.Process, f emulateFlags) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.DiscardHandler)
	if f.verbose {
		log = slog.New(slog.NewTextHandler(p.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	e, err := emulator.New(emulator.Options{Org: f.org, Pools: f.pools, Projects: f.projects, Hosts: f.hosts, TimeScale: f.timeScale,
		RateLimit: f.limit, Log: log, AgentPackage: fakePackage()})
	if err != nil {
		return exitcode.With(exitcode.Usage, err)
	}
	listener, err := connlimit.Listen(f.listen, "--listen")
	if err != nil {
		return exitcode.With(exitcode.Usage, err)
	}
	if !emulator.IsLoopback(listener.Addr()) {
		fmt.Fprintf(p.Stderr, "azptend: warning: other machines can reach %s: anyone there can queue jobs, which run scripts as you\nhint: listen on 127.0.0.1, or on a network that is yours alone\n", listener.Addr())
	}
	base := "http://" + listener.Addr().String()
	agentDir, err := layOutFakeAgent(f.agentDir)
	if err != nil {
		return err
	}
	out := &term.Output{W: p.Stdout}
	for _, v := range e.Environment(base) {
		fmt.Fprintf(out, "export %s=%s\n", v.Name, v.Value)
	}
	if agentDir != "" {
		fmt.Fprintf(out, "export AZP_AGENT_DIR=%s\n", agentDir)
	}
	fmt.Fprintf(out, "# with a PAT instead: unset IDENTITY_ENDPOINT IDENTITY_HEADER MANAGED_IDENTITY_OBJECT_ID; export AZP_TOKEN=%s\n", e.DefaultPAT)
	fmt.Fprintf(out, "# queue a job: curl -d '{\"script\":\"echo hello\"}' %s/_emulator/jobs\n", base)
	if err := out.Err(); err != nil { // the printed variables are needed to use it
		listener.Close()
		return err
	}
	return e.Serve(ctx, listener)
}

// fakePackage is the fake agent as a package that azptend install can download; nil on systems
// where no agent runs.
func fakePackage() *emulator.AgentPackage {
	platform := fakeagent.Platform()
	if platform == "" {
		return nil
	}
	return &emulator.AgentPackage{Platform: platform, Version: fakeagent.Version, Archive: func() ([]byte, error) {
		executable, err := cli.Self()
		if err != nil {
			return nil, err
		}
		return fakeagent.Pack(executable)
	}}
}

// layOutFakeAgent makes dir an agent's directory. If dir is "", it does nothing.
func layOutFakeAgent(dir string) (string, error) {
	if dir == "" {
		return "", nil
	}
	executable, err := cli.Self()
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	if err != nil {
		return "", fmt.Errorf("cannot lay out the fake agent: %w", err)
	}
	return dir, fakeagent.LayOut(dir, executable)
}
