package azdo

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
)

// Question is a request of which the answer itself is wanted, whatever it is: for
// who tries how the server behaves.
type Question struct {
	Op     string // "delete the agent"
	Method string
	Path   string // below the organisation
	Query  url.Values
	Body   any
	Into   any // is filled by a success
}

// Answer is what the server answered.
type Answer struct {
	Status  int
	TypeKey string // the server's name for a failure
	Err     error  // nil for a success; else an *Error
}

// OK says that the answer is a success.
func (a Answer) OK() bool { return a.Err == nil }

// Ask makes a request and tells the answer. The error is that there was none.
func (c *Client) Ask(ctx context.Context, q Question) (Answer, error) {
	status := 0
	err := c.do(ctx, request{
		op: q.Op, method: q.Method, path: q.Path, query: q.Query, body: q.Body, into: q.Into,
		saw: func(r *http.Response) { status = r.StatusCode },
	})
	var e *Error
	if err != nil && (!errors.As(err, &e) || cmp.Or(e.Status, status) == 0) {
		return Answer{}, err
	}
	a := Answer{Status: status, Err: err}
	if e != nil {
		a.Status, a.TypeKey = cmp.Or(e.Status, status), e.TypeKey
	}
	return a, nil
}
