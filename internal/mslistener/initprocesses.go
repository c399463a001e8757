package mslistener

import (
	"context"

	"github.com/azptend/azptend/internal/proc"
)

// InitProcesses starts and adopts processes with a proc.Init.
type InitProcesses struct{ *proc.Init }

// Start starts a process.
func (p InitProcesses) Start(ctx context.Context, s proc.Spec) (Process, error) {
	c, err := p.Init.Start(ctx, s)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Adopt takes over a process that another azptend started.
func (p InitProcesses) Adopt(pid int, is func(proc.Info) bool) (Process, error) {
	f, err := p.Init.Adopt(pid, is)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// KillTrees kills processes that Adopt returned, their groups and descendants.
func (p InitProcesses) KillTrees(ctx context.Context, all []Process) int {
	var foreign []*proc.ForeignProcess
	for _, one := range all {
		if f, is := one.(*proc.ForeignProcess); is {
			foreign = append(foreign, f)
		}
	}
	return proc.KillTrees(ctx, foreign)
}
