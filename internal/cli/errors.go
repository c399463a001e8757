package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/azptend/azptend/internal/agent"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/identity"
	"github.com/azptend/azptend/internal/proc"
)

// The rules of the voice, for everything this program says when it fails:
//
//   - on standard error, with the prefix "azptend: "
//   - "cannot X: why", in lower case and without a period at the end
//   - then a line "hint: " with what to do, wherever we know
//   - the variable or flag is named; a secret never is

// The exit codes that a command chooses itself; `run` has the table's.
const (
	exitUsage       = 64
	exitFault       = 70
	exitInterrupted = 130
)

// exitError is an error with an exit code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// silent is an exit code that needs no words: they were said.
type silent int

func (s silent) Error() string { return fmt.Sprintf("exit code %d", int(s)) }

// complain prints an error and returns the exit code for it. It is the only
// printer of errors.
func complain(w io.Writer, err error) int {
	if err == nil {
		return 0
	}
	var quiet silent
	if errors.As(err, &quiet) {
		return int(quiet)
	}
	printError(w, err)
	var coded *exitError
	if errors.As(err, &coded) {
		return coded.code
	}
	return exitFault
}

func printError(w io.Writer, err error) {
	var invalid *config.InvalidError
	if errors.As(err, &invalid) {
		printProblems(w, invalid.Problems)
		return
	}
	fmt.Fprintf(w, "azptend: %v\n", err)
	if hint := hintFor(err); hint != "" {
		fmt.Fprintf(w, "hint: %s\n", hint)
	}
}

func printProblems(w io.Writer, problems []config.Problem) {
	if len(problems) > 1 {
		fmt.Fprintf(w, "azptend: cannot use the settings: %d problems\n", len(problems))
	}
	for _, p := range problems {
		prefix := "  "
		if len(problems) == 1 {
			prefix = "azptend: cannot use the settings: "
		}
		fmt.Fprintf(w, "%s%s\n", prefix, p.What)
		if p.Hint != "" {
			fmt.Fprintf(w, "%shint: %s\n", strings.Repeat(" ", min(2*(len(problems)-1), 2)), p.Hint)
		}
	}
}

// hintFor knows what to do about the failures that everybody meets once.
// Sources: azure-devops-rest.md 5, identity.md 5.
func hintFor(err error) string {
	var unfit *agent.UnfitError
	var endpoint *identity.EndpointError
	var user *proc.UserError
	switch {
	case errors.As(err, &user):
		return user.Hint
	case errors.As(err, &unfit):
		return unfit.Hint
	case errors.Is(err, azdo.ErrNoPool):
		return "if the pool exists, the identity may not see it: it needs a Basic licence in the organisation " +
			"(Organization settings, Users) and the Administrator role on the pool (Agent pools, the pool, Security)"
	case errors.Is(err, azdo.ErrSignIn):
		return "the token is expired, of another tenant, or no token for Azure DevOps"
	case errors.As(err, &endpoint) && endpoint.NoToken:
		return "is IDENTITY_ENDPOINT really the platform's identity endpoint?"
	case errors.As(err, &endpoint) && endpoint.Status == 403:
		return "is IDENTITY_HEADER the one that the platform gave this very container?"
	case errors.As(err, &endpoint):
		return "is the identity assigned to this container app or machine, and is MANAGED_IDENTITY_OBJECT_ID its object (principal) id?"
	}
	switch azdo.Status(err) {
	case 401:
		return "is the identity a user of the organisation (Organization settings, Users), and in the organisation's own tenant? " +
			"a personal access token may have expired, or lack the scope Agent Pools (read, manage)"
	case 404:
		return "is the organisation's name in AZP_URL (--url) right, and the pool's id, if one is set?"
	case 403:
		return "give the identity the Administrator role on the organisation's pool (Organization settings, Agent pools, " +
			"the pool, Security): the role on a project's pool is not enough"
	}
	return ""
}
