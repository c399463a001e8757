package doctor

import (
	"cmp"
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

// requestTrace is what is known of how a request was sent.
type requestTrace struct {
	mu       sync.Mutex
	resolved []string // the addresses of the name
	address  string   // of the connection
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

func checkNetwork(ctx context.Context, v *run) Finding {
	if v.URL == "" {
		return Finding{Verdict: Skipped, BlockedBy: Settings, Found: "AZP_URL (--url) names no address"}
	}
	via := v.proxyFor(v.URL)
	var way requestTrace
	// A new connection: one that is reused shows nothing of the way.
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
	return Finding{Found: way.describe(v.URL, via, answered.Sub(sent))}
}

// proxyFor is the proxy for an address, without its password; nil: none.
func (v *run) proxyFor(address string) *url.URL {
	r, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return nil
	}
	via, err := v.Proxy()(r)
	if err != nil || via == nil {
		return nil
	}
	bare := *via
	bare.User = nil
	return &bare
}

// describe says how a request reached its server.
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
		parts = append(parts, fmt.Sprintf("%s, certificate issued by %s", tls.VersionName(t.tls.Version), cmp.Or(leaf.Issuer.CommonName, leaf.Issuer.String())))
	case strings.HasPrefix(address, "http:"):
		parts = append(parts, "without TLS")
	}
	return strings.Join(parts, ", ")
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Host
}

// unreachable says how far a request came.
func unreachable(err error, address string, via *url.URL, way *requestTrace) Finding {
	c := cmp.Or(Explain(err), NoAnswer)
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
		what += fmt.Sprintf("; the certificate is for %s, issued by %s", cmp.Or(leaf.Subject.CommonName, leaf.Subject.String()), cmp.Or(leaf.Issuer.CommonName, leaf.Issuer.String()))
	}
	return failed(c, what)
}

// maxClockSkew is how far the clocks may differ for the agent's log-on
// (agent-protocol.md 10, 11th surprise).
const maxClockSkew = 5 * time.Minute

// clockSkew is how far this machine's clock is ahead of the server's. The server took its Date
// between request and answer, and cut it to a second.
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

func checkClock(_ context.Context, v *run) Finding {
	switch {
	case v.URL == "":
		return Finding{Verdict: Skipped, BlockedBy: Settings, Found: "AZP_URL (--url) names no address"}
	case v.organisation.Date.IsZero():
		return Finding{Verdict: Skipped, Found: "the server does not say what time it is"}
	case v.clockSkew.Abs() < maxClockSkew:
		return Finding{Found: "this machine's clock and the server's agree"}
	}
	word := "ahead of"
	if v.clockSkew < 0 {
		word = "behind"
	}
	return failed(ClockWrong, fmt.Sprintf("this machine's clock is %s %s the server's", v.clockSkew.Abs().Round(time.Second), word))
}

func checkOrganisation(_ context.Context, v *run) Finding {
	status := fmt.Sprintf("%s answers %d", v.URL, v.organisation.Status)
	switch v.organisation.Kind {
	case azdo.NoSuchOrganisation:
		return failed(NoOrganisation, status+", and names no tenant: there is no such organisation")
	case azdo.RedirectsElsewhere:
		return failed(Redirects, v.URL+" redirects to "+v.organisation.Target)
	case azdo.NotAzureDevOps:
		return failed(NotDevOps, status+", unlike Azure DevOps")
	case azdo.EndpointUnavailable:
		return failed(Unavailable, status)
	}
	return Finding{Found: "there is an organisation or collection at " + v.URL}
}

func checkTenant(_ context.Context, v *run) Finding {
	switch {
	case v.claims == nil:
		return Finding{Verdict: Skipped, Found: "a personal access token belongs to no tenant"}
	case v.organisation.Tenant == "":
		return Finding{Verdict: Skipped, Found: "the organisation names no tenant: it is an Azure DevOps Server, or does not show its tenant"}
	case v.organisation.Tenant == azdo.NoTenant:
		return failed(NoEntra, "the organisation is connected to no Entra tenant, but the token belongs to tenant "+v.claims.Tenant)
	case v.claims.Tenant == "":
		return Finding{Verdict: Skipped, Found: "the token does not name its tenant; the organisation's tenant is " + v.organisation.Tenant}
	case !strings.EqualFold(v.organisation.Tenant, v.claims.Tenant):
		return failed(WrongTenant, fmt.Sprintf("the token belongs to tenant %s, but the organisation is connected to tenant %s", v.claims.Tenant, v.organisation.Tenant))
	}
	return Finding{Found: "the token and the organisation belong to tenant " + v.organisation.Tenant}
}
