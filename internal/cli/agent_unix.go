//go:build unix

package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/azptend/azptend/internal/control"
	"github.com/azptend/azptend/internal/proc"
)

// agentCommands makes the commands that work with an agent, or with an azptend that runs one,
// on this machine.
func agentCommands(p Process) []*cobra.Command {
	return []*cobra.Command{newRun(p), newRegister(p), newInstall(p), newService(p), newDrain(p), newHealthcheck(p), newDoctor(p)}
}

// agentHint is hintFor for errors of these commands.
func agentHint(err error) string {
	var user *proc.UserError
	switch {
	case errors.As(err, &user):
		return user.Hint
	case errors.Is(err, control.ErrNotRunning):
		return "check that AZP_AGENT_DIR (--agent-dir) and AZP_AGENT_ROOT (--agent-root) match the running azptend, and its log for a control-socket warning"
	case errors.Is(err, control.ErrForbidden):
		return "run the command as the user of the running azptend, or as root"
	case errors.Is(err, control.ErrNoResponse):
		return "check whether its process is stopped or stuck, and whether the machine is overloaded"
	case errors.Is(err, proc.ErrStartTimeout), errors.Is(err, proc.ErrThreadsBusy):
		return "check the file system of the agent directory: a network mount may not respond"
	}
	return ""
}
