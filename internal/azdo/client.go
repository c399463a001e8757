// Package azdo is a client for the part of Azure DevOps' REST API that an agent
// needs: pools, their agents and job requests, and for setup users, licences and
// roles. Results and errors are typed. An [Error] has the ids that support asks for,
// and says whether the server may have acted on a request whose answer was lost.
// [ClassOf] says what an error means.
//
// The client repeats a request once after a 401, with another token if there is one.
// It delays requests after a Retry-After. All other retries are the callers' decision:
// package lifecycle's for a running agent, package retry's for commands.
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

// Authorizer gives the value of the Authorization header. Rejected is the value that the
// server has just rejected, of which another one is wanted; zero if there is none. The
// result may be the rejected value, if there is no other.
type Authorizer interface {
	Authorization(ctx context.Context, rejected secret.Text) (secret.Text, error)
}

// Client speaks to one organisation or collection. It is safe for use by
// several goroutines.
type Client struct {
	base    string // no trailing slash
	http    *http.Client
	auth    Authorizer
	observe func(Observation)

	mu          sync.Mutex
	notBefore   time.Time     // the server's Retry-After
	answered    time.Time     // when the server last told its time; zero: never
	serverAhead time.Duration // by how much its clock was ahead of ours then
}

// Observation is one request that was made, for metrics and the debug log. It
// holds nothing secret.
type Observation struct {
	Method, Path string
	Status       int // 0: no answer
	Duration     time.Duration
	Throttle     Throttle
	// ServerAhead is how far the server's clock is ahead of ours, to a second; 0 where it does not tell.
	ServerAhead time.Duration
}

// Throttled says that Azure DevOps delayed or refused the request because this
// identity makes too many. An outage that only names a time to come back is not
// throttling (azure-devops-rest.md 3).
func (o Observation) Throttled() bool {
	t := o.Throttle
	return o.Status == http.StatusTooManyRequests || t.Delay > 0 || (t.RetryAfter > 0 && (t.Resource != "" || t.Remaining != ""))
}

// New returns a client for the organisation's URL, e.g.
// https://dev.azure.com/org. Observe may be nil.
func New(orgURL string, client *http.Client, auth Authorizer, observe func(Observation)) *Client {
	if observe == nil {
		observe = func(Observation) {}
	}
	return &Client{base: strings.TrimRight(orgURL, "/"), http: client, auth: auth, observe: observe}
}

// apiVersion serves Azure DevOps Services and Server 2022.1 and newer
// (agent-protocol.md 2.1).
const apiVersion = "7.1"

// maxBody bounds an answer that is held, and one item of a list. A job request that
// names 10,000 agents is some 5 MB. An answer may come compressed, so that a small one
// is a large one too.
const maxBody = 16 << 20

// request is one call in the form it is written down.
type request struct {
	op     string // for errors: "remove agent 7"
	method string
	path   string // below the organisation: "_apis/distributedtask/pools"
	query  url.Values
	body   any // marshalled as JSON; nil for none
	into   any // unmarshalled from JSON; nil to ignore the answer
	// items reads one item of an answer that is a list; instead of into, where the
	// answer is too large to be held whole.
	items func(*json.Decoder) error

	base        string               // another address than the client's, see Account
	contentType string               // of the body, where it is not plain JSON
	onResponse  func(*http.Response) // is shown the answer, its body read; nil for nobody
}

// get reads a resource.
func (c *Client) get(ctx context.Context, op, path string, query url.Values, into any) error {
	return c.do(ctx, request{op: op, method: http.MethodGet, path: path, query: query, into: into})
}

// Authorize gets a token and sends no request, so that its time and its errors are
// reported separately. The error is a *TokenError.
func (c *Client) Authorize(ctx context.Context) error {
	if _, err := c.auth.Authorization(ctx, secret.Text{}); err != nil {
		return &TokenError{Op: "log on to Azure DevOps", Cause: err}
	}
	return nil
}

// do makes a request. After a 401 it asks the identity for another token, because the one
// from its cache may have been revoked or have expired, and makes the request once more.
// It does so with the same token too, if there is no other: a service in trouble answers
// with its sign-in page now and then, and a removal that is refused leaves a ghost.
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
	// Without it a refused credential is answered with a page, not with 401.
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

// decodeResponse judges an answer.
func decodeResponse(r request, resp *http.Response, body []byte) error {
	switch {
	case resp.StatusCode == http.StatusNoContent:
		return nil
	case resp.StatusCode == http.StatusNonAuthoritativeInfo, resp.StatusCode/100 != 2:
		return newError(r.op, resp, body)
	case r.into == nil && len(body) == 0:
		return nil
	case !isJSON(resp.Header): // a page: whoever answered, the server did not do it
		return newError(r.op, resp, body)
	case r.into == nil:
		return nil
	}
	if err := json.Unmarshal(trimBOM(body), r.into); err != nil {
		return &Error{Op: r.op, Sent: true, Cause: &invalidResponse{err}}
	}
	return nil
}

// RawRequest is a request of which the answer itself is wanted, whatever it is: for
// who tries how the server behaves.
type RawRequest struct {
	Op     string // "delete the agent"
	Method string
	Path   string // below the organisation
	Query  url.Values
	Body   any
	Into   any // is filled by a success
}

// RawResponse is what the server answered.
type RawResponse struct {
	Status  int
	TypeKey string // the server's name for a failure
	Err     error  // nil for a success; else an *Error
}

// DoRaw makes a request and tells the answer. The error is that there was none.
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
