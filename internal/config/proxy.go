package config

import (
	"cmp"
	"crypto/x509"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpproxy"

	"github.com/azptend/azptend/internal/secret"
)

// Proxy says which proxy requests to Azure DevOps and Entra ID go through:
// AZP_PROXY, else the one that curl and Go programs use. Loopback addresses and
// what NO_PROXY names never do.
func (s Settings) Proxy() func(*http.Request) (*url.URL, error) {
	env := environMap(s.Environ)
	own := s.ProxyURL.Reveal()
	proxies := httpproxy.Config{
		HTTPProxy:  cmp.Or(own, readableProxy(env["HTTP_PROXY"]), readableProxy(env["http_proxy"])),
		HTTPSProxy: cmp.Or(own, readableProxy(env["HTTPS_PROXY"]), readableProxy(env["https_proxy"])),
		NoProxy:    cmp.Or(env["NO_PROXY"], env["no_proxy"]),
	}
	find := proxies.ProxyFunc()
	return func(r *http.Request) (*url.URL, error) { return find(r.URL) }
}

// AgentEnviron are the proxy and the authorities in the form that the agent reads
// ("NAME=value"). It knows http_proxy alone, for every scheme, and not
// HTTPS_PROXY (agent-protocol.md 10.7): what azptend found is handed on by the
// agent's own name, so that both take the same way. What the agent was told by
// that name already is left alone.
func (s Settings) AgentEnviron() []string {
	env := environMap(s.Environ)
	var more []string
	set := func(name, value string) {
		if value != "" && env[name] == "" {
			more = append(more, name+"="+value)
		}
	}
	if via := s.agentProxy(); via != nil && env["VSTS_HTTP_PROXY"] == "" {
		bare := *via
		bare.User = nil
		set("VSTS_HTTP_PROXY", bare.String())
		password, _ := via.User.Password()
		set("VSTS_HTTP_PROXY_USERNAME", via.User.Username())
		set("VSTS_HTTP_PROXY_PASSWORD", password) // the agent masks it in logs and capabilities
	}
	// .NET and OpenSSL trust it beside the system's folder of certificates
	// (agent-protocol.md 10.8); node beside its own. Git has no variable that adds.
	// What the image names by them is in our file too (cli/authorities.go).
	if s.CAFile != "" {
		more = append(more, "SSL_CERT_FILE="+s.CAFile, "NODE_EXTRA_CA_CERTS="+s.CAFile)
	}
	return more
}

// agentProxy is the proxy on the way to the organisation; the agent spares
// loopback addresses itself.
func (s Settings) agentProxy() *url.URL {
	if own := s.ProxyURL.Reveal(); own != "" {
		via, err := parseURL(own)
		if err != nil {
			return nil
		}
		return via
	}
	r, err := http.NewRequest(http.MethodGet, s.URL, nil)
	if err != nil {
		return nil
	}
	via, _ := s.Proxy()(r)
	return via
}

// ProxyPasswords are what no log line may hold: the password of the proxy, as it
// is and as it is escaped.
func (s Settings) ProxyPasswords() []secret.Text {
	via := s.agentProxy()
	if via == nil {
		return nil
	}
	password, _ := via.User.Password()
	_, escaped, _ := strings.Cut(via.User.String(), ":")
	return []secret.Text{secret.New(password), secret.New(escaped)}
}

// proxyVariables are the variables by which curl and Go programs find a proxy.
func proxyVariables() []string {
	return []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"}
}

// parseProxy reads one of them, which may lack the scheme.
func parseProxy(v string) (*url.URL, error) {
	if !schemePattern.MatchString(v) {
		v = "http://" + v
	}
	return parseURL(v, "socks5", "socks5h")
}

// readableProxy is v, or "" where it holds a user or password by which it would
// be taken for another address than the one that is meant.
func readableProxy(v string) string {
	if _, err := parseProxy(v); err != nil && hasUserInfo(v) {
		return ""
	}
	return v
}

// validateProxies checks the addresses of proxies, and drops a wrong one: commands
// like doctor go on with the settings all the same.
func (s *Settings) validateProxies(env map[string]string, bad func(hint, format string, args ...any)) {
	if own := s.ProxyURL.Reveal(); own != "" {
		if _, err := parseURL(own); err != nil {
			s.ProxyURL = secret.Text{}
			badProxy("AZP_PROXY (--proxy)", own, err, bad)
		}
	}
	for _, name := range proxyVariables() {
		if v := env[name]; readableProxy(v) != v {
			_, err := parseProxy(v)
			badProxy(name, v, err, bad)
		}
	}
}

func badProxy(name, v string, err error, bad func(hint, format string, args ...any)) {
	if errors.Is(err, errUserInfo) {
		bad(escapeHint, "%s %v", name, err)
		return
	}
	bad("it looks like http://proxy:3128; with a user and a password use the variable, for a command line is public", "%s is %q, which %v", name, redactURL(v), err)
}

// loadCA reads AZP_CA_FILE, so that a mistake in it is found before it is
// needed.
func (s *Settings) loadCA(bad func(hint, format string, args ...any)) {
	if s.CAFile == "" {
		s.loadCompatCA(bad)
		return
	}
	var err error
	if s.CA, err = readFile(s.CAFile, maxCAFile); err != nil {
		bad("is the file mounted, and readable for this user?", "AZP_CA_FILE (--ca-file) is %q, which cannot be read: %v", s.CAFile, withoutPath(err))
		return
	}
	if !x509.NewCertPool().AppendCertsFromPEM(s.CA) {
		bad("it holds lines that begin with -----BEGIN CERTIFICATE-----", "AZP_CA_FILE (--ca-file) is %q, which holds no certificate", s.CAFile)
	}
}
