package azdo

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/retry"
)

// Class is what an error means for whoever decides what comes next. It is the one
// place that knows what the server's statuses mean.
type Class string

// The classes.
const (
	NoError    Class = ""
	Unknown    Class = "unknown"     // not an error of this package
	Transient  Class = "transient"   // the server was not reached, is out of order, or throttles: the same call may succeed later
	AnswerLost Class = "answer lost" // the server may have acted, and nobody knows whether it did
	Unclear    Class = "unclear"     // transient, and the server has probably not acted
	NotJSON    Class = "not json"    // a success whose body is not from Azure DevOps
	NotReady   Class = "not ready"   // refused only because something was created a moment ago
	NoToken    Class = "no token"    // the identity's issuer will not give it a token
	Denied     Class = "denied"      // the identity lacks a right or is unknown
	NotFound   Class = "not found"
	NameTaken  Class = "name taken"
	AgentBusy  Class = "agent busy" // the agent runs a job
	Refused    Class = "refused"    // for another reason, which does not pass by itself
)

// The server's names for "this agent runs a job" (agent-protocol.md 6) and "an
// agent of this name exists" (2.3). Their statuses, 400 and 409, are assumptions.
const (
	jobStillRunning = "TaskAgentJobStillRunningException"
	agentExists     = "TaskAgentExistsException"
)

// notReadyYet is in the reason of a refusal that ends by itself within a minute or two:
// Entra ID has only just created the principal. A wrong id is refused with the same key for
// ever (azure-devops-rest.md 4.1).
const notReadyYet = "VS403283"

// ClassOf is an error's class. Of a POST ask ClassOfPost.
func ClassOf(err error) Class {
	var (
		token    *TokenError
		answer   *Error
		refused  *RefusedError
		identity interface{ Permanent() bool }
		fromHere = errors.As(err, &answer)
	)
	switch {
	case err == nil:
		return NoError
	case errors.Is(err, ErrNoPool): // the server hides pools that the identity may not view
		return Denied
	case errors.As(err, &token):
		if errors.As(err, &identity) && identity.Permanent() {
			return NoToken
		}
		return Transient
	case fromHere:
		return answer.class()
	case errors.As(err, &refused) && strings.Contains(refused.Reason, notReadyYet):
		return NotReady
	case refused != nil:
		return Refused
	}
	return Unknown
}

func (e *Error) class() Class {
	switch {
	case e.Status == 0 && e.Sent:
		return AnswerLost
	case e.Status == 0:
		return Transient
	case Is(e, jobStillRunning):
		return AgentBusy
	case Is(e, agentExists):
		return NameTaken
	}
	switch e.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return Denied
	case http.StatusNotFound:
		return NotFound
	case http.StatusConflict:
		return NameTaken
	}
	switch {
	case retry.IsTransientStatus(e.Status):
		return Transient
	case e.Status/100 == 2:
		return NotJSON
	}
	return Refused
}

// ClassOfPost is ClassOf for a request that must not be repeated blindly. A server
// that fails may have acted before, and so may one whose success is not JSON. One
// that says that it is in trouble (503, and what proxies say) has probably not
// acted: the POST can be repeated after a look.
func ClassOfPost(err error) Class {
	class := ClassOf(err)
	switch status := Status(err); {
	case status == http.StatusInternalServerError, status == http.StatusBadGateway, status == http.StatusGatewayTimeout,
		status == http.StatusRequestTimeout, class == NotJSON:
		return AnswerLost
	case status/100 == 5:
		return Unclear
	}
	return class
}

// RetryAfter is how long the server asks to wait before the next request, 0 if it
// does not ask.
func RetryAfter(err error) time.Duration {
	var answer *Error
	if errors.As(err, &answer) {
		return answer.RetryAfter
	}
	return 0
}
