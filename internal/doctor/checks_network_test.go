package doctor_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/doctor"
	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/internal/httpclient"
	"github.com/azptend/azptend/internal/secret"
)

// through has requests go through a proxy.
func (s *stage) through(proxy string) {
	s.ProxyURL = secret.New(proxy)
	s.web(nil)
}

// web trusts these authorities alone, beside the system's.
func (s *stage) web(authorities []byte) {
	s.HTTP = httpclient.ForAzureDevOps("test", s.Proxy(), authorities)
	s.Cleanup(s.HTTP.CloseIdleConnections)
}

// serve serves the emulator with a certificate of its own making, and returns
// its authority.
func (s *stage) serve(template x509.Certificate) []byte {
	s.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.Fatal(err)
	}
	template.SerialNumber, template.Subject = big.NewInt(1), pkix.Name{CommonName: "dev.azure.com"}
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature
	made, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		s.Fatal(err)
	}
	server := httptest.NewUnstartedServer(s.Emulator)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{made}, PrivateKey: key}}}
	server.StartTLS()
	s.Cleanup(server.Close)
	s.URL = server.URL + "/emulated"
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made})
}

func lasting(from, to time.Duration, ips ...net.IP) x509.Certificate {
	return x509.Certificate{NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(to), IPAddresses: ips}
}

// proxy is one that does nothing but answer.
func (s *stage) proxy(answer func(http.ResponseWriter, *http.Request)) string {
	server := httptest.NewServer(http.HandlerFunc(answer))
	s.Cleanup(server.Close)
	return server.URL
}

// off is the stage's server by another clock: it writes the date itself.
func off(s *stage, by time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		s.ServeHTTP(answer, r)
		maps.Copy(w.Header(), answer.Header())
		w.Header().Set("Date", time.Now().Add(by).UTC().Format(http.TimeFormat))
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	}
}

func TestTheNetwork(t *testing.T) {
	here := net.IPv4(127, 0, 0, 1)
	for _, tt := range []struct {
		what  string
		wrong func(*stage)
		cause *doctor.Cause // nil: well
		says  []string
	}{
		{"plain http", func(*stage) {}, nil, []string{"answers in", "without TLS"}},
		{"an authority of one's own", func(s *stage) { s.web(s.serve(lasting(-time.Hour, time.Hour, here))) }, nil,
			[]string{"TLS 1.3", "certificate issued by dev.azure.com"}},
		{"an authority that nobody knows", func(s *stage) { s.serve(lasting(-time.Hour, time.Hour, here)); s.web(nil) }, doctor.UnknownIssuer,
			[]string{"the certificate is for dev.azure.com, issued by dev.azure.com"}},
		{"a certificate of another host", func(s *stage) { s.web(s.serve(lasting(-time.Hour, time.Hour, net.IPv4(10, 0, 0, 1)))) }, doctor.WrongHostName, nil},
		{"a certificate of last year", func(s *stage) { s.web(s.serve(lasting(-2*time.Hour, -time.Hour, here))) }, doctor.BadTimeOfCert, nil},
		{"http where https is expected", func(s *stage) { s.URL = strings.Replace(s.URL, "http:", "https:", 1) }, doctor.NoTLS, nil},
		{"a name that is none", func(s *stage) { s.URL = "https://no.such.host.invalid/org" }, doctor.NoName, []string{"no.such.host.invalid"}},
		{"a port that nobody listens at", func(s *stage) { s.URL = "https://127.0.0.1:1/org" }, doctor.NoConnection, []string{"refused"}},
		{"a proxy that is not there", func(s *stage) { s.through("http://u:p4ssw0rd@127.0.0.1:1"); s.URL = "https://dev.azure.com/org" }, doctor.ProxyDown,
			[]string{"through the proxy http://127.0.0.1:1"}},
		{"a proxy that wants a password", func(s *stage) {
			s.through(s.proxy(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusProxyAuthRequired) }))
			s.URL = "https://dev.azure.com/org"
		}, doctor.ProxyRefuses, []string{"Proxy Authentication Required"}},
		{"a proxy", func(s *stage) { s.through(s.proxy(s.ServeHTTP)); s.URL = "http://devops.test/emulated" }, nil, []string{"through the proxy http://127.0.0.1"}},
		{"a clock that is wrong", func(s *stage) {
			s.URL = s.proxy(off(s, -20*time.Minute)) + "/emulated"
		}, doctor.ClockWrong, []string{"ahead of the server's"}},
		{"a clock that is late", func(s *stage) {
			s.URL = s.proxy(off(s, time.Hour)) + "/emulated"
		}, doctor.ClockWrong, []string{"behind the server's"}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			s := newStage(t)
			tt.wrong(s)
			s.ready()
			report, check := doctor.Run(t.Context(), s.Environment, nil), doctor.Network
			if tt.cause == doctor.ClockWrong {
				check = doctor.Clock
			}
			f := report.Of(check)
			var said string
			if tt.cause == nil {
				if said = f.Found; f.Verdict != doctor.OK {
					t.Fatalf("%+v", f)
				}
			} else {
				if len(f.Problems) != 1 || f.Problems[0].Cause != tt.cause || f.Problems[0].Fix == "" {
					t.Fatalf("%+v", f)
				}
				said = f.Problems[0].What
			}
			for _, want := range tt.says {
				if !strings.Contains(said, want) {
					t.Errorf("it says %q, which lacks %q", said, want)
				}
			}
			if strings.Contains(said, "p4ssw0rd") {
				t.Errorf("it says the proxy's password: %s", said)
			}
		})
	}
}

// TestNobodyAnswers: a firewall that drops everything is told by the time that
// it takes.
func TestNobodyAnswers(t *testing.T) {
	s := newStage(t)
	s.ready()
	late, release := context.WithDeadline(t.Context(), time.Now())
	defer release()
	_, err := azdo.Probe(late, s.HTTP, s.URL)
	if c := doctor.Explain(err); c != doctor.NoAnswer {
		t.Errorf("%v is explained by %v", err, c)
	}
}

// TestOtherHosts: each is tried, and one that is closed is a warning.
func TestOtherHosts(t *testing.T) {
	s := newStage(t)
	s.Endpoints = []doctor.Endpoint{{URL: s.server.URL, For: "one thing"}, {URL: s.entra.URL, For: "another"}}
	s.ready()
	f := doctor.Run(t.Context(), s.Environment, nil).Of(doctor.Endpoints)
	if f.Verdict != doctor.OK || !strings.Contains(f.Found, "(one thing)") || !strings.Contains(f.Found, "certificate issued by") || !strings.Contains(f.Found, "(another)") {
		t.Errorf("%+v", f)
	}
	s.Endpoints = append(s.Endpoints, doctor.Endpoint{URL: "https://127.0.0.1:1", For: "the agent's log-on"})
	r := doctor.Run(t.Context(), s.Environment, nil)
	f = r.Of(doctor.Endpoints)
	if r.Code() != 0 || len(f.Problems) != 1 || f.Problems[0].Cause != doctor.HostsClosed || f.Problems[0].Fix == "" ||
		!strings.Contains(f.Problems[0].What, "cannot reach 127.0.0.1:1") || !strings.Contains(f.Problems[0].What, "needed for the agent's log-on") {
		t.Errorf("%d, %+v", r.Code(), f)
	}
}

// TestIdentityEndpoints: what keeps a token from coming.
func TestIdentityEndpoints(t *testing.T) {
	for _, tt := range []struct {
		what  string
		wrong func(*stage)
		cause *doctor.Cause
	}{
		{"nobody is there", func(s *stage) { s.T.Setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:1/msi/token") }, doctor.NoEndpoint},
		{"another container's header", func(s *stage) { s.T.Setenv("IDENTITY_HEADER", "another") }, doctor.WrongHeader},
		{"it is not assigned", func(s *stage) { s.change(func(i *emulator.Identity) { i.Attached = false }) }, doctor.NotAssigned},
		{"null, as the post met it", func(s *stage) { s.fault(emulator.Fault{Path: "/msi/token", Status: 200, Body: "null"}) }, doctor.NoTokenGiven},
		{"a page", func(s *stage) {
			s.fault(emulator.Fault{Path: "/msi/token", Status: 200, ContentType: "text/html", Body: "<html>"})
		}, doctor.NoTokenGiven},
	} {
		t.Run(tt.what, func(t *testing.T) {
			s := newStage(t)
			tt.wrong(s)
			s.ready()
			r := doctor.Run(t.Context(), s.Environment, nil)
			f := r.Of(doctor.Token)
			if len(f.Problems) != 1 || f.Problems[0].Cause != tt.cause || f.Problems[0].Fix == "" || r.Code() != 69 {
				t.Errorf("%d, %+v", r.Code(), f)
			}
			if r.Of(doctor.Organisation).Verdict != doctor.OK {
				t.Errorf("the network is looked at without a token: %+v", r.Of(doctor.Network))
			}
		})
	}
}

// TestNoSecret: nothing that is found holds the token, the header or a password.
func TestNoSecret(t *testing.T) {
	s := newStage(t)
	token := s.entraToken("")
	s.tokenFile(token)
	s.ready()
	var all strings.Builder
	for _, f := range doctor.Run(t.Context(), s.Environment, nil).Findings {
		io.WriteString(&all, f.Found)
		for _, p := range f.Problems {
			io.WriteString(&all, p.What+p.Fix)
		}
	}
	for part := range strings.SplitSeq(token, ".") {
		if strings.Contains(all.String(), part) {
			t.Errorf("a part of the token is in %s", all.String())
		}
	}
}
