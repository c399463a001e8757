package supervisor

import (
	"context"
	"errors"
	"net/http"
	"syscall"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/lifecycle"
)

// resultOf says what an error means for what comes next.
func resultOf(err error) lifecycle.Result {
	res := lifecycle.Result{Outcome: outcomeOf(err), Err: err}
	var answer *azdo.Error
	if errors.As(err, &answer) {
		res.RetryAfter = answer.RetryAfter
	}
	return res
}

// resultOfPost is resultOf for the one request that may not be repeated: a
// server that breaks down over it may have acted on it before, and so may one
// whose success came as something else than JSON. One that says it is in trouble
// (503, and what proxies say) has hardly acted, so the POST is repeated; but that is no reason to
// leave without a look.
func resultOfPost(err error) lifecycle.Result {
	res := resultOf(err)
	switch status := azdo.Status(err); status {
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout, http.StatusRequestTimeout:
		res.Outcome = lifecycle.AnswerLost
	default:
		switch status / 100 {
		case 2:
			res.Outcome = lifecycle.AnswerLost
		case 5:
			res.Outcome = lifecycle.Unclear
		}
	}
	return res
}

// permanent is an error that knows whether asking again can help.
type permanent interface{ Refused() bool }

func outcomeOf(err error) lifecycle.Outcome {
	var (
		unfit   *agentdir.DirError
		no      *permanentError
		token   *azdo.TokenError
		answer  *azdo.Error
		refused permanent
	)
	switch {
	case err == nil:
		return lifecycle.OK
	case errors.As(err, &unfit) && unfit.InUse:
		return lifecycle.DirInUse
	case errors.As(err, &unfit):
		return lifecycle.DirUnusable
	case errors.As(err, &no):
		return lifecycle.Refused
	case errors.Is(err, azdo.ErrNoPool):
		return lifecycle.Denied
	case errors.As(err, &token):
		if errors.As(err, &refused) && refused.Refused() {
			return lifecycle.Refused
		}
		return lifecycle.Unreachable
	case errors.As(err, &answer):
		return outcomeOfAnswer(answer)
	case errors.Is(err, errAborted), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return lifecycle.Unreachable
	}
	return lifecycle.InternalError
}

// The server's names for "this agent runs a job" (agent-protocol.md 6) and "an
// agent of this name is there" (2.3). Their statuses, 400 and 409, are beliefs.
const (
	jobStillRunning = "TaskAgentJobStillRunningException"
	agentExists     = "TaskAgentExistsException"
)

func outcomeOfAnswer(e *azdo.Error) lifecycle.Outcome {
	switch {
	case e.Status == 0 && e.Sent:
		return lifecycle.AnswerLost
	case e.Status == 0:
		return lifecycle.Unreachable
	case azdo.Is(e, jobStillRunning):
		return lifecycle.JobRunning
	case azdo.Is(e, agentExists):
		return lifecycle.NameTaken
	}
	switch e.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return lifecycle.Denied
	case http.StatusNotFound:
		return lifecycle.NotFound
	case http.StatusConflict:
		return lifecycle.NameTaken
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return lifecycle.Unreachable
	}
	if e.Status >= 500 {
		return lifecycle.Unreachable
	}
	return lifecycle.Refused
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
