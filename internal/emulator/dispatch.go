package emulator

import (
	"maps"
	"net/http"
	"strings"
)

// dispatch answers one call that no fault has answered. It stores the caller in the request, for the records.
func (e *Emulator) dispatch(c *request) reply {
	serve := e.serviceOf(c)
	if serve == nil {
		return e.dispatchDevOps(c)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	defer e.settle()
	return serve(c)
}

// serviceOf returns what answers in place of Azure DevOps, with the emulator locked; nil for Azure DevOps itself.
func (e *Emulator) serviceOf(c *request) func(*request) reply {
	path := strings.ToLower(strings.Join(c.segments, "/"))
	switch {
	case path == "msi/token":
		return e.serveMSI
	case strings.HasPrefix(c.http.URL.Path, downloadPath):
		e.offerAgentPackage()
		return e.servePackage
	case path == "metadata" || strings.HasPrefix(path, "metadata/"):
		return e.serveMetadata
	case entraResource(c.segments) != "":
		return e.serveEntra
	}
	return nil
}

func (e *Emulator) dispatchDevOps(c *request) reply {
	host, segments := splitHost(c.segments)
	if host == "vssps" && len(segments) == 1 && strings.EqualFold(segments[0], "_signin") {
		return signInPage(http.StatusNonAuthoritativeInfo)
	}
	if len(segments) == 0 || !strings.EqualFold(segments[0], e.opts.Org) {
		return notFoundPage() // a wrong organisation: no tenant header (azure-devops-rest.md 5)
	}
	out := e.dispatchOrg(c, host, segments[1:])
	if out.header == nil {
		out.header = http.Header{}
	}
	e.addOrgHeaders(c, out.header)
	return out
}

func (e *Emulator) dispatchOrg(c *request, host string, segments []string) reply {
	if len(segments) == 0 { // HEAD {vssps}/{org} tells the tenant (azure-devops-rest.md 0)
		return notFoundPage()
	}
	if c.http.Method == http.MethodOptions && strings.EqualFold(segments[0], "_apis") && len(segments) <= 2 {
		return e.options(c, host, segments[1:])
	}
	if c.route, c.params = e.match(host, segments); c.route == nil {
		return notFoundPage()
	}
	throttle, err := e.admit(c)
	if err != nil {
		return asReply(err)
	}
	if !e.sleep(throttle.Delay) {
		return reply{status: http.StatusServiceUnavailable}
	}
	out := e.serveRoute(c)
	out.held = throttle.Delay
	if limits := throttle.header(); limits != nil {
		if out.header == nil {
			out.header = http.Header{}
		}
		maps.Copy(out.header, limits)
	}
	return out
}

// admit authenticates the caller and charges it for the call. The token endpoint learns who it is from the assertion.
func (e *Emulator) admit(c *request) (throttle Throttle, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !c.route.anonymous {
		if c.who, err = e.authenticate(c); err != nil {
			return throttle, err
		}
	}
	c.caller = c.who.label()
	if throttle = e.meter.Charge(c.caller, e.Now()); throttle.Refuse {
		r := errBlocked(rateResource, "User")
		r.header = throttle.header()
		err = r
	}
	return throttle, err
}

// serveRoute runs the handler of the route.
func (e *Emulator) serveRoute(c *request) reply {
	method := c.http.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	h, ok := c.route.methods[method]
	if !ok {
		return errServer(http.StatusMethodNotAllowed, "The requested resource does not support http method '"+method+"'.")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !c.route.unversioned {
		if err := e.checkVersion(c.http.Method, apiVersion(c), c.route.preview); err != nil {
			return asReply(err)
		}
	}
	if h.waits { // it locks by itself
		e.mu.Unlock()
		defer e.mu.Lock()
	} else {
		e.settle()
		defer e.settle()
	}
	v, err := h.serve(c)
	if err != nil {
		return asReply(err)
	}
	if r, ok := v.(reply); ok {
		return r
	}
	return jsonReply(http.StatusOK, v)
}

// addOrgHeaders adds what every answer of an organisation carries (azure-devops-rest.md 0).
func (e *Emulator) addOrgHeaders(c *request, h http.Header) {
	activity := newGUID()
	h.Set("ActivityId", activity)
	h.Set("X-VSS-E2EID", activity)
	h.Set("X-TFS-ProcessId", e.instanceID)
	h.Set("X-TFS-Session", newGUID())
	h.Set("X-VSS-ResourceTenant", e.Policies().tenant(e.Tenant))
	h.Set("Request-Context", "appId=emulator")
	if id := c.who.identity; id != nil {
		h.Set("X-VSS-UserData", id.storageKey+":"+id.Name)
	}
	if s := c.http.Header.Get("X-TFS-Session"); s != "" {
		h.Set("X-TFS-Session", s)
	}
}

func notFoundPage() reply {
	return htmlPage(http.StatusNotFound, "<!DOCTYPE html><html><head><title>The resource cannot be found.</title></head><body>404</body></html>\n")
}

func htmlPage(status int, page string) reply {
	return reply{status: status, header: http.Header{}, contentType: "text/html; charset=utf-8", body: []byte(page)}
}
