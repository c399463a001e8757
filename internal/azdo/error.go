package azdo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
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

// TokenError says that no request was made, for want of a token.
type TokenError struct {
	Op    string
	Cause error
}

func (e *TokenError) Error() string { return fmt.Sprintf("cannot %s: %v", e.Op, e.Cause) }
func (e *TokenError) Unwrap() error { return e.Cause }

// ErrNoPool says that the list of pools has none of the name asked for. The
// server leaves out pools that the caller may not view, without a word, so it
// often means a missing right (azure-devops-rest.md 2.1).
var ErrNoPool = errors.New("no agent pool of that name is visible to this identity")

// ErrSignIn stands for an answer that is a page and not JSON: what the service
// shows when it does not accept the credential.
var ErrSignIn = errors.New("the answer is a sign-in page: the credential was not accepted")

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

// errorOf reads an answer that is not a success.
func errorOf(op string, resp *http.Response, body []byte) *Error {
	e := &Error{
		Op:         op,
		Status:     resp.StatusCode,
		ActivityID: resp.Header.Get("ActivityId"),
		RetryAfter: retryAfter(resp.Header),
	}
	if !isJSON(resp.Header) {
		if isHTML(resp.Header) && signsIn(resp.StatusCode) {
			e.Status, e.Message = http.StatusUnauthorized, ErrSignIn.Error()
			e.Cause = ErrSignIn
		}
		return e
	}
	var envelope struct{ Message, TypeKey string }
	if json.Unmarshal(trimBOM(body), &envelope) == nil {
		e.Message, e.TypeKey = oneLine(envelope.Message), envelope.TypeKey
	}
	return e
}

// signsIn says that a page with this status is the sign-in page: 203 in place of
// the answer, or the redirect to it (azure-devops-rest.md 5).
func signsIn(status int) bool {
	return status == http.StatusNonAuthoritativeInfo || status == http.StatusOK || status/100 == 3
}

func isJSON(h http.Header) bool {
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && (t == "application/json" || strings.HasSuffix(t, "+json"))
}

func isHTML(h http.Header) bool {
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err != nil || t == "text/html"
}

// retryAfter reads Retry-After, in seconds or as a date.
func retryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if s, err := strconv.ParseFloat(v, 64); err == nil && s > 0 && s < 1e6 {
		return time.Duration(s * float64(time.Second))
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(time.Until(at), 0)
	}
	return 0
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
