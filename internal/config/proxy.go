package config

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"os"

	"golang.org/x/net/http/httpproxy"

	"github.com/azptend/azptend/internal/secret"
)

// Proxy says which proxy requests to Azure DevOps and Entra ID go through:
// AZP_PROXY, else the one that curl and Go programs use. Loopback addresses and
// what NO_PROXY names never do.
func (s Settings) Proxy() func(*http.Request) (*url.URL, error) {
	env := byName(s.Environ)
	own := s.ProxyURL.Reveal()
	proxies := httpproxy.Config{
		HTTPProxy:  cmp.Or(own, env["HTTP_PROXY"], env["http_proxy"]),
		HTTPSProxy: cmp.Or(own, env["HTTPS_PROXY"], env["https_proxy"]),
		NoProxy:    cmp.Or(env["NO_PROXY"], env["no_proxy"]),
	}
	find := proxies.ProxyFunc()
	return func(r *http.Request) (*url.URL, error) { return find(r.URL) }
}

// ForTheAgent are the proxy and the authorities in the form that the agent reads
// ("NAME=value"). It knows http_proxy alone, for every scheme, and not
// HTTPS_PROXY (agent-protocol.md 10.7): what azptend found is handed on by the
// agent's own name, so that both take the same way. What the agent was told by
// that name already is left alone.
func (s Settings) ForTheAgent() []string {
	env := byName(s.Environ)
	var more []string
	set := func(name, value string) {
		if value != "" && env[name] == "" {
			more = append(more, name+"="+value)
		}
	}
	if via := s.agentsProxy(); via != nil && env["VSTS_HTTP_PROXY"] == "" {
		bare := *via
		bare.User = nil
		set("VSTS_HTTP_PROXY", bare.String())
		password, _ := via.User.Password()
		set("VSTS_HTTP_PROXY_USERNAME", via.User.Username())
		set("VSTS_HTTP_PROXY_PASSWORD", password) // the agent masks it in logs and capabilities
	}
	// .NET and OpenSSL trust it beside the system's folder of certificates
	// (agent-protocol.md 10.8); node beside its own. Git has no variable that adds.
	set("SSL_CERT_FILE", s.CAFile)
	set("NODE_EXTRA_CA_CERTS", s.CAFile)
	return more
}

// agentsProxy is the proxy on the way to the organisation; the agent spares
// loopback addresses itself.
func (s Settings) agentsProxy() *url.URL {
	if own := s.ProxyURL.Reveal(); own != "" {
		via, _ := url.Parse(own) // setProxy has read it
		return via
	}
	r, err := http.NewRequest(http.MethodGet, s.URL, nil)
	if err != nil {
		return nil
	}
	via, _ := s.Proxy()(r)
	return via
}

// ProxyPassword is what no log line may hold.
func (s Settings) ProxyPassword() secret.Text {
	via := s.agentsProxy()
	if via == nil {
		return secret.Text{}
	}
	password, _ := via.User.Password()
	return secret.New(password)
}

func setProxy(s *Settings, v string) error {
	u, err := url.Parse(v)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("is %q, which is not an http or https address", shown(v))
	}
	s.ProxyURL = secret.New(v)
	return nil
}

// readCA reads AZP_CA_FILE, so that a mistake in it is found before it is
// needed.
func (s *Settings) readCA(bad func(hint, format string, args ...any)) {
	if s.CAFile == "" {
		s.readTheirCA(bad)
		return
	}
	var err error
	if s.CA, err = os.ReadFile(s.CAFile); err != nil {
		bad("is the file mounted, and readable for this user?", "AZP_CA_FILE (--ca-file) is %q, which cannot be read: %v", s.CAFile, plain(err))
		return
	}
	if !x509.NewCertPool().AppendCertsFromPEM(s.CA) {
		bad("it holds lines that begin with -----BEGIN CERTIFICATE-----", "AZP_CA_FILE (--ca-file) is %q, which holds no certificate", s.CAFile)
	}
}
