package fakeagent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"
)

// The protocol's api-versions (2.1, 7.4).
const (
	apiVersion      = "7.1-preview.1"
	eventAPIVersion = "2.0-preview.1"
)

// callTimeout is the default of VSTS_HTTP_TIMEOUT. A long poll gets more than the 50 s for
// which the server may hold it (1.4, 7.3). AZPTEND_FAKEAGENT_TIME_SCALE does not change them.
const (
	callTimeout = 100 * time.Second
	pollTimeout = 150 * time.Second
)

// maxBody is the maximum size of an answer. Job messages with many endpoints have megabytes.
const maxBody = 64 << 20

// bearer returns the token for a call. With fresh it gets a new one.
type bearer func(ctx context.Context, fresh bool) (string, error)

// client makes authorised JSON calls. It uses no proxy, whatever the environment says, and
// follows no redirects.
type client struct {
	http  *http.Client
	token bearer
	agent string // User-Agent
}

func newClient(hc *http.Client, token bearer, version string) *client {
	return &client{http: hc, token: token, agent: "azptend-fakeagent/" + version}
}

func newHTTPClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 4, ForceAttemptHTTP2: false},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// serverError is an error that the server answered.
type serverError struct {
	status  int
	typeKey string
	message string
}

func (e *serverError) Error() string {
	if e.message != "" {
		return e.message
	}
	return fmt.Sprintf("HTTP status %d", e.status)
}

// isType says whether err is the server's exception with this name, which is without the
// suffix "Exception" (2.3).
func isType(err error, name string) bool {
	var s *serverError
	return errors.As(err, &s) && s.typeKey == name+"Exception"
}

func isStatus(err error, status int) bool {
	var s *serverError
	return errors.As(err, &s) && s.status == status
}

// isDenied reports whether the server refuses this agent permanently: its permissions, its
// token or its pool. The sign-in page, as 203 or a redirect, counts as a refused token (1.4).
func isDenied(err error) bool {
	return isStatus(err, http.StatusUnauthorized) || isStatus(err, http.StatusForbidden) ||
		isType(err, "AccessDenied") || isType(err, "TaskAgentPoolNotFound")
}

// call sends body (nil, bytes as they are, or another value as JSON) and decodes the answer into
// answer, unless that is nil or the answer is empty. If the token is refused, it gets a new one
// and repeats the call once (7.1). A context without a deadline gets callTimeout.
func (c *client) call(ctx context.Context, method, url string, body, answer any) error {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, callTimeout)
		defer cancel()
	}
	content, contentType, err := encode(body)
	if err != nil {
		return err
	}
	for fresh := false; ; fresh = true {
		token, err := c.token(ctx, fresh)
		if err != nil {
			return err
		}
		err = c.send(ctx, method, url, token, content, contentType, answer)
		if fresh || !isStatus(err, http.StatusUnauthorized) || isType(err, "TaskAgentAccessTokenExpired") {
			return err
		}
	}
}

func encode(body any) (content []byte, contentType string, err error) {
	switch b := body.(type) {
	case nil:
		return nil, "", nil
	case []byte:
		return b, "application/octet-stream", nil
	default:
		content, err = json.Marshal(b)
		return content, "application/json; charset=utf-8", err
	}
}

func (c *client) send(ctx context.Context, method, url, token string, content []byte, contentType string, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(content))
	if err != nil {
		return fmt.Errorf("cannot make a request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.agent)
	req.Header.Set("X-TFS-FedAuthRedirect", "Suppress") // 1.4
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("cannot reach the server: %w", err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	if err != nil {
		return fmt.Errorf("cannot read the server's answer: %w", err)
	}
	if err := refusal(res, got); err != nil {
		return err
	}
	if got = bytes.TrimSpace(withoutBOM(got)); answer == nil || len(got) == 0 {
		return nil
	}
	if err := json.Unmarshal(got, answer); err != nil {
		return fmt.Errorf("cannot read the server's answer: %w", err)
	}
	return nil
}

// refusal makes an error of an answer that is not a success.
func refusal(res *http.Response, body []byte) error {
	status := res.StatusCode
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	html := strings.HasPrefix(kind, "text/html")
	if status == http.StatusNonAuthoritativeInfo || (status/100 == 3) || (status/100 == 2 && html) {
		return &serverError{status: http.StatusUnauthorized, message: "the server answered with a sign-in page"}
	}
	if status/100 == 2 {
		return nil
	}
	var e struct {
		Message string `json:"message"`
		TypeKey string `json:"typeKey"`
	}
	_ = json.Unmarshal(withoutBOM(body), &e) // without JSON, the error has only the status
	return &serverError{status: status, typeKey: e.TypeKey, message: e.Message}
}

// isTransient says whether a failed call may be repeated: after network errors and the statuses
// that the VSS client retries (1.4).
func isTransient(err error) bool {
	var s *serverError
	if errors.As(err, &s) {
		return s.status >= 502 && s.status <= 504
	}
	var t *tokenError
	return err != nil && !errors.As(err, &t) && !errors.Is(err, context.Canceled)
}
