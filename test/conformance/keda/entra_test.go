package keda

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
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
	"sync/atomic"
	"time"
)

// entra plays login.microsoftonline.com: https, as Microsoft's libraries insist, in front of the emulator of the test that
// runs. Only its address differs, and what the libraries ask the true one for (which clouds there are) comes here too,
// through a proxy that leads everything here.
var entra struct {
	url      string // https://127.0.0.1:port/
	emulator atomic.Pointer[url.URL]
}

// playEntra starts it, and makes the process trust it and go through its proxy; both are read once in a process's life.
func playEntra() (stop func(), err error) {
	dir, err := os.MkdirTemp("", "entra-")
	if err != nil {
		return nil, err
	}
	certificate, authority, err := selfSigned("login.microsoftonline.com")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "authority.pem")
	if err := os.WriteFile(file, authority, 0o600); err != nil {
		return nil, err
	}
	front := httptest.NewUnstartedServer(&httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(entra.emulator.Load()); r.Out.Host = r.In.Host },
		ModifyResponse: sayHTTPS,
	})
	front.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	front.StartTLS()
	entra.url = front.URL + "/"
	proxy := httptest.NewServer(leadTo(front.Listener.Addr().String()))
	os.Setenv("SSL_CERT_FILE", file)
	os.Setenv("HTTPS_PROXY", proxy.URL)
	return func() { proxy.Close(); front.Close(); os.RemoveAll(dir) }, nil
}

// sayHTTPS lets the addresses in an answer be those of the front: the emulator takes itself for http.
func sayHTTPS(r *http.Response) error {
	b, err := io.ReadAll(r.Body)
	r.Body.Close()
	host := r.Request.Host
	b = bytes.ReplaceAll(b, []byte("http://"+host), []byte("https://"+host))
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
	r.Header.Set("Content-Length", strconv.Itoa(len(b)))
	return err
}

// leadTo is a proxy whose every tunnel ends at one address.
func leadTo(address string) http.HandlerFunc {
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
		DNSNames: []string{host}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), err
}
