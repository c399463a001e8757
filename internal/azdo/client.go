// Package azdo is a client for the part of Azure DevOps' REST API that an agent
// needs: pools, their agents and job requests, and for setup users, licences and
// roles. Results and errors are typed. An [Error] has the ids that support asks for,
// and says whether the server may have acted on a request whose answer was lost.
// [ClassOf] says what an error means.
//
// The client repeats a request once after a 401, with another token if there is one. It
// delays requests after a Retry-After. Callers make all other retries: package lifecycle
// for a running agent, package retry for commands.
//
// The formats are those of azure-devops-rest.md 0–3 and agent-protocol.md 2.
package azdo

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/azptend/azptend/internal/httpclient"
	"github.com/azptend/azptend/internal/secret"
)

// Authorizer returns the value of the Authorization header. rejected is a value that the
// server has just rejected, or zero. If there is no other value, the result is the rejected
// one.
type Authorizer interface {
	Authorization(ctx context.Context, rejected secret.Text) (secret.Text, error)
}

// Client is a client of one organisation or collection. It is safe for concurrent use.
type Client struct {
	base    string // no trailing slash
	http    *http.Client
	auth    Authorizer
	observe func(Observation)

	mu          sync.Mutex
	notBefore   time.Time     // the server's Retry-After
	answered    time.Time     // time of the last answer with a Date; zero: none yet
	serverAhead time.Duration // how far the server's clock was ahead of ours then
}

// Observation is one request that was made, for metrics and the debug log. It contains no
// secrets.
type Observation struct {
	Method, Path string
	Status       int // 0: no answer
	Duration     time.Duration
	Throttle     Throttle
	// ServerAhead is how far the server's clock is ahead of ours, to a second; 0 if the
	// answer has no Date.
	ServerAhead time.Duration
}

// Throttled says whether Azure DevOps delayed or refused the request because this identity
// sends too many. A Retry-After alone, as in an outage, is not throttling
// (azure-devops-rest.md 3).
func (o Observation) Throttled() bool {
	t := o.Throttle
	return o.Status == http.StatusTooManyRequests || t.Delay > 0 || (t.RetryAfter > 0 && (t.Resource != "" || t.Remaining != ""))
}

// New returns a client for the organisation's URL, e.g. https://dev.azure.com/org. observe
// may be nil.
func New(orgURL string, client *http.Client, auth Authorizer, observe func(Observation)) *Client {
	if observe == nil {
		observe = func(Observation) {}
	}
	return &Client{base: strings.TrimRight(orgURL, "/"), http: client, auth: auth, observe: observe}
}

// apiVersion is supported by Azure DevOps Services and Server 2022.1 and newer
// (agent-protocol.md 2.1).
const apiVersion = "7.1"

// maxBody is the maximum size of an answer that is read as a whole, and of one item of a
// list. A job request that names 10,000 agents has some 5 MB. The limit also protects
// against a small compressed answer that expands to a huge one.
const maxBody = 16 << 20

// request describes one call.
type request struct {
	op     string // for errors: "remove agent 7"
	method string
	path   string // below the organisation: "_apis/distributedtask/pools"
	query  url.Values
	body   any // marshalled as JSON; nil for none
	into   any // unmarshalled from JSON; nil to ignore the answer
	// items decodes one item of an answer that is a list. It is used instead of into if the
	// answer is too large to be read as a whole.
	items func(*json.Decoder) error

	base        string               // another address than the client's, see Account
	contentType string               // of the body, if it is not plain JSON
	onResponse  func(*http.Response) // called with the answer after its body was read; may be nil
}

// get reads a resource.
func (c *Client) get(ctx context.Context, op, path string, query url.Values, into any) error {
	return c.do(ctx, request{op: op, method: http.MethodGet, path: path, query: query, into: into})
}

// Authorize gets a token without sending a request, so that its duration and its errors can
// be reported separately. The error is a *TokenError.
func (c *Client) Authorize(ctx context.Context) error {
	if _, err := c.auth.Authorization(ctx, secret.Text{}); err != nil {
		return &TokenError{Op: "log on to Azure DevOps", Cause: err}
	}
	return nil
}

// do makes a request. After a 401 it asks for another token, because the cached one may have
// expired or been revoked, and repeats the request once. If there is no other token, the
// same one is sent again: a service in trouble sometimes answers with its sign-in page, and
// a removal that fails leaves a ghost.
func (c *Client) do(ctx context.Context, r request) error {
	authorization, err := c.auth.Authorization(ctx, secret.Text{})
	if err != nil {
		return &TokenError{Op: r.op, Cause: err}
	}
	err = c.send(ctx, r, authorization)
	if Status(err) != http.StatusUnauthorized {
		return err
	}
	another, err := c.auth.Authorization(ctx, authorization)
	if err != nil {
		return &TokenError{Op: r.op, Cause: err}
	}
	return c.send(ctx, r, another)
}

// send makes one request.
func (c *Client) send(ctx context.Context, r request, authorization secret.Text) error {
	if err := c.waitRateLimit(ctx); err != nil {
		return &Error{Op: r.op, Cause: err}
	}
	var body io.Reader
	if r.body != nil {
		b, err := json.Marshal(r.body)
		if err != nil {
			return fmt.Errorf("cannot %s: %w", r.op, err)
		}
		body = bytes.NewReader(b)
	}
	query := url.Values{"api-version": {apiVersion}}
	maps.Copy(query, r.query)
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { sent.Store(true) }})
	req, err := http.NewRequestWithContext(ctx, r.method, cmp.Or(r.base, c.base)+"/"+r.path+"?"+query.Encode(), body)
	if err != nil {
		return fmt.Errorf("cannot %s: %w", r.op, err)
	}
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", cmp.Or(r.contentType, "application/json; charset=utf-8"))
	}
	req.Header.Set("Authorization", authorization.Reveal())
	// Without this header, the answer to a rejected credential is a page instead of 401.
	req.Header.Set("X-TFS-FedAuthRedirect", "Suppress")
	begun := time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		c.observe(Observation{Method: r.method, Path: r.path, Duration: time.Since(begun)})
		return &Error{Op: r.op, Sent: sent.Load(), Cause: httpclient.WithoutURL(err)}
	}
	return c.receive(r, resp, begun)
}

// receive reads the answer to a request.
func (c *Client) receive(r request, resp *http.Response, begun time.Time) error {
	defer resp.Body.Close()
	ahead := c.noteServerClock(resp)
	throttle := throttleOf(resp.Header)
	c.noteRetryAfter(throttle)
	defer func() {
		c.observe(Observation{r.method, r.path, resp.StatusCode, time.Since(begun), throttle, ahead})
	}()
	if r.items != nil && resp.StatusCode == http.StatusOK && isJSON(resp.Header) {
		if err := readList(resp.Body, r.items); err != nil {
			return &Error{Op: r.op, Sent: true, Cause: err}
		}
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return &Error{Op: r.op, Sent: true, Cause: err}
	}
	if r.onResponse != nil {
		r.onResponse(resp)
	}
	return decodeResponse(r, resp, body)
}

// decodeResponse decodes the body of a success, or returns the error of a failure.
func decodeResponse(r request, resp *http.Response, body []byte) error {
	switch {
	case resp.StatusCode == http.StatusNoContent:
		return nil
	case resp.StatusCode == http.StatusNonAuthoritativeInfo, resp.StatusCode/100 != 2:
		return newError(r.op, resp, body)
	case r.into == nil && len(body) == 0:
		return nil
	case !isJSON(resp.Header): // a page, perhaps of a proxy: the server did not act
		return newError(r.op, resp, body)
	case r.into == nil:
		return nil
	}
	if err := json.Unmarshal(bytes.TrimPrefix(body, byteOrderMark), r.into); err != nil {
		return &Error{Op: r.op, Sent: true, Cause: &invalidResponse{err}}
	}
	return nil
}

// RawRequest is a request whose status is of interest, also if it is a failure: for callers
// that test how the server behaves.
type RawRequest struct {
	Op     string // "delete the agent"
	Method string
	Path   string // below the organisation
	Query  url.Values
	Body   any
	Into   any // gets the decoded body of a success
}

// RawResponse is the server's answer.
type RawResponse struct {
	Status  int
	TypeKey string // the server's name for the error
	Err     error  // nil for a success, otherwise an *Error
}

// DoRaw makes a request and returns the answer. It returns an error only if there was no
// answer.
func (c *Client) DoRaw(ctx context.Context, q RawRequest) (RawResponse, error) {
	status := 0
	err := c.do(ctx, request{
		op: q.Op, method: q.Method, path: q.Path, query: q.Query, body: q.Body, into: q.Into,
		onResponse: func(r *http.Response) { status = r.StatusCode },
	})
	var e *Error
	if err != nil && (!errors.As(err, &e) || cmp.Or(e.Status, status) == 0) {
		return RawResponse{}, err
	}
	a := RawResponse{Status: status, Err: err}
	if e != nil {
		a.Status, a.TypeKey = cmp.Or(e.Status, status), e.TypeKey
	}
	return a, nil
}
