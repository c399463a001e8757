// Package httpclient makes the HTTP clients of azptend: one for Azure DevOps,
// which may be behind a proxy, one for identity endpoints, which never is, and
// one for downloads. The first two do not follow redirects: Azure DevOps answers
// a bad credential with a redirect to a sign-in page, and an identity endpoint
// has no business sending its caller elsewhere with its secret header.
//
// A request's context also bounds the reading of the answer. net/http does not keep
// to that for status 101, so these clients make an error of it.
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

// ForAzureDevOps returns a client for Azure DevOps and for Entra ID. The proxy
// function decides for each request; nil means none. The authorities are trusted
// beside the system's; nil means none.
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

// ForDownloads returns a client like c that follows redirects, for content that has a
// checksum. net/http sends no credential to another host.
func ForDownloads(c *http.Client) *http.Client {
	follows := *c
	follows.CheckRedirect = nil
	return &follows
}

// ForIdentity returns a client for identity endpoints: no proxy on the way,
// whatever the environment says (reference/identity.md 0.4: Go's default would send the
// metadata service's traffic through HTTP_PROXY).
func ForIdentity() *http.Client {
	return &http.Client{Transport: answered{newTransport(nil)}, CheckRedirect: noRedirect}
}

// ForPinnedIdentity returns a client like ForIdentity's for Service Fabric, where the
// SDK pins the endpoint's certificate: it insists on an unwrapped http.Transport.
func ForPinnedIdentity() *http.Client {
	return &http.Client{Transport: newTransport(nil), CheckRedirect: noRedirect}
}

// WithoutURL takes the URL out of an http.Client's error: it is long, and the caller's
// message says what was tried.
func WithoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// tlsConfig adds authorities (PEM) to the system's.
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
		MaxIdleConnsPerHost:   4, // as many as calls are made at a time
		IdleConnTimeout:       90 * time.Second,
	}
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// ErrSwitched stands for an answer that goes over to another protocol (101), which
// nobody has asked for.
var ErrSwitched = errors.New("the server switches to another protocol")

// answered makes an error of an answer with status 101. Its body would be the raw
// connection, and the end of the request's context does not end a read of that.
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

// CloseIdleConnections lets http.Client.CloseIdleConnections reach the base.
func (n userAgentTransport) CloseIdleConnections() {
	if c, ok := n.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
