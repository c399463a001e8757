package cli

import (
	"context"
	"errors"
	"net/http"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/pool"
)

// The exit codes of design's table that commands share with an agent's life.
const (
	exitUnreachable = 69
	exitTryAgain    = 75
	exitDenied      = 77
	exitUnfit       = 78
)

// codeOf is the exit code for a command's failure to get something from Azure
// DevOps: the same number that `run` has for it.
func codeOf(err error) int {
	var (
		coded   *exitError
		held    *pool.HeldError
		version *pool.VersionError
		closed  *pool.ClosedError
		token   *azdo.TokenError
		answer  *azdo.Error
	)
	switch {
	case errors.As(err, &coded):
		return coded.code
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &version):
		return exitUsage
	case errors.As(err, &held):
		return exitTryAgain
	case errors.Is(err, azdo.ErrNoPool):
		return exitDenied
	case errors.As(err, &closed), errors.As(err, &token):
		return exitUnreachable
	case errors.As(err, &answer):
		switch answer.Status {
		case http.StatusUnauthorized, http.StatusForbidden:
			return exitDenied
		case http.StatusConflict:
			return exitTryAgain
		}
		return exitUnreachable
	}
	return exitFault
}

// codeOfStart is the exit code for a life that did not even begin.
func codeOfStart(err error) int {
	var unfit *agentdir.UnfitError
	switch {
	case errors.As(err, &unfit) && unfit.InUse:
		return exitTryAgain
	case errors.As(err, &unfit):
		return exitUnfit
	}
	return exitUsage
}
