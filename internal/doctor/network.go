package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/azptend/azptend/internal/azdo"
)

// networkPatience is how long an address may take to answer.
const networkPatience = 20 * time.Second

// trail is what a request met on its way.
type trail struct {
	mu      sync.Mutex
	names   []string // the addresses that the name stands for
	address string   // the one that was connected to
	tls     *tls.ConnectionState
}

func (t *trail) trace() *httptrace.ClientTrace {
	note := func(f func()) { t.mu.Lock(); f(); t.mu.Unlock() }
	return &httptrace.ClientTrace{
		DNSDone: func(i httptrace.DNSDoneInfo) {
			note(func() {
				for _, a := range i.Addrs {
					t.names = append(t.names, a.String())
				}
			})
		},
		ConnectDone: func(_, address string, err error) {
			if err == nil {
				note(func() { t.address = address })
			}
		},
		TLSHandshakeDone: func(s tls.ConnectionState, err error) {
			if err == nil {
				note(func() { t.tls = &s })
			}
		},
	}
}

func lookAtNetwork(ctx context.Context, v *visit) result {
	switch {
	case v.alone():
		return notNeeded("the agent's own files say where its server is")
	case v.URL == "":
		return blocked(Settings, "AZP_URL (--url) names no address")
	}
	via := v.proxyFor(v.URL)
	var way trail
	// A connection of its own: of one that was kept nothing would be learned.
	v.Web.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(httptrace.WithClientTrace(ctx, way.trace()), networkPatience)
	defer cancel()
	sent := time.Now()
	found, err := azdo.Probe(ctx, v.Web, v.URL)
	answered := time.Now()
	if err != nil {
		return unreached(err, v.URL, via, &way)
	}
	v.found = found
	return ok(way.describe(v.URL, via, answered.Sub(sent))).withClock(found.Date, sent, answered)
}

// proxyFor is the proxy on the way to an address, without its password; nil for
// none.
func (v *visit) proxyFor(address string) *url.URL {
	r, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil || v.Proxy == nil {
		return nil
	}
	via, err := v.Proxy(r)
	if err != nil || via == nil {
		return nil
	}
	bare := *via
	bare.User = nil
	return &bare
}

// describe is the way that a request took.
func (t *trail) describe(address string, via *url.URL, took time.Duration) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	parts := []string{hostOf(address) + " answers in " + took.Round(time.Millisecond).String()}
	if via != nil {
		parts = append(parts, "through the proxy "+via.String())
	}
	if t.address != "" {
		parts = append(parts, "at "+t.address)
	}
	switch {
	case t.tls != nil && len(t.tls.PeerCertificates) > 0:
		leaf := t.tls.PeerCertificates[0]
		parts = append(parts, fmt.Sprintf("%s, certificate by %s", tls.VersionName(t.tls.Version), oneName(leaf.Issuer.CommonName, leaf.Issuer.String())))
	case strings.HasPrefix(address, "http:"):
		parts = append(parts, "without TLS")
	}
	return strings.Join(parts, ", ")
}

func oneName(name, instead string) string {
	if name == "" {
		return instead
	}
	return name
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Host
}

// unreached says how far a request came.
func unreached(err error, address string, via *url.URL, way *trail) result {
	c, known := Explain(err)
	if !known {
		c = CaseOf(NoAnswer)
	}
	way.mu.Lock()
	defer way.mu.Unlock()
	what := fmt.Sprintf("cannot reach %s: %v", hostOf(address), errors.Unwrap(err))
	if via != nil {
		what += ", through the proxy " + via.String()
	}
	if len(way.names) > 0 && way.address == "" {
		what += "; the name stands for " + strings.Join(way.names, ", ")
	}
	var verify *tls.CertificateVerificationError
	if errors.As(err, &verify) && len(verify.UnverifiedCertificates) > 0 {
		leaf := verify.UnverifiedCertificates[0]
		what += fmt.Sprintf("; the certificate is of %s, by %s", oneName(leaf.Subject.CommonName, leaf.Subject.String()), oneName(leaf.Issuer.CommonName, leaf.Issuer.String()))
	}
	return wrong(problem(c.Cause, what))
}

// mostSkew is how far apart clocks may be: the agent's log-on breaks beyond
// (agent-protocol.md 10, 11th surprise).
const mostSkew = 5 * time.Minute

// withClock compares the server's clock with ours. Its Date is of some moment
// between request and answer, cut to a second.
func (r result) withClock(server, sent, answered time.Time) result {
	if server.IsZero() {
		return r
	}
	var skew time.Duration
	switch {
	case server.Add(time.Second).Before(sent):
		skew = sent.Sub(server)
	case server.After(answered):
		skew = answered.Sub(server)
	}
	if skew.Abs() < mostSkew {
		return r
	}
	word := "ahead of"
	if skew < 0 {
		word = "behind"
	}
	return r.with(problem(ClockWrong, fmt.Sprintf("this machine's clock is %s %s the server's", skew.Abs().Round(time.Second), word)))
}

func lookAtOrganisation(_ context.Context, v *visit) result {
	if v.alone() {
		return notNeeded("the agent's own files say which it is")
	}
	status := fmt.Sprintf("%s answers %d", v.URL, v.found.Status)
	switch v.found.Kind {
	case azdo.NoSuchOrganisation:
		return wrong(problem(NoOrganisation, status+", and names no tenant: there is no such organisation"))
	case azdo.RedirectsElsewhere:
		return wrong(problem(Redirects, v.URL+" leads to "+v.found.Target))
	case azdo.NotAzureDevOps:
		return wrong(problem(NotDevOps, status+", and not as Azure DevOps does"))
	case azdo.EndpointUnavailable:
		return wrong(problem(Unavailable, status))
	}
	return ok("there is an organisation or collection at " + v.URL)
}

func lookAtTenant(_ context.Context, v *visit) result {
	switch {
	case v.alone():
		return notNeeded("no token is needed")
	case v.claims == nil:
		return notNeeded("a personal access token is of no tenant")
	case v.found.Tenant == "":
		return notNeeded("the organisation names no tenant: it is a server of one's own, or one that does not tell")
	case v.found.WithoutEntra():
		return wrong(problem(NoEntra, "the organisation is connected to no Entra tenant, and the token is of tenant "+v.claims.Tenant))
	case v.claims.Tenant == "":
		return notNeeded("the token does not say its tenant; the organisation's is " + v.found.Tenant)
	case !strings.EqualFold(v.found.Tenant, v.claims.Tenant):
		return wrong(problem(WrongTenant, fmt.Sprintf("the token is of tenant %s, and the organisation is connected to tenant %s", v.claims.Tenant, v.found.Tenant)))
	}
	return ok("the token and the organisation are of tenant " + v.found.Tenant)
}
