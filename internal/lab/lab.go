// Package lab is azptend with fakes: the product's commands, and `demo` and
// `emulate`, which need no Azure. Started as Agent.Listener or Agent.Worker, it is
// the fake agent. Only cmd/azptend-lab runs it: the product links no fake.
package lab

import (
	"context"

	"github.com/azptend/azptend/internal/cli"
	"github.com/azptend/azptend/internal/fakeagent"
)

// Main runs the program and returns its exit code.
func Main(p cli.Process) int {
	if fakeagent.IsInvokedAs(p.Args[0]) {
		return fakeagent.Main(context.Background(), p.Args, p.Environ, p.Stdout, p.Stderr)
	}
	return cli.Main(p, newDemo, newEmulate)
}
