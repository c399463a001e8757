package emulator

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const jsonType = "application/json; charset=utf-8"

// reply is an answer that is not sent yet, so that faults and holds can come between acting and answering.
type reply struct {
	status      int
	header      http.Header
	contentType string
	body        []byte
	ranges      bool          // a client may ask for a part of the body; net/http chooses the status
	held        time.Duration // by the rate limit
	typeKey     string        // of an error: the exception
}

func jsonReply(status int, v any) reply {
	body, err := json.Marshal(v)
	if err != nil { // every type that is sent can be encoded; a body that cannot is a bug here
		return reply{status: http.StatusInternalServerError, contentType: "text/plain", body: []byte(err.Error())}
	}
	return reply{status: status, contentType: jsonType, body: body}
}

var noContent = reply{status: http.StatusNoContent}

// setHeader sets a header of the answer, and returns the answer.
func (r reply) setHeader(name, value string) reply {
	if r.header == nil {
		r.header = http.Header{}
	}
	r.header.Set(name, value)
	return r
}

// request is one call, parsed.
type request struct {
	http     *http.Request
	body     []byte
	base     string   // scheme://host of the request: all absolute URLs begin with it
	segments []string // of the path
	caller   string   // who called, for the records

	// The rest is of calls to Azure DevOps.
	params map[string]string
	route  *route
	who    principal
}

func newRequest(r *http.Request, body []byte) *request {
	scheme := choose(r.TLS != nil, "https://", "http://")
	return &request{http: r, body: body, base: scheme + r.Host, segments: splitPath(r.URL.Path)}
}

// query is a query parameter; names do not differ by case, nor do they in ASP.NET.
func (c *request) query(name string) string {
	q := c.http.URL.Query()
	if v := q.Get(name); v != "" {
		return v
	}
	for k, v := range q {
		if strings.EqualFold(k, name) && len(v) > 0 {
			return v[0]
		}
	}
	return ""
}

func (c *request) flag(name string) bool {
	on, _ := strconv.ParseBool(strings.ToLower(c.query(name)))
	return on
}

// intParam is a path parameter as a number; 0, which no id is, when it is none.
func (c *request) intParam(name string) int {
	n, _ := strconv.Atoi(c.params[name])
	return n
}

// decode reads the JSON body into v; a BOM before it is skipped.
func (c *request) decode(v any) error {
	body := strings.TrimPrefix(string(c.body), "\ufeff")
	if strings.TrimSpace(body) == "" {
		return errBadRequest("Value cannot be null: the request has no body.")
	}
	if err := json.Unmarshal([]byte(body), v); err != nil {
		return errBadRequest("The body is not what was expected: %v", err)
	}
	return nil
}

// splitHost takes off the prefix by which a path selects one of the three hosts; "" is dev.azure.com.
func splitHost(segments []string) (host string, rest []string) {
	if len(segments) > 0 {
		switch h := strings.ToLower(segments[0]); h {
		case "vssps", "vsaex":
			return h, segments[1:]
		}
	}
	return "", segments
}

func splitPath(p string) []string {
	return slices.DeleteFunc(strings.Split(p, "/"), func(s string) bool { return s == "" })
}

// match finds the route for the segments after the organisation. Literal segments do not differ by case; parameters
// at a template's end may be missing, as in the real templates.
func (e *Emulator) match(host string, segments []string) (*route, map[string]string) {
	for i := range e.routes {
		if !e.routes[i].servedAt(host) {
			continue
		}
		if params, ok := e.routes[i].match(segments); ok {
			return &e.routes[i], params
		}
	}
	return nil, nil
}

// servedAt reports whether a host has the resource. All three hosts have the resource areas.
func (r *route) servedAt(host string) bool {
	return r.host == host || r.area == "Location"
}

func (r *route) match(segments []string) (map[string]string, bool) {
	if len(segments) > len(r.segments) {
		return nil, false
	}
	params := map[string]string{}
	for i, want := range r.segments {
		name, isParam := strings.CutPrefix(want, "{")
		switch {
		case i >= len(segments):
			if !isParam {
				return nil, false
			}
		case isParam:
			params[strings.TrimSuffix(name, "}")] = segments[i]
		case !strings.EqualFold(want, segments[i]):
			return nil, false
		}
	}
	return params, true
}
