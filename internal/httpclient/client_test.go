package httpclient_test

import (
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/azptend/azptend/internal/httpclient"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// get makes a request and returns its status.
func get(t *testing.T, c *http.Client, to string) int {
	t.Helper()
	t.Cleanup(c.CloseIdleConnections)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, to, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if req.Header.Get("User-Agent") != "" {
		t.Error("the caller's request was changed")
	}
	return resp.StatusCode
}

// recorder is a server or a proxy that records requests.
func recorder(t *testing.T, answer http.HandlerFunc) (*httptest.Server, *[]*http.Request) {
	t.Helper()
	var asked []*http.Request
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r)
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s, &asked
}

func ok(http.ResponseWriter, *http.Request) {}

func TestUserAgent(t *testing.T) {
	s, asked := recorder(t, ok)
	get(t, httpclient.ForAzureDevOps("azptend/1.2.3", nil, nil), s.URL)
	if got := (*asked)[0].UserAgent(); got != "azptend/1.2.3" {
		t.Errorf("we are %q", got)
	}
}

func TestProxies(t *testing.T) {
	proxy, viaProxy := recorder(t, ok)
	address, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	s, direct := recorder(t, ok)
	get(t, httpclient.ForAzureDevOps("x", http.ProxyURL(address), nil), "http://devops.invalid/org")
	if len(*viaProxy) != 1 || (*viaProxy)[0].Host != "devops.invalid" {
		t.Errorf("the proxy saw %d requests", len(*viaProxy))
	}
	get(t, httpclient.ForAzureDevOps("x", nil, nil), s.URL)
	get(t, httpclient.ForIdentity(), s.URL)
	if len(*viaProxy) != 1 || len(*direct) != 2 {
		t.Errorf("the proxy saw %d requests, the server %d", len(*viaProxy), len(*direct))
	}
	// Go does not use HTTP_PROXY for loopback addresses, so a test server would not notice.
	if httpclient.ForPinnedIdentity().Transport.(*http.Transport).Proxy != nil {
		t.Error("an identity endpoint would be asked through a proxy")
	}
}

// TestRedirectsAreNotFollowed: Go would send custom headers to the target of a redirect, also
// the secret of an identity endpoint.
func TestRedirectsAreNotFollowed(t *testing.T) {
	elsewhere, followed := recorder(t, ok)
	s, _ := recorder(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) })
	for _, c := range []*http.Client{httpclient.ForIdentity(), httpclient.ForAzureDevOps("x", nil, nil)} {
		if status := get(t, c, s.URL); status != http.StatusFound {
			t.Errorf("status is %d", status)
		}
	}
	if len(*followed) != 0 {
		t.Error("a redirect was followed")
	}
}

// TestDownloadsAreRedirected: a download follows redirects, without credentials.
func TestDownloadsAreRedirected(t *testing.T) {
	elsewhere, followed := recorder(t, ok)
	s, _ := recorder(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, strings.Replace(elsewhere.URL, "127.0.0.1", "localhost", 1), http.StatusFound)
	})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer x")
	c := httpclient.ForDownloads(httpclient.ForAzureDevOps("x", nil, nil))
	t.Cleanup(c.CloseIdleConnections)
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if len(*followed) != 1 || (*followed)[0].Header.Get("Authorization") != "" {
		t.Errorf("the other host saw %d requests: %+v", len(*followed), *followed)
	}
}

func TestAPrivateAuthority(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(ok))
	t.Cleanup(s.Close)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // the handshake must fail
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if status := get(t, httpclient.ForAzureDevOps("x", nil, ca), s.URL); status != http.StatusOK {
		t.Errorf("status is %d", status)
	}
	for _, c := range []*http.Client{httpclient.ForAzureDevOps("x", nil, nil), httpclient.ForIdentity()} {
		resp, err := c.Get(s.URL)
		if err == nil {
			resp.Body.Close()
			t.Error("a stranger is trusted")
		}
		c.CloseIdleConnections()
	}
}

// TestNoOtherProtocol: the body of a 101 is the connection itself, and a read of that does not
// end with the context.
func TestNoOtherProtocol(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "another")
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { conn.Close() })
	}))
	defer s.Close()
	for name, c := range map[string]*http.Client{
		"identity": httpclient.ForIdentity(), "Azure DevOps": httpclient.ForAzureDevOps("x", nil, nil), "downloads": httpclient.ForDownloads(httpclient.ForAzureDevOps("x", nil, nil)),
	} {
		resp, err := c.Get(s.URL)
		if err == nil {
			resp.Body.Close()
		}
		if !errors.Is(err, httpclient.ErrSwitched) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
