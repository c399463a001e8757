package emulator

import (
	"errors"
	"maps"
	"net/http"
	"strings"
)

// dispatch answers one call that no fault has answered. It also says who called, for the records.
func (e *Emulator) dispatch(r *http.Request, body []byte) (reply, string) {
	segments := splitPath(r.URL.Path)
	if len(segments) == 2 && strings.EqualFold(segments[0], "msi") && strings.EqualFold(segments[1], "token") {
		e.mu.Lock()
		defer e.mu.Unlock()
		defer e.settle()
		return e.serveMSI(r)
	}
	if strings.HasPrefix(r.URL.Path, downloadPath) {
		e.offerAgentPackage()
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.servePackage(r), ""
	}
	if isMetadataPath(segments) {
		e.mu.Lock()
		defer e.mu.Unlock()
		defer e.settle()
		return e.serveMetadata(r, segments, body)
	}
	if tenant, what, ok := e.entraPath(segments); ok {
		e.mu.Lock()
		defer e.mu.Unlock()
		defer e.settle()
		return e.serveEntra(r, tenant, what, body)
	}
	c := &request{http: r, body: body, base: baseOf(r)}
	out, who := e.dispatchDevOps(c, segments)
	if out.header == nil {
		out.header = http.Header{}
	}
	return out, who
}

// baseOf is the scheme and host the client used.
func baseOf(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

func (e *Emulator) dispatchDevOps(c *request, segments []string) (reply, string) {
	host, segments := splitHost(segments)
	if host == "vssps" && len(segments) == 1 && strings.EqualFold(segments[0], "_signin") {
		return signInPage(http.StatusNonAuthoritativeInfo), ""
	}
	if len(segments) == 0 || !strings.EqualFold(segments[0], e.opts.Org) {
		return notFoundPage(), "" // a wrong organisation: no tenant header (azure-devops-rest.md 5)
	}
	out, who := e.dispatchOrg(c, host, segments[1:])
	if out.header == nil {
		out.header = http.Header{}
	}
	e.addOrgHeaders(c, &out)
	return out, who
}

func (e *Emulator) dispatchOrg(c *request, host string, segments []string) (reply, string) {
	if len(segments) == 0 { // HEAD {vssps}/{org} tells the tenant (azure-devops-rest.md 0)
		return notFoundPage(), ""
	}
	if c.http.Method == http.MethodOptions && strings.EqualFold(segments[0], "_apis") && len(segments) <= 2 {
		return e.options(host, segments[1:]), ""
	}
	route, params := e.match(host, segments)
	if route == nil {
		return notFoundPage(), ""
	}
	c.params, c.route = params, route
	e.mu.Lock()
	if !route.anonymous {
		who, refusal := e.authenticate(c)
		if refusal != nil {
			e.mu.Unlock()
			return *refusal, ""
		}
		c.who = who
	}
	label := c.who.label()
	throttle := e.meter.Charge(label, e.now())
	e.mu.Unlock()
	if throttle.Refuse {
		return tooManyRequests(throttle), label
	}
	if !e.sleep(throttle.Delay) {
		return reply{status: http.StatusServiceUnavailable}, label
	}
	out := e.serveRoute(c, route)
	out.held = throttle.Delay
	if told := throttle.header(); told != nil {
		if out.header == nil {
			out.header = http.Header{}
		}
		maps.Copy(out.header, told)
	}
	if route.anonymous { // the token endpoint learns who it is from the assertion
		e.mu.Lock()
		label = c.who.label()
		e.mu.Unlock()
	}
	return out, label
}

// serveRoute runs the route's handler, with mu held unless the handler waits.
func (e *Emulator) serveRoute(c *request, rt *route) reply {
	method := c.http.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	h, ok := rt.methods[method]
	if !ok {
		r := (&apiError{http.StatusMethodNotAllowed, "VssServiceException", nsCommon,
			"The requested resource does not support http method '" + method + "'."}).reply()
		return r
	}
	c.version = apiVersion(c.http)
	var out reply
	var err error
	if err = e.requireVersion(c, rt); err == nil {
		out, err = e.runHandler(c, h)
	}
	var known *apiError
	switch {
	case errors.As(err, &known):
		return known.reply()
	case err != nil:
		return (&apiError{http.StatusInternalServerError, "VssServiceException", nsCommon, err.Error()}).reply()
	}
	return out
}

func (e *Emulator) requireVersion(c *request, rt *route) error {
	if rt.unversioned {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.checkVersion(c.http.Method, c.version, rt.preview)
}

func (e *Emulator) runHandler(c *request, h handler) (reply, error) {
	if h.waits {
		return h.serve(e, c)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.settle()
	defer e.settle()
	return h.serve(e, c)
}

// addOrgHeaders adds what every answer of an organisation carries (azure-devops-rest.md 0).
func (e *Emulator) addOrgHeaders(c *request, out *reply) {
	activity := newGUID()
	out.header.Set("ActivityId", activity)
	out.header.Set("X-VSS-E2EID", activity)
	out.header.Set("X-TFS-ProcessId", e.instanceID)
	out.header.Set("X-TFS-Session", newGUID())
	out.header.Set("X-VSS-ResourceTenant", e.Policies().tenant(e.tenantID))
	out.header.Set("Request-Context", "appId=emulator")
	if id := c.who.identity; id != nil {
		out.header.Set("X-VSS-UserData", id.storageKey+":"+id.Name)
	}
	if s := c.http.Header.Get("X-TFS-Session"); s != "" {
		out.header.Set("X-TFS-Session", s)
	}
}

func notFoundPage() reply {
	return reply{status: http.StatusNotFound, header: http.Header{}, contentType: "text/html; charset=utf-8",
		body: []byte("<!DOCTYPE html><html><head><title>The resource cannot be found.</title></head><body>404</body></html>\n")}
}
