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

// Kind says what went wrong, where the error of a request does not.
type Kind string

// The kinds of errors.
const (
	InvalidArgument Kind = "invalid-argument" // --identity or --role cannot be used
	NoProject       Kind = "no-project"       // there is no such project, or the caller cannot see it
	ClosedPool      Kind = "closed-pool"      // only Azure DevOps adds agents to the pool
	Unconfirmed     Kind = "unconfirmed"      // the service accepted every request, but something is still missing
)

// Error is a failed setup, with what to do about it.
type Error struct {
	Kind   Kind // "" if Cause says it
	Cause  error
	Advice string
}

func (e *Error) Error() string { return e.Cause.Error() }
func (e *Error) Unwrap() error { return e.Cause }

// Hint says what to do about it.
func (e *Error) Hint() string { return e.Advice }

const (
	// idCommands print the object id of an identity.
	idCommands = "`az ad sp show --id <application id> --query id`, and of a managed identity `az identity show --query principalId`"
	patScopes  = "full access for this, or the scopes Member Entitlement Management, Graph, Security and Agent Pools"
)

// wrongID says that --identity is another id of a principal, which may be known.
func wrongID(id, kind string, of azdo.Principal) error {
	if of.Name != "" {
		kind += fmt.Sprintf(", of %q", of.Name)
	}
	advice := "use its object id: " + of.ObjectID
	if of.ObjectID == "" {
		advice = "use the object id from Entra ID's Enterprise applications, not from App registrations: " + idCommands
	}
	return &Error{InvalidArgument, fmt.Errorf("cannot use --identity %s: it is %s, and not a service principal's or managed identity's own object id", id, kind), advice}
}

// The ids that people take for an object id.
const (
	applicationID  = "an application (client) id"
	registrationID = "the object id of an app registration"
)

// explainRead adds what to do if the caller, who is known, may not even read the state.
func explainRead(err error) error {
	if status := azdo.Status(err); status != http.StatusUnauthorized && status != http.StatusForbidden || errors.As(err, new(*Error)) {
		return err
	}
	return &Error{Cause: err, Advice: "run setup as a Project Collection Administrator; a personal access token needs " + patScopes}
}

// explainStep adds what the caller of a failed step lacks. An administrator of the
// organisation may do all of them (azure-devops-rest.md 4.1, 4.3).
func explainStep(action Action, err error) error {
	status := azdo.Status(err)
	advice := ""
	switch {
	case errors.As(err, new(*Error)):
		return err
	case azdo.ClassOf(err) == azdo.NotReady:
		advice = "a new identity takes a minute or two: run setup again. If it is not new, the id belongs to another tenant or is no object id: " + idCommands
	case status == http.StatusConflict && action == MakePool:
		advice = "the pool exists, but you cannot see it: ask its administrator for the Administrator role"
	case status == http.StatusUnauthorized:
		advice = "a personal access token needs " + patScopes
	case status == http.StatusForbidden:
		needs := map[Action]string{
			AddIdentity: "a Project Collection Administrator", SetLicense: "a Project Collection Administrator", RemoveIdentity: "a Project Collection Administrator",
			MakePool: "an Administrator of all pools (Organization settings, Agent pools, Security)",
			GiveRole: "an Administrator of the pool", RemoveRole: "an Administrator of the pool", StopUpdates: "an Administrator of the pool",
			AddToProject: "an administrator of the project", OpenToAll: "an administrator of the project's pools", CloseToAll: "an administrator of the project's pools",
		}[action]
		advice = "run setup as " + needs + ": it continues after the steps that are done"
	}
	return &Error{Cause: err, Advice: advice}
}

// unconfirmed says that the service accepted every request, but some steps had no effect.
func unconfirmed(missing []Step) error {
	var what []string
	for _, s := range missing {
		what = append(what, s.What)
	}
	return &Error{Unconfirmed, errors.New("cannot confirm the setup: Azure DevOps accepted the requests, but this is still missing: " + strings.Join(what, "; ")),
		"run setup again in a minute; if that does not help, do the step in the portal and open an issue"}
}
