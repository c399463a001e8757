package identity

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// EndpointError is an identity endpoint's answer that holds no token. It quotes
// the endpoint's code and message, and nothing else of the answer.
type EndpointError struct {
	Status        int
	Code          string // "invalid_request", or the statusCode of App Service's form
	Message       string
	CorrelationID string
}

func (e *EndpointError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the identity endpoint says %d", e.Status)
	if e.Code != "" && e.Code != fmt.Sprint(e.Status) {
		fmt.Fprintf(&b, " %s", e.Code)
	}
	if e.Message != "" {
		fmt.Fprintf(&b, ": %s", e.Message)
	}
	if e.CorrelationID != "" {
		fmt.Fprintf(&b, " (correlation id %s)", e.CorrelationID)
	}
	return b.String()
}

// Refused says that asking again will not help: the answer is about us, not
// about the endpoint's condition (identity.md 1.4).
func (e *EndpointError) Refused() bool {
	switch e.Status {
	case http.StatusNotFound, http.StatusRequestTimeout, http.StatusGone, http.StatusTooManyRequests:
		return false
	}
	return e.Status < 500
}

// NonRetriable keeps the SDK from asking again after an answer that was a
// success and held no token.
func (e *EndpointError) NonRetriable() {}

// endpoint is the SDK's way to an identity endpoint: an HTTP client that waits
// for an endpoint that is still starting, and does not let an answer without a
// token pass as a success.
type endpoint struct {
	http  *http.Client
	until time.Time // refused connections are retried until then
	log   *slog.Logger
}

func newEndpoint(client *http.Client, patience time.Duration, log *slog.Logger) *endpoint {
	return &endpoint{http: client, until: time.Now().Add(patience), log: log}
}

// firstRetry and lastRetry bound the pauses while an endpoint refuses: it is a
// neighbour in the same replica, and asking costs nothing.
const (
	firstRetry = 200 * time.Millisecond
	lastRetry  = 2 * time.Second
)

// Do implements policy.Transporter.
func (e *endpoint) Do(r *http.Request) (*http.Response, error) {
	pause := firstRetry
	for {
		resp, err := e.http.Do(r)
		if err == nil {
			return checked(resp)
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, err
		}
		if !time.Now().Add(pause).Before(e.until) {
			return nil, &unreachable{err}
		}
		if pause == firstRetry {
			// Container Apps starts the endpoint beside the container, not before it
			// (identity.md 1.5).
			e.log.Info("Waiting for the identity endpoint: it refuses connections",
				"endpoint", r.URL.Host, "at_most", time.Until(e.until).Round(time.Second).String())
		}
		if err := sleep(r.Context(), pause); err != nil {
			return nil, err
		}
		pause = min(pause*2, lastRetry)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// unreachable ends the waiting: without it the SDK would begin its own.
type unreachable struct{ error }

func (u *unreachable) Unwrap() error { return u.error }
func (u *unreachable) NonRetriable() {}

// maxAnswer bounds an endpoint's answer: a token is 1 to 3 kB.
const maxAnswer = 1 << 20

// checked lets an answer pass if it is a refusal, which the SDK understands, or
// holds a token. The SDK takes a null token for an empty one.
func checked(resp *http.Response) (*http.Response, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	resp.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("cannot read the identity endpoint's answer: %w", err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if resp.StatusCode/100 != 2 {
		return resp, nil
	}
	var answer struct {
		AccessToken *string `json:"access_token"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.AccessToken == nil || notAToken(*answer.AccessToken) != "" {
		e := parseAnswer(resp, body)
		e.Message = strings.TrimSpace("the answer holds no token. " + e.Message)
		return nil, e
	}
	return resp, nil
}

// endpointError reads an answer that the SDK has kept.
func endpointError(resp *http.Response) *EndpointError {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return parseAnswer(resp, body)
}

// parseAnswer finds the endpoint's own words: App Service's form has statusCode,
// message and correlationId, the metadata service's error and error_description,
// Service Fabric's an error with code and message (identity.md 1.2).
func parseAnswer(resp *http.Response, body []byte) *EndpointError {
	e := &EndpointError{Status: resp.StatusCode}
	var form struct {
		StatusCode       json.Number     `json:"statusCode"`
		Message          string          `json:"message"`
		CorrelationID    string          `json:"correlationId"`
		Error            json.RawMessage `json:"error"`
		ErrorDescription string          `json:"error_description"`
	}
	if json.Unmarshal(body, &form) != nil {
		if t, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil && t != "application/json" {
			e.Message = "the answer is " + t + ", not JSON"
		} else if len(body) == 0 {
			e.Message = "the answer is empty"
		} else {
			e.Message = "the answer is not JSON"
		}
		return e
	}
	e.Code, e.CorrelationID = form.StatusCode.String(), word(form.CorrelationID)
	e.Message = sentence(form.Message)
	if form.ErrorDescription != "" {
		e.Message = sentence(form.ErrorDescription)
	}
	var nested struct{ Code, Message string }
	var name string
	switch {
	case json.Unmarshal(form.Error, &name) == nil:
		e.Code = word(name)
	case json.Unmarshal(form.Error, &nested) == nil:
		e.Code, e.Message = word(nested.Code), sentence(nested.Message)
	}
	return e
}

// sentence bounds an endpoint's message, and leaves it out if it is something
// that no message is.
func sentence(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if strings.ContainsAny(s, "<>") || longestWord(s) > 100 {
		return "its message is not repeated here: it does not look like one"
	}
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + "…"
	}
	return s
}

func longestWord(s string) int {
	longest := 0
	for _, w := range strings.Fields(s) {
		longest = max(longest, len(w))
	}
	return longest
}

func word(s string) string {
	if longestWord(s) > 100 {
		return ""
	}
	return strings.Join(strings.Fields(s), " ")
}
