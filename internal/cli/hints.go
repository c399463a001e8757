package cli

import (
	"errors"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/control"
	"github.com/azptend/azptend/internal/doctor"
	"github.com/azptend/azptend/internal/proc"
	"github.com/azptend/azptend/internal/setup"
)

// hintFor knows what to do about the failures that everybody meets once. What the
// doctor can find is explained by the doctor.
func hintFor(err error) string {
	var unfit *agentdir.DirError
	var user *proc.UserError
	var knows interface{ Hint() string }
	switch {
	case errors.As(err, &unfit):
		return unfit.Hint
	case errors.As(err, &user):
		return user.Hint
	case errors.As(err, &knows) && knows.Hint() != "":
		return knows.Hint()
	case errors.Is(err, control.ErrNotRunning):
		return "is AZP_AGENT_DIR (--agent-dir) the one of the azptend run to talk to, and AZP_AGENT_ROOT (--agent-root) too if it has one, and was there no warning about its control socket?"
	case errors.Is(err, control.ErrForbidden):
		return "be the user that azptend run runs as, or root"
	case errors.Is(err, control.ErrNoResponse):
		return "its process is stopped or stuck, or the machine is too busy to let it answer"
	case errors.Is(err, proc.ErrStartTimeout), errors.Is(err, proc.ErrThreadsBusy):
		return "check the file system of the agent folder, for instance a network mount that does not answer"
	case errors.Is(err, setup.ErrSelf):
		return "run it as an administrator: with --auth azure-cli after `az login`, or with a personal access token in AZP_TOKEN and --auth pat"
	case errors.Is(err, azdo.ErrAzureDevOpsServer):
		return "on a server of one's own agents register with a personal access token (AZP_TOKEN)"
	}
	explained, _ := doctor.Explain(err)
	return explained.Fix
}
