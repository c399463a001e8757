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

// Error is an answer that is not what was asked for, or the lack of one.
type Error struct {
	Op         string        // what was tried: "find pool X"
	Status     int           // HTTP status; 0 when no answer came
	TypeKey    string        // the server's name for it, e.g. TaskAgentExistsException
	Message    string        // the server's sentence
	ActivityID string        // what support asks for
	RetryAfter time.Duration // the server's wish; 0 when it has none
	Sent       bool          // without an answer: the request had been written, so the server may have acted
	Cause      error         // without an answer: why; a failed token is an error of its own, see TokenError
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

// invalid is the error for a response that cannot be the answer to the request.
func invalid(op, why string) *Error {
	return &Error{Op: op, Sent: true, Cause: &invalidResponse{errors.New(why)}}
}

// invalidResponse is why an answer that came is as good as none.
type invalidResponse struct{ error }

// TokenError says that no request was made, for want of a token.
type TokenError struct {
	Op    string
	Cause error
}

func (e *TokenError) Error() string { return fmt.Sprintf("cannot %s: %v", e.Op, e.Cause) }
func (e *TokenError) Unwrap() error { return e.Cause }

// ErrNoPool says that there is no pool of the name or id asked for. The server
// leaves out pools that the caller may not view, without a word, so it often
// means a missing right (azure-devops-rest.md 2.1).
var ErrNoPool = errors.New("no such agent pool is visible to this identity")

// NoPoolError is ErrNoPool with what tells its causes apart: whoever sees other
// pools is a user of the organisation, with a licence and of the right tenant.
type NoPoolError struct {
	Op    string
	Known bool     // whether the identity's pools could be listed
	Sees  []string // the names of the pools it sees
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

// Unwrap makes it an ErrNoPool.
func (e *NoPoolError) Unwrap() error { return ErrNoPool }

// ErrSignIn stands for an answer that is a page and not JSON: what the service
// shows when it does not accept the credential.
var ErrSignIn = errors.New("the answer is a sign-in page: the credential was not accepted")

// ErrRedirect stands for an answer that leads elsewhere, and not to a sign-in.
var ErrRedirect = errors.New("it redirects")

// ErrNotJSON stands for a success that is no answer of Azure DevOps: a page of
// whoever answers at the address, or on the way to it.
var ErrNotJSON = errors.New("the answer is not JSON")

// Status returns the HTTP status of an Error in err's tree, 0 when there is
// none.
func Status(err error) int {
	var e *Error
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}

// Is reports whether err is the server's error of this type key.
func Is(err error, typeKey string) bool {
	var e *Error
	return errors.As(err, &e) && strings.EqualFold(e.TypeKey, typeKey)
}

// newError reads an answer that is not a success.
func newError(op string, resp *http.Response, body []byte) *Error {
	e := &Error{
		Op:         op,
		Status:     resp.StatusCode,
		ActivityID: resp.Header.Get("ActivityId"),
		RetryAfter: retryAfter(resp.Header),
	}
	switch {
	case isJSON(resp.Header):
		e.Message, e.TypeKey = parseErrorBody(trimBOM(body))
	case isSignIn(resp):
		e.Status, e.Message, e.Cause = http.StatusUnauthorized, ErrSignIn.Error(), ErrSignIn
	case resp.StatusCode/100 == 3:
		e.Message, e.Cause = "it redirects to "+redirectTarget(resp), ErrRedirect
	case resp.StatusCode/100 == 2:
		e.Message, e.Cause = ErrNotJSON.Error(), ErrNotJSON
	case mediaType(resp.Header) == "text/plain":
		e.Message = oneLine(string(trimBOM(body)))
	}
	return e
}

// parseErrorBody reads the server's two forms of an error: the usual one, and the one
// for requests it could not make sense of (azure-devops-rest.md 0).
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

// isSignIn says that an answer is the sign-in page: in place of the answer, or
// where a redirect leads (azure-devops-rest.md 5).
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

// redirectTarget is where a redirect leads, without its query, which may hold a secret.
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

// mediaType is a Content-Type without its parameters, "" where there is none.
func mediaType(h http.Header) string {
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return t
}

func trimBOM(b []byte) []byte { return bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")) }

// maxMessage bounds what of a server's message goes into an error.
const maxMessage = 400

func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > maxMessage {
		s = strings.ToValidUTF8(s[:maxMessage], "") + "…"
	}
	return s
}
