package azdo

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/retry"
)

// Class is what an error means for the caller's decision. Only this file interprets the
// server's statuses.
type Class string

// The classes.
const (
	NoError    Class = ""
	Unknown    Class = "unknown"     // not an error of this package
	Transient  Class = "transient"   // the server is not reachable, fails or throttles: the same call may succeed later
	AnswerLost Class = "answer lost" // it is not known whether the server acted
	Unclear    Class = "unclear"     // transient, and the server probably did not act
	NotJSON    Class = "not json"    // a success whose body is not JSON, so not from Azure DevOps
	NotReady   Class = "not ready"   // refused because something was created a moment ago
	NoToken    Class = "no token"    // the identity's issuer refuses to issue a token
	Denied     Class = "denied"      // the identity lacks a permission or is unknown
	NotFound   Class = "not found"
	NameTaken  Class = "name taken"
	AgentBusy  Class = "agent busy" // the agent runs a job
	Refused    Class = "refused"    // for another, lasting reason
)

// The server's names for "this agent runs a job" (agent-protocol.md 6) and "an
// agent of this name exists" (2.3). Their statuses, 400 and 409, are assumptions.
const (
	jobStillRunning = "TaskAgentJobStillRunningException"
	agentExists     = "TaskAgentExistsException"
)

// notReadyYet is in the reason of a refusal that ends within a minute or two: Entra ID has
// just created the principal. A wrong id is always refused, with the same key
// (azure-devops-rest.md 4.1).
const notReadyYet = "VS403283"

// ClassOf is an error's class. For a POST that adds an agent, use ClassOfPost.
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

// ClassOfPost is ClassOf for a request that must not be repeated if the server may have
// acted. It may have after 408, 500, 502 and 504, and if a success is not JSON. After other
// 5xx, such as 503, it probably has not: the POST can be repeated after a look-up.
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

// RetryAfter is how long the server asks to wait before the next request; 0 if it does not
// ask.
func RetryAfter(err error) time.Duration {
	var answer *Error
	if errors.As(err, &answer) {
		return answer.RetryAfter
	}
	return 0
}
