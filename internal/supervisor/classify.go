package supervisor

import (
	"context"
	"errors"
	"syscall"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/lifecycle"
)

// resultOf says what an error means for what comes next.
func resultOf(err error) lifecycle.Result {
	return lifecycle.Result{Outcome: outcomeOf(err, azdo.ClassOf(err)), Err: err, RetryAfter: azdo.RetryAfter(err)}
}

// resultOfPost is resultOf for the one request that may not be repeated blindly.
func resultOfPost(err error) lifecycle.Result {
	return lifecycle.Result{Outcome: outcomeOf(err, azdo.ClassOfPost(err)), Err: err, RetryAfter: azdo.RetryAfter(err)}
}

// outcomes are the outcomes of calls that fail in Azure DevOps, or before it.
var outcomes = map[azdo.Class]lifecycle.Outcome{
	azdo.Transient:    lifecycle.Unreachable,
	azdo.AnswerLost:   lifecycle.AnswerLost,
	azdo.Unclear:      lifecycle.Unclear,
	azdo.Denied:       lifecycle.Denied,
	azdo.NotFound:     lifecycle.NotFound,
	azdo.NameTaken:    lifecycle.NameTaken,
	azdo.AgentBusy:    lifecycle.JobRunning,
	azdo.TokenRefused: lifecycle.Refused,
	azdo.NotJSON:      lifecycle.Refused,
	azdo.NotReady:     lifecycle.Refused,
	azdo.Refused:      lifecycle.Refused,
}

func outcomeOf(err error, class azdo.Class) lifecycle.Outcome {
	var unfit *agentdir.DirError
	switch {
	case err == nil:
		return lifecycle.OK
	case errors.As(err, &unfit) && unfit.InUse:
		return lifecycle.DirInUse
	case unfit != nil:
		return lifecycle.DirUnusable
	case errors.As(err, new(*permanentError)):
		return lifecycle.Refused
	case class != azdo.Unknown:
		return outcomes[class]
	case errors.Is(err, errAborted), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return lifecycle.Unreachable
	}
	return lifecycle.InternalError
}

// execError tells a program that cannot be started from a machine that has no
// room for one more.
func execError(f agentdir.Dir, err error) error {
	for _, cannotBe := range []error{syscall.ENOENT, syscall.EACCES, syscall.ENOEXEC, syscall.EPERM, syscall.ENOTDIR} {
		if errors.Is(err, cannotBe) {
			return &agentdir.DirError{
				Dir: f.Root, Why: "bin/Agent.Listener cannot be started: " + cannotBe.Error(),
				Hint: "is it the package for this platform and C library, and is its loader there?", Cause: err,
			}
		}
	}
	return err
}
