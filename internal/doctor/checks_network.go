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

// networkTimeout is how long an address may take to answer.
const networkTimeout = 20 * time.Second

// requestTrace is what a request met on its way.
type requestTrace struct {
	mu       sync.Mutex
	resolved []string // the addresses that the name stands for
	address  string   // the one that was connected to
	tls      *tls.ConnectionState
}

func (t *requestTrace) trace() *httptrace.ClientTrace {
	note := func(f func()) { t.mu.Lock(); f(); t.mu.Unlock() }
	return &httptrace.ClientTrace{
		DNSDone: func(i httptrace.DNSDoneInfo) {
			note(func() {
				for _, a := range i.Addrs {
					t.resolved = append(t.resolved, a.String())
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

func checkNetwork(ctx context.Context, v *run) result {
	switch {
	case v.isPreregistered():
		return notNeeded("the agent's own files contain the server's address")
	case v.URL == "":
		return blockedBySettings("AZP_URL (--url) names no address")
	}
	via := v.proxyFor(v.URL)
	var way requestTrace
	// A connection of its own: of one that was kept nothing would be learned.
	v.HTTP.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(httptrace.WithClientTrace(ctx, way.trace()), networkTimeout)
	defer cancel()
	sent := time.Now()
	found, err := azdo.Probe(ctx, v.HTTP, v.URL)
	answered := time.Now()
	if err != nil {
		return unreachable(err, v.URL, via, &way)
	}
	v.organisation, v.clockSkew = found, clockSkew(found.Date, sent, answered)
	return ok(way.describe(v.URL, via, answered.Sub(sent)))
}

// proxyFor is the proxy on the way to an address, without its password; nil for
// none.
func (v *run) proxyFor(address string) *url.URL {
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
func (t *requestTrace) describe(address string, via *url.URL, took time.Duration) string {
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
		parts = append(parts, fmt.Sprintf("%s, certificate issued by %s", tls.VersionName(t.tls.Version), firstName(leaf.Issuer.CommonName, leaf.Issuer.String())))
	case strings.HasPrefix(address, "http:"):
		parts = append(parts, "without TLS")
	}
	return strings.Join(parts, ", ")
}

func firstName(name, instead string) string {
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

// unreachable says how far a request came.
func unreachable(err error, address string, via *url.URL, way *requestTrace) result {
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
	if len(way.resolved) > 0 && way.address == "" {
		what += "; the name resolves to " + strings.Join(way.resolved, ", ")
	}
	var verify *tls.CertificateVerificationError
	if errors.As(err, &verify) && len(verify.UnverifiedCertificates) > 0 {
		leaf := verify.UnverifiedCertificates[0]
		what += fmt.Sprintf("; the certificate is for %s, issued by %s", firstName(leaf.Subject.CommonName, leaf.Subject.String()), firstName(leaf.Issuer.CommonName, leaf.Issuer.String()))
	}
	return failedWith(problem(c.Cause, what))
}

// maxClockSkew is how far apart clocks may be: the agent's log-on breaks beyond
// (agent-protocol.md 10, 11th surprise).
const maxClockSkew = 5 * time.Minute

// clockSkew is how far our clock is ahead of the server's. Its Date is of some moment
// between request and answer, cut to a second.
func clockSkew(server, sent, answered time.Time) time.Duration {
	switch {
	case server.IsZero():
		return 0
	case server.Add(time.Second).Before(sent):
		return sent.Sub(server)
	case server.After(answered):
		return answered.Sub(server)
	}
	return 0
}

func checkClock(_ context.Context, v *run) result {
	switch {
	case v.isPreregistered():
		return notNeeded("the agent's own files say where its server is")
	case v.URL == "":
		return blockedBySettings("AZP_URL (--url) names no address")
	case v.organisation.Date.IsZero():
		return notNeeded("the server does not say what time it is")
	case v.clockSkew.Abs() < maxClockSkew:
		return ok("this machine's clock and the server's agree")
	}
	word := "ahead of"
	if v.clockSkew < 0 {
		word = "behind"
	}
	return failedWith(problem(ClockWrong, fmt.Sprintf("this machine's clock is %s %s the server's", v.clockSkew.Abs().Round(time.Second), word)))
}

func checkOrganisation(_ context.Context, v *run) result {
	if v.isPreregistered() {
		return notNeeded("the agent's own files name it")
	}
	status := fmt.Sprintf("%s answers %d", v.URL, v.organisation.Status)
	switch v.organisation.Kind {
	case azdo.NoSuchOrganisation:
		return failedWith(problem(NoOrganisation, status+", and names no tenant: there is no such organisation"))
	case azdo.RedirectsElsewhere:
		return failedWith(problem(Redirects, v.URL+" redirects to "+v.organisation.Target))
	case azdo.NotAzureDevOps:
		return failedWith(problem(NotDevOps, status+", unlike Azure DevOps"))
	case azdo.EndpointUnavailable:
		return failedWith(problem(Unavailable, status))
	}
	return ok("there is an organisation or collection at " + v.URL)
}

func checkTenant(_ context.Context, v *run) result {
	switch {
	case v.isPreregistered():
		return notNeeded("no token is needed")
	case v.claims == nil:
		return notNeeded("a personal access token belongs to no tenant")
	case v.organisation.Tenant == "":
		return notNeeded("the organisation names no tenant: it is an Azure DevOps Server, or does not show its tenant")
	case v.organisation.WithoutEntra():
		return failedWith(problem(NoEntra, "the organisation is connected to no Entra tenant, but the token belongs to tenant "+v.claims.Tenant))
	case v.claims.Tenant == "":
		return notNeeded("the token does not name its tenant; the organisation's tenant is " + v.organisation.Tenant)
	case !strings.EqualFold(v.organisation.Tenant, v.claims.Tenant):
		return failedWith(problem(WrongTenant, fmt.Sprintf("the token belongs to tenant %s, but the organisation is connected to tenant %s", v.claims.Tenant, v.organisation.Tenant)))
	}
	return ok("the token and the organisation belong to tenant " + v.organisation.Tenant)
}
