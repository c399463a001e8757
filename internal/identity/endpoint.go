package identity

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/azptend/azptend/internal/httpclient"
	"github.com/azptend/azptend/internal/retry"
	"github.com/azptend/azptend/internal/secret"
)

// EndpointError is an identity endpoint's answer that is not a token. It quotes
// the endpoint's code and message, and nothing else of the answer.
type EndpointError struct {
	Endpoint      string // "" is the host's identity endpoint; "Entra ID"
	Status        int
	Code          string // "invalid_request", or the statusCode of App Service's form
	Message       string
	CorrelationID string
	NoToken       bool // the answer was a success but for the token
}

func (e *EndpointError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s says %d", cmp.Or(e.Endpoint, "the identity endpoint"), e.Status)
	if e.Code != "" && e.Code != fmt.Sprint(e.Status) {
		fmt.Fprintf(&b, " %s", e.Code)
	}
	if e.NoToken {
		b.WriteString(" and gives no token")
	}
	if e.Message != "" {
		fmt.Fprintf(&b, ": %s", e.Message)
	}
	if e.CorrelationID != "" {
		fmt.Fprintf(&b, " (correlation id %s)", e.CorrelationID)
	}
	return b.String()
}

// Permanent reports whether another request would get the same answer: it is about the
// identity, not about the endpoint's condition.
func (e *EndpointError) Permanent() bool {
	return !isTransientStatus(e.Status)
}

// endpoint is the SDK's way to an identity endpoint: an HTTP client that waits
// for an endpoint that is still starting, and does not let an answer without a
// token pass as a success.
type endpoint struct {
	http           *http.Client
	host           Host
	deadline       time.Time // what may pass is waited for until then
	maxUnreachable int       // tries of an endpoint that cannot be reached; 0: no limit
	log            *slog.Logger
}

// requestError is where a transport leaves what went wrong with a request, for the caller
// who made its context: the SDK turns the errors of its transport into text, and quotes
// whole responses in it.
type requestError struct{ err error }

type requestErrorKey struct{}

func recordError(ctx context.Context, err error) {
	if f, ok := ctx.Value(requestErrorKey{}).(*requestError); ok {
		f.err = err
	}
}

// ErrNoEndpoint is the error of an identity endpoint that cannot be reached.
var ErrNoEndpoint = errors.New("cannot reach the identity endpoint")

// The pauses between two tries. An endpoint that refuses connections is next to us,
// and a try costs nothing. One that answers that it is not ready asks for at least a
// second (reference/identity.md 1.4).
const (
	minPause       = 200 * time.Millisecond
	minStatusPause = time.Second
	maxPause       = 5 * time.Second
)

// Do implements policy.Transporter. It repeats the request while the endpoint is still
// starting.
func (e *endpoint) Do(r *http.Request) (resp *http.Response, err error) {
	logged := ""
	policy := retry.Policy{
		First: minPause, Max: maxPause, Budget: time.Until(e.deadline), MaxUnreachable: e.maxUnreachable,
		AtLeast: func(error) time.Duration {
			if resp != nil {
				return minStatusPause
			}
			return 0
		},
		OnRetry: func(reason error, _ time.Duration) {
			if logged != reason.Error() {
				logged = reason.Error()
				e.log.Info("Waiting for the identity endpoint: it "+logged,
					"endpoint", r.URL.Host, "at_most", time.Until(e.deadline).Round(time.Second).String())
			}
		},
	}
	_ = policy.Do(r.Context(), func(context.Context) error {
		if resp != nil { // of the try before
			resp.Body.Close()
		}
		resp, err = e.http.Do(r)
		return e.notReady(resp, err)
	})
	if err == nil {
		resp, err = checkResponse(resp)
	} else {
		err = fmt.Errorf("%w at %s: %w", ErrNoEndpoint, r.URL.Host, httpclient.WithoutURL(err))
	}
	recordError(r.Context(), err)
	var answer *EndpointError
	if errors.As(err, &answer) && resp != nil {
		return resp, nil // the SDK knows what to do with a refusal
	}
	return resp, err
}

// notReady says why an endpoint only has to be waited for. It is nil for an answer,
// and where waiting does not help.
func (e *endpoint) notReady(resp *http.Response, err error) error {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		// Container Apps starts the endpoint beside the container, not before it
		// (reference/identity.md 1.5).
		return &notReadyError{"refuses connections", err}
	case e.host != MetadataService:
		return nil
	case retry.IsUnreachable(err):
		// On Container Instances "not yet" and "not at all" look the same
		// (reference/identity.md 1.3).
		return &notReadyError{"does not exist", err}
	case err == nil && isTransientStatus(resp.StatusCode):
		return &notReadyError{fmt.Sprintf("answers %d", resp.StatusCode), nil}
	}
	return nil
}

// notReadyError says what an endpoint does that only has to be waited for.
type notReadyError struct {
	what  string
	cause error // nil: the endpoint has answered
}

func (e *notReadyError) Error() string { return e.what }
func (e *notReadyError) Unwrap() error { return e.cause }

// isTransientStatus reports whether a response is about the endpoint's own condition. The
// metadata service answers 404 and 410 while it is updated (reference/identity.md 1.4).
func isTransientStatus(status int) bool {
	return retry.IsTransientStatus(status) || status == http.StatusNotFound || status == http.StatusGone
}

// maxResponse bounds an endpoint's answer: a token is 1 to 3 kB.
const maxResponse = 1 << 20

// checkResponse returns an answer that the SDK may see: with an error, what is wrong
// with it; without an answer, one that the SDK would take for a token, for it
// takes null for an empty one.
func checkResponse(resp *http.Response) (*http.Response, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse))
	resp.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("cannot read the identity endpoint's answer: %w", err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusAccepted { // the SDK's idea of success
		return resp, parseError(resp, body)
	}
	var answer map[string]json.RawMessage
	var token string
	if json.Unmarshal(body, &answer) != nil || json.Unmarshal(answer["access_token"], &token) != nil || CheckToken(token) != nil {
		e := parseError(resp, body)
		e.NoToken = true
		return nil, e
	}
	if expires := parseClaims(token).expires(); expires > 0 {
		// An expires_on comes in many forms, of which the SDK rejects some
		// (reference/identity.md 1.1); what the token says of itself is what counts.
		delete(answer, "expires_in")
		answer["expires_on"] = json.RawMessage(strconv.FormatInt(expires, 10))
		if body, err = json.Marshal(answer); err != nil {
			return nil, fmt.Errorf("cannot read the identity endpoint's answer: %w", err)
		}
		resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	return resp, nil
}

// parseError finds the endpoint's own words: App Service's form has statusCode,
// message and correlationId, the metadata service's error and error_description,
// Service Fabric's an error with code and message (reference/identity.md 1.2).
func parseError(resp *http.Response, body []byte) *EndpointError {
	e := &EndpointError{Status: resp.StatusCode}
	var form map[string]json.RawMessage
	if err := json.Unmarshal(body, &form); err != nil {
		e.Message = describeBody(resp.Header, body)
		return e
	}
	e.Code = quoteCode(text(form["statusCode"]))
	e.CorrelationID = quoteCode(cmp.Or(text(form["correlationId"]), text(form["correlation_id"])))
	e.Message = quoteMessage(text(form["message"]))
	if description := text(form["error_description"]); description != "" {
		e.Message = quoteMessage(description)
	}
	if name := text(form["error"]); name != "" {
		e.Code = quoteCode(name)
	}
	var nested map[string]json.RawMessage
	if json.Unmarshal(form["error"], &nested) == nil && len(nested) > 0 {
		e.Code, e.Message = quoteCode(text(nested["code"])), quoteMessage(text(nested["message"]))
	}
	return e
}

// text reads a JSON string or number, "" where it is neither.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var n json.Number
	if json.Unmarshal(raw, &n) == nil {
		return n.String()
	}
	return ""
}

// describeBody describes an answer that is no JSON object.
func describeBody(h http.Header, body []byte) string {
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	switch {
	case len(bytes.TrimSpace(body)) == 0:
		return "the answer is empty"
	case err == nil && t != "application/json":
		return "the answer is " + quoteCode(t) + ", not JSON"
	}
	return "the answer is not a JSON object"
}

const (
	// maxMessage and maxWord bound what is quoted of an endpoint: tokens
	// are long words.
	maxMessage = 300
	maxWord    = 100
)

// quoteMessage is an endpoint's message on one line, without what no message is made
// of.
func quoteMessage(s string) string {
	if strings.ContainsAny(s, "<>") {
		return "its message is omitted: it looks like a page"
	}
	words := strings.Fields(tokenRedactor.Redact(s))
	for i, w := range words {
		if len(w) > maxWord {
			words[i] = "[…]"
		}
	}
	s = strings.Join(words, " ")
	if len(s) > maxMessage {
		s = strings.ToValidUTF8(s[:maxMessage], "") + "…"
	}
	return s
}

// quoteCode is an endpoint's code or id, "" if it is no such thing.
func quoteCode(s string) string {
	s = strings.Join(strings.Fields(tokenRedactor.Redact(s)), " ")
	if len(s) > maxWord {
		return ""
	}
	return s
}

// tokenRedactor takes out whatever looks like a token.
var tokenRedactor secret.Redactor
