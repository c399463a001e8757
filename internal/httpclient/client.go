// Package httpclient makes azptend's HTTP clients: one for Azure DevOps, which may use a
// proxy, one for identity endpoints, which never does, and one for downloads. The first two
// do not follow redirects: Azure DevOps answers a bad credential with a redirect to a sign-in
// page, and a redirect of an identity endpoint would send its secret header elsewhere.
//
// A request's context also bounds the reading of the answer. net/http does not ensure that
// for status 101, so these clients return an error for it.
package httpclient

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"time"
)

// ForAzureDevOps returns a client for Azure DevOps and Entra ID. proxy returns the proxy for a
// request; nil means no proxy. authorities (PEM) are trusted in addition to the system's; nil
// means none.
func ForAzureDevOps(userAgent string, proxy func(*http.Request) (*url.URL, error), authorities []byte) *http.Client {
	t := newTransport(proxy)
	if len(authorities) > 0 {
		t.TLSClientConfig = tlsConfig(authorities)
	}
	return &http.Client{
		Transport:     userAgentTransport{base: answered{t}, userAgent: userAgent},
		CheckRedirect: noRedirect,
	}
}

// ForDownloads returns a client like c that follows redirects, for content with a checksum.
// net/http does not send credentials to another host.
func ForDownloads(c *http.Client) *http.Client {
	follows := *c
	follows.CheckRedirect = nil
	return &follows
}

// ForIdentity returns a client for identity endpoints. It uses no proxy, whatever the
// environment says: Go's default would send requests to the metadata service through
// HTTP_PROXY (reference/identity.md 0.4).
func ForIdentity() *http.Client {
	return &http.Client{Transport: answered{newTransport(nil)}, CheckRedirect: noRedirect}
}

// ForPinnedIdentity returns a client like ForIdentity's for Service Fabric, where the
// SDK pins the endpoint's certificate: it insists on an unwrapped http.Transport.
func ForPinnedIdentity() *http.Client {
	return &http.Client{Transport: newTransport(nil), CheckRedirect: noRedirect}
}

// WithoutURL removes the URL from an http.Client's error: it is long, and the caller's message
// says what was tried.
func WithoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// tlsConfig trusts authorities (PEM) in addition to the system's.
func tlsConfig(authorities []byte) *tls.Config {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // an image without certificates
	}
	pool.AppendCertsFromPEM(authorities)
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

func newTransport(proxy func(*http.Request) (*url.URL, error)) *http.Transport {
	return &http.Transport{
		Proxy:                 proxy,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          4,
		MaxIdleConnsPerHost:   4, // the number of concurrent calls
		IdleConnTimeout:       90 * time.Second,
	}
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// ErrSwitched says that the server switched to another protocol (101) without a request for
// it.
var ErrSwitched = errors.New("the server switches to another protocol")

// answered returns an error for an answer with status 101. Its body would be the raw
// connection, and a read of that does not end with the request's context.
type answered struct{ *http.Transport }

func (a answered) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := a.Transport.RoundTrip(r)
	if err == nil && resp.StatusCode == http.StatusSwitchingProtocols {
		resp.Body.Close()
		return nil, ErrSwitched
	}
	return resp, err
}

// userAgentTransport sets the User-Agent of each request.
type userAgentTransport struct {
	base      http.RoundTripper
	userAgent string
}

func (n userAgentTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", n.userAgent)
	return n.base.RoundTrip(r)
}

// CloseIdleConnections is called by http.Client.CloseIdleConnections.
func (n userAgentTransport) CloseIdleConnections() {
	if c, ok := n.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
