package azdo

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
)

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

// OK says that the answer is a success.
func (a RawResponse) OK() bool { return a.Err == nil }

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
