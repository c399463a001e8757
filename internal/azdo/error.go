package azdo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Error is an answer that is an error or cannot be read, or the lack of an answer.
type Error struct {
	Op         string        // what was tried: "find pool X"
	Status     int           // HTTP status; 0 if there is no answer, or if it cannot be read
	TypeKey    string        // the server's name for the error, e.g. TaskAgentExistsException
	Message    string        // the server's message
	ActivityID string        // for Microsoft's support
	RetryAfter time.Duration // the pause that the server asks for; 0: none
	Sent       bool          // with Status 0: the request was sent, so the server may have acted
	Cause      error         // with Status 0: why; for a missing token see TokenError
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "cannot %s: ", e.Op)
	switch {
	case errors.As(e.Cause, new(*invalidResponse)):
		fmt.Fprintf(&b, "Azure DevOps' answer is invalid: %v", e.Cause)
	case e.Status == 0:
		fmt.Fprintf(&b, "no answer from Azure DevOps: %v", e.Cause)
	case e.Message != "":
		fmt.Fprintf(&b, "Azure DevOps says %d: %s", e.Status, e.Message)
	default:
		fmt.Fprintf(&b, "Azure DevOps says %d %s", e.Status, http.StatusText(e.Status))
	}
	var ids []string
	if e.TypeKey != "" {
		ids = append(ids, e.TypeKey)
	}
	if e.ActivityID != "" {
		ids = append(ids, "activity "+e.ActivityID)
	}
	if len(ids) > 0 {
		fmt.Fprintf(&b, " (%s)", strings.Join(ids, ", "))
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Cause }

// invalid is the error for a success that cannot be the answer to the request.
func invalid(op, why string) *Error {
	return &Error{Op: op, Sent: true, Cause: &invalidResponse{errors.New(why)}}
}

// invalidResponse says why an answer cannot be used.
type invalidResponse struct{ error }

// TokenError says that no request was made, because there was no token.
type TokenError struct {
	Op    string
	Cause error
}

func (e *TokenError) Error() string { return fmt.Sprintf("cannot %s: %v", e.Op, e.Cause) }
func (e *TokenError) Unwrap() error { return e.Cause }

// ErrNoPool says that there is no pool with the requested name or id. The server leaves out
// pools that the caller may not view, so the cause is often a missing permission
// (azure-devops-rest.md 2.1).
var ErrNoPool = errors.New("no such agent pool is visible to this identity")

// NoPoolError is ErrNoPool with the pools that the identity sees instead. If it sees any, it
// is a user of the organisation, with a licence and in the right tenant.
type NoPoolError struct {
	Op    string
	Known bool     // whether the pools could be listed
	Sees  []string // names of the pools that it sees
}

// maxShownPools is how many pools a message names.
const maxShownPools = 5

func (e *NoPoolError) Error() string {
	text := fmt.Sprintf("cannot %s: %v", e.Op, ErrNoPool)
	switch {
	case !e.Known:
		return text
	case len(e.Sees) == 0:
		return text + ", nor is any other"
	}
	var names []string
	for _, name := range e.Sees[:min(len(e.Sees), maxShownPools)] {
		names = append(names, strconv.Quote(name))
	}
	text += ", which sees " + strings.Join(names, ", ")
	if more := len(e.Sees) - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return oneLine(text)
}

// Unwrap returns ErrNoPool.
func (e *NoPoolError) Unwrap() error { return ErrNoPool }

// ErrSignIn is the cause if the answer is the sign-in page, which the service shows if it
// does not accept the credential.
var ErrSignIn = errors.New("the answer is a sign-in page: the credential was not accepted")

// ErrRedirect is the cause if the answer redirects, but not to a sign-in page.
var ErrRedirect = errors.New("it redirects")

// ErrNotJSON is the cause if a success is not an answer of Azure DevOps, such as a page of
// another server or a proxy.
var ErrNotJSON = errors.New("the answer is not JSON")

// Status returns the HTTP status of an Error in err's tree; 0 if there is none.
func Status(err error) int {
	var e *Error
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}

// Is reports whether err is an error of the server with this type key.
func Is(err error, typeKey string) bool {
	var e *Error
	return errors.As(err, &e) && strings.EqualFold(e.TypeKey, typeKey)
}

// newError makes an Error of an answer that is not a success.
func newError(op string, resp *http.Response, body []byte) *Error {
	e := &Error{
		Op:         op,
		Status:     resp.StatusCode,
		ActivityID: resp.Header.Get("ActivityId"),
		RetryAfter: retryAfter(resp.Header),
	}
	switch {
	case isJSON(resp.Header):
		e.Message, e.TypeKey = parseErrorBody(bytes.TrimPrefix(body, byteOrderMark))
	case isSignIn(resp):
		e.Status, e.Message, e.Cause = http.StatusUnauthorized, ErrSignIn.Error(), ErrSignIn
	case resp.StatusCode/100 == 3:
		e.Message, e.Cause = "it redirects to "+redirectTarget(resp), ErrRedirect
	case resp.StatusCode/100 == 2:
		e.Message, e.Cause = ErrNotJSON.Error(), ErrNotJSON
	case mediaType(resp.Header) == "text/plain":
		e.Message = oneLine(string(bytes.TrimPrefix(body, byteOrderMark)))
	}
	return e
}

// parseErrorBody parses the two forms of the server's errors: the usual one, and the one for
// requests that it could not parse (azure-devops-rest.md 0).
func parseErrorBody(body []byte) (message, typeKey string) {
	var e struct {
		Message, TypeKey string
		Value            struct{ Message string }
	}
	if json.Unmarshal(body, &e) != nil {
		return "", ""
	}
	if e.Message == "" {
		e.Message = e.Value.Message
	}
	return oneLine(e.Message), e.TypeKey
}

// isSignIn says whether an answer is the sign-in page, or a redirect to it
// (azure-devops-rest.md 5).
func isSignIn(resp *http.Response) bool {
	switch {
	case resp.StatusCode == http.StatusNonAuthoritativeInfo, resp.StatusCode == http.StatusOK:
		return mediaType(resp.Header) == "text/html"
	case resp.StatusCode/100 == 3:
		to := strings.ToLower(redirectTarget(resp))
		return strings.Contains(to, "/_signin") || strings.Contains(to, "://login.") || strings.Contains(to, "/oauth2/authorize")
	}
	return false
}

// redirectTarget is the target of a redirect, without its query, which may contain a secret.
func redirectTarget(resp *http.Response) string {
	to, err := resp.Location()
	if err != nil {
		return "nowhere"
	}
	return oneLine((&url.URL{Scheme: to.Scheme, Host: to.Host, Path: to.Path}).String())
}

func isJSON(h http.Header) bool {
	t := mediaType(h)
	return t == "application/json" || strings.HasSuffix(t, "+json")
}

// mediaType is the Content-Type without parameters; "" if there is none.
func mediaType(h http.Header) string {
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return t
}

// byteOrderMark begins some of the service's answers.
var byteOrderMark = []byte("\xef\xbb\xbf")

// maxMessage is how many bytes of a server's message an error contains.
const maxMessage = 400

func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > maxMessage {
		s = strings.ToValidUTF8(s[:maxMessage], "") + "…"
	}
	return s
}
