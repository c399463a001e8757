package emulated

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Entra simulates login.microsoftonline.com in front of an emulator, with https, which Microsoft's
// libraries require. Its address differs from the real one. Requests of the libraries to the real
// address (for the list of clouds) come here too, through a proxy that forwards everything here.
type Entra struct {
	URL   string // https://Address:port/
	CA    string // file with the certificate authority to trust
	Proxy string // for HTTPS_PROXY: loopback addresses do not go through it

	// Translate replaces a workload's token with one that the emulator's own cluster would have
	// projected, for tests with a cluster of their own. Nil keeps the token. If Translate fails, the
	// exchange fails with its error as the answer.
	Translate func(assertion string) (string, error)

	emulator atomic.Pointer[url.URL]
	stop     func()
}

// PlayEntra starts an Entra. For sets its emulator, and Close stops it.
func PlayEntra() (*Entra, error) {
	dir, err := os.MkdirTemp("", "entra-")
	if err != nil {
		return nil, err
	}
	certificate, authority, err := selfSigned("login.microsoftonline.com")
	if err != nil {
		return nil, err
	}
	x := &Entra{CA: filepath.Join(dir, "authority.pem")}
	if err := os.WriteFile(x.CA, authority, 0o644); err != nil {
		return nil, err
	}
	behind := &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(x.emulator.Load()); r.Out.Host = r.In.Host },
		ModifyResponse: useHTTPS,
	}
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := x.translate(r); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		behind.ServeHTTP(w, r)
	}))
	front.Listener.Close() // of loopback
	if front.Listener, err = net.Listen("tcp", Address+":0"); err != nil {
		return nil, err
	}
	front.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	front.StartTLS()
	proxy := httptest.NewServer(proxyTo(front.Listener.Addr().String()))
	x.URL, x.Proxy = front.URL+"/", proxy.URL
	x.stop = func() { proxy.Close(); front.Close(); os.RemoveAll(dir) }
	return x, nil
}

// For sets the emulator for the following requests.
func (x *Entra) For(e *Emulator) error {
	address, err := url.Parse(e.URL)
	x.emulator.Store(address)
	return err
}

// Close stops it.
func (x *Entra) Close() { x.stop() }

// translate replaces the token in an exchange request. It does not change other requests.
func (x *Entra) translate(r *http.Request) error {
	if x.Translate == nil || r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/token") {
		return nil
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if form, err := url.ParseQuery(string(b)); err == nil && form.Get("client_assertion") != "" {
		translated, err := x.Translate(form.Get("client_assertion"))
		if err != nil {
			return fmt.Errorf("cannot translate the assertion: %w", err)
		}
		form.Set("client_assertion", translated)
		b = []byte(form.Encode())
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
	return nil
}

// useHTTPS replaces the http addresses of the emulator in an answer with those of this server.
func useHTTPS(r *http.Response) error {
	b, err := io.ReadAll(r.Body)
	r.Body.Close()
	host := r.Request.Host
	b = bytes.ReplaceAll(b, []byte("http://"+host), []byte("https://"+host))
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
	r.Header.Set("Content-Length", strconv.Itoa(len(b)))
	return err
}

// proxyTo returns a proxy whose tunnels all end at one address.
func proxyTo(address string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		there, err := net.Dial("tcp", address)
		if r.Method != http.MethodConnect || err != nil {
			http.Error(w, "only tunnels", http.StatusBadGateway)
			return
		}
		here, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			there.Close()
			return
		}
		_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(there, here); there.Close() }()
		_, _ = io.Copy(here, there)
		here.Close()
	}
}

func selfSigned(host string) (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "entra, played"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{host}, IPAddresses: []net.IP{net.ParseIP(Address)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), err
}
