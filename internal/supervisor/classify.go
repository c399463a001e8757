package supervisor

import (
	"context"
	"errors"
	"syscall"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/lifecycle"
)

// resultOf classifies an error for lifecycle.
func resultOf(err error) lifecycle.Result {
	return lifecycle.Result{Outcome: outcomeOf(err, azdo.ClassOf(err)), Err: err, RetryAfter: azdo.RetryAfter(err)}
}

// resultOfPost is resultOf for the POST of an agent, which must not be repeated before a
// look-up if its outcome is not known.
func resultOfPost(err error) lifecycle.Result {
	return lifecycle.Result{Outcome: outcomeOf(err, azdo.ClassOfPost(err)), Err: err, RetryAfter: azdo.RetryAfter(err)}
}

// outcomes maps the classes of errors to outcomes.
var outcomes = map[azdo.Class]lifecycle.Outcome{
	azdo.Transient:  lifecycle.Unreachable,
	azdo.AnswerLost: lifecycle.AnswerLost,
	azdo.Unclear:    lifecycle.Unclear,
	azdo.Denied:     lifecycle.Denied,
	azdo.NotFound:   lifecycle.NotFound,
	azdo.NameTaken:  lifecycle.NameTaken,
	azdo.AgentBusy:  lifecycle.JobRunning,
	azdo.NoToken:    lifecycle.Refused,
	azdo.NotJSON:    lifecycle.Refused,
	azdo.NotReady:   lifecycle.Refused,
	azdo.Refused:    lifecycle.Refused,
}

func outcomeOf(err error, class azdo.Class) lifecycle.Outcome {
	var unusable *agentdir.DirError
	switch {
	case err == nil:
		return lifecycle.OK
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return lifecycle.InternalError // no file descriptors left
	case errors.As(err, &unusable) && unusable.InUse:
		return lifecycle.DirInUse
	case unusable != nil:
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
