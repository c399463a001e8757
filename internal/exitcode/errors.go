package exitcode

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/install"
	"github.com/azptend/azptend/internal/pool"
	"github.com/azptend/azptend/internal/setup"
)

// Error is an error with an exit code.
type Error struct {
	Code int
	Err  error // nil: the reason was printed or logged already
}

func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// With adds an exit code to an error.
func With(code int, err error) error { return &Error{code, err} }

// Silent ends a command with this code. Nothing is printed, because the reason was printed
// or logged already.
func Silent(code int) error { return &Error{Code: code} }

// Of is the exit code of a command that failed with err.
func Of(err error) int {
	var (
		coded  *Error
		dir    *agentdir.DirError
		failed *setup.Error
		kind   setup.Kind
	)
	if errors.As(err, &failed) {
		kind = failed.Kind
	}
	switch {
	case err == nil:
		return OK
	case errors.As(err, &coded):
		return coded.Code
	case errors.Is(err, context.Canceled):
		return Interrupted
	case errors.As(err, new(*config.InvalidError)), errors.As(err, new(*pool.InvalidVersionError)),
		kind == setup.InvalidArgument, errors.As(err, new(*install.UnknownPackageError)):
		return Usage
	case errors.As(err, &dir) && dir.InUse, errors.As(err, new(*pool.NameTakenError)), kind == setup.Unconfirmed:
		return TryAgain
	case dir != nil, errors.As(err, new(*install.RootError)):
		return DirUnusable
	case errors.Is(err, setup.ErrSelf), kind == setup.NoProject:
		return Denied
	case errors.As(err, new(*pool.ClosedError)), kind == setup.ClosedPool, errors.Is(err, azdo.ErrAzureDevOpsServer), errors.Is(err, azdo.ErrForeignHost),
		errors.As(err, new(*install.ChecksumError)): // the server, or another that answers in its place
		return Unavailable
	}
	switch azdo.ClassOf(err) {
	case azdo.Unknown:
		return Internal
	case azdo.Denied:
		return Denied
	case azdo.NameTaken, azdo.AgentBusy, azdo.NotReady:
		return TryAgain
	}
	return Unavailable
}

// OfStart is the exit code of a run that fails before it starts an agent. Errors that Of does
// not know are caused by the settings then.
func OfStart(err error) int {
	if code := Of(err); code != Internal {
		return code
	}
	return Usage
}

// OfInstall is the exit code of an installation that failed. Errors that Of does not know are
// caused by the network then.
func OfInstall(err error) int {
	if errors.As(err, new(*os.PathError)) || errors.As(err, new(*os.LinkError)) {
		return DirUnusable
	}
	if code := Of(err); code != Internal {
		return code
	}
	return Unavailable
}
