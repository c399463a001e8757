package cli

import (
	"errors"
	"syscall"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/doctor"
	"github.com/azptend/azptend/internal/setup"
)

// hintFor is the hint for an error; "" if there is none. It tries the error's own hint first,
// and the doctor's table of causes, with the identity in the settings, last.
func (p Process) hintFor(err error) string {
	var dir *agentdir.DirError
	var hinter interface{ Hint() string }
	switch {
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "raise the limit of open files (ulimit -n, or LimitNOFILE= in systemd): azptend needs about 64, and jobs need more"
	case errors.Is(err, errAbandoned):
		return "check the mounts of AZP_AGENT_DIR, AZP_AGENT_ROOT, AZP_TOKEN_FILE and AZP_CA_FILE"
	case errors.As(err, &dir):
		return dir.Hint
	case errors.As(err, &hinter) && hinter.Hint() != "":
		return hinter.Hint()
	case errors.Is(err, setup.ErrSelf):
		return "run it as an administrator: with --auth azure-cli after `az login`, or with --auth pat and a personal access token in AZP_TOKEN"
	case errors.Is(err, azdo.ErrAzureDevOpsServer):
		return "set AZP_TOKEN to a personal access token: Azure DevOps Server accepts no Entra identities"
	}
	if hint := agentHint(err); hint != "" {
		return hint
	}
	return doctor.Hint(err, *p.settings)
}
