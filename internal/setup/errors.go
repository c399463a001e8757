package setup

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/azptend/azptend/internal/azdo"
)

// ErrSelf says that the identity is the caller's own. Nobody can change their own role
// (azure-devops-rest.md 4.3).
var ErrSelf = errors.New("azptend itself uses this identity")

// The ids that people take for an object id.
const (
	kindApplicationID  = "an application (client) id"
	kindRegistrationID = "the object id of an app registration"
)

// WrongIDError says that an id is not an object id.
type WrongIDError struct {
	ID        string
	Kind      string         // what it is
	Principal azdo.Principal // whose it is, where that is known
}

func (e *WrongIDError) Error() string {
	text := fmt.Sprintf("cannot use --identity %s: it is %s", e.ID, e.Kind)
	if e.Principal.Name != "" {
		text += fmt.Sprintf(", of %q", e.Principal.Name)
	}
	return text + ", and not a service principal's or managed identity's own object id"
}

// Hint says which id it is.
func (e *WrongIDError) Hint() string {
	if e.Principal.ObjectID != "" {
		return "use its object id: " + e.Principal.ObjectID
	}
	return "use the object id from Entra ID's Enterprise applications, not from App registrations: " +
		"`az ad sp show --id <application id> --query id`, and of a managed identity `az identity show --query principalId`"
}

// NoPoolError says that the pool does not exist, or that the caller cannot see it.
type NoPoolError struct {
	Cause  error
	Remove bool // what was given on it was to be taken back
}

func (e *NoPoolError) Error() string { return e.Cause.Error() }
func (e *NoPoolError) Unwrap() error { return e.Cause }

// Hint says that it can be made, or how to go on without it.
func (e *NoPoolError) Hint() string {
	if e.Remove {
		return "check its name; if the pool was deleted, its roles are gone too: name another pool, and setup removes the identity unless it is used elsewhere"
	}
	return "use --create-pool to create it; if it exists, you need its Administrator role"
}

// NoProjectError says that the project does not exist, or that the caller cannot see it.
type NoProjectError struct{ Cause error }

func (e *NoProjectError) Error() string { return e.Cause.Error() }
func (e *NoProjectError) Unwrap() error { return e.Cause }

// Hint says what to look at.
func (e *NoProjectError) Hint() string {
	return "check --project, and that you can see the project"
}

// PermissionError says that the caller, who is known, may not even look.
type PermissionError struct{ Cause error }

func (e *PermissionError) Error() string { return e.Cause.Error() }
func (e *PermissionError) Unwrap() error { return e.Cause }

// Hint says what that takes.
func (e *PermissionError) Hint() string {
	return "run setup as a Project Collection Administrator; a personal access token needs full access for this, " +
		"or the scopes Member Entitlement Management, Graph, Security and Agent Pools"
}

// asPermissionError makes a MayNotError of a refusal; other errors stay as they are.
func asPermissionError(err error) error {
	if status := azdo.Status(err); status == http.StatusUnauthorized || status == http.StatusForbidden {
		return &PermissionError{err}
	}
	return err
}

// ClosedPoolError says that nobody but Azure DevOps adds agents to the pool.
type ClosedPoolError struct{ Pool, Why string }

func (e *ClosedPoolError) Error() string { return fmt.Sprintf("cannot use %s: %s", e.Pool, e.Why) }

// Hint says which pool to take.
func (e *ClosedPoolError) Hint() string { return "use a self-hosted pool; --create-pool creates one" }

// NoRoleError says that there is no role of a name.
type NoRoleError struct {
	Name      string
	Available []string
}

func (e *NoRoleError) Error() string {
	return fmt.Sprintf("cannot use --role %q: the roles on a pool are %s", e.Name, strings.Join(e.Available, ", "))
}

// StepError is a step that failed.
type StepError struct {
	Step  Step
	Cause error
}

func (e *StepError) Error() string { return e.Cause.Error() }
func (e *StepError) Unwrap() error { return e.Cause }

// Hint says what the caller lacks: an administrator of the organisation may do
// all of it (azure-devops-rest.md 4.1, 4.3).
func (e *StepError) Hint() string {
	var knows interface{ Hint() string }
	if errors.As(e.Cause, &knows) {
		return knows.Hint()
	}
	if azdo.ClassOf(e.Cause) == azdo.NotReady {
		return "a new identity takes a minute or two: run setup again. If it is not new, the id belongs to another tenant or is no object id: " +
			"`az ad sp show --id <application id> --query id`, and of a managed identity `az identity show --query principalId`"
	}
	status := azdo.Status(e.Cause)
	if status == http.StatusConflict && e.Step.Action == MakePool {
		return "the pool exists, but you cannot see it: ask its administrator for the Administrator role"
	}
	if status != http.StatusForbidden && status != http.StatusUnauthorized {
		return ""
	}
	needs := map[Action]string{
		AddIdentity: "a Project Collection Administrator", SetLicense: "a Project Collection Administrator", RemoveIdentity: "a Project Collection Administrator",
		MakePool: "an Administrator of all pools (Organization settings, Agent pools, Security)",
		GiveRole: "an Administrator of the pool", RemoveRole: "an Administrator of the pool", StopUpdates: "an Administrator of the pool",
		AddToProject: "an administrator of the project", OpenToAll: "an administrator of the project's pools", CloseToAll: "an administrator of the project's pools",
	}[e.Step.Action]
	if status == http.StatusUnauthorized {
		return "a personal access token needs full access for this, or the scopes Member Entitlement Management, Graph, Security and Agent Pools"
	}
	return "run setup as " + needs + ": it continues after the steps that are done"
}

// UnconfirmedError says that the service accepted every request, but something is still
// missing.
type UnconfirmedError struct{ Missing []Step }

func (e *UnconfirmedError) Error() string {
	var what []string
	for _, s := range e.Missing {
		what = append(what, s.What)
	}
	return "cannot confirm the setup: Azure DevOps accepted the requests, but this is still missing: " + strings.Join(what, "; ")
}

// Hint says what can be done about it.
func (e *UnconfirmedError) Hint() string {
	return "run setup again in a minute; if that does not help, do the step in the portal and open an issue"
}
