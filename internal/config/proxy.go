package config

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/azptend/azptend/internal/safefile"
	"github.com/azptend/azptend/internal/secret"
)

// Proxy returns the proxy for requests to Azure DevOps and Entra ID: AZP_PROXY, or else the one
// that curl and Go programs use, or else the agent's. Loopback addresses and the hosts in
// NO_PROXY need no proxy.
func (s Settings) Proxy() func(*http.Request) (*url.URL, error) {
	env := environMap(s.Environ)
	own, agents := s.ProxyURL.Reveal(), proxyOfAgentVariables(env)
	find := (&httpproxy.Config{
		HTTPProxy:  cmp.Or(own, usableProxy(env["HTTP_PROXY"]), usableProxy(env["http_proxy"]), agents),
		HTTPSProxy: cmp.Or(own, usableProxy(env["HTTPS_PROXY"]), usableProxy(env["https_proxy"]), agents),
		NoProxy:    cmp.Or(env["NO_PROXY"], env["no_proxy"]),
	}).ProxyFunc()
	return func(r *http.Request) (*url.URL, error) { return find(r.URL) }
}

// proxyOfAgentVariables is the proxy in the agent's own variables, which apply to http and
// https (agent-protocol.md 3.4); "" if there is none.
func proxyOfAgentVariables(env map[string]string) string {
	v := usableProxy(env["VSTS_HTTP_PROXY"])
	user := env["VSTS_HTTP_PROXY_USERNAME"]
	if u, err := parseProxy(v); err == nil && user != "" && u.User == nil {
		u.User = url.UserPassword(user, env["VSTS_HTTP_PROXY_PASSWORD"])
		return u.String()
	}
	return v
}

// proxyFile is the file with the agent's proxy, which config.sh writes (agent-protocol.md 3.4).
const proxyFile = ".proxy"

// proxyFileTimeout bounds the read of that file, because a file system may hang.
const proxyFileTimeout = time.Second

// warnOfProxyFile warns about a proxy that the agent uses and azptend does not. Jobs can write
// the file. A job could send the traffic of every later azptend in this directory, including
// tokens, through its own machine. So azptend never uses the file, and does not log its
// content.
func (s *Settings) warnOfProxyFile() {
	own := ""
	if via := s.agentProxy(); via != nil {
		own = (&url.URL{Scheme: via.Scheme, Host: via.Host}).String()
	}
	ctx, done := context.WithTimeout(context.Background(), proxyFileTimeout)
	defer done()
	b, err := safefile.Dir(s.Root()).ReadFileInTime(ctx, proxyFile, maxProxyFile)
	address, _, _ := strings.Cut(string(b), "\n")
	if address = strings.TrimSpace(address); err != nil || address == "" || strings.TrimRight(address, "/") == own {
		return
	}
	s.warn("%s names a proxy, which the agent uses and azptend does not, because jobs can write the file; set AZP_PROXY (--proxy) to it, or delete the file",
		filepath.Join(s.Root(), proxyFile))
}

// maxProxyFile is the maximum size of that file, which has one address and one option.
const maxProxyFile = 4 << 10

// AgentEnviron are the variables ("NAME=value") with which the agent uses azptend's proxy and
// certificates. The agent uses http_proxy for http and https, and ignores HTTPS_PROXY
// (agent-protocol.md 10.7). So azptend sets the agent's own variables, unless they are set
// already.
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
	// .NET and OpenSSL trust this file in addition to the system's directory of certificates
	// (agent-protocol.md 10.8), and Node in addition to its own. Git has no variable that adds
	// a certificate.
	if s.CAFile != "" {
		more = append(more, "SSL_CERT_FILE="+s.CAFile, "NODE_EXTRA_CA_CERTS="+s.CAFile)
	}
	return more
}

// agentProxy is the agent's proxy to the organisation; nil if there is none. The agent does not
// use it for loopback addresses.
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

// ProxyPasswords are the proxy's password, plain and escaped. No log line may contain either.
func (s Settings) ProxyPasswords() []secret.Text {
	all := []secret.Text{secret.New(s.Getenv("VSTS_HTTP_PROXY_PASSWORD"))}
	if via := s.agentProxy(); via != nil {
		password, _ := via.User.Password()
		_, escaped, _ := strings.Cut(via.User.String(), ":")
		all = append(all, secret.New(password), secret.New(escaped))
	}
	return slices.DeleteFunc(all, secret.Text.IsZero)
}

// proxyVariables are the variables that curl, Go programs and the agent use.
var proxyVariables = []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "VSTS_HTTP_PROXY"}

// parseProxy parses a proxy variable, which may have no scheme.
func parseProxy(v string) (*url.URL, error) {
	if !schemePattern.MatchString(v) {
		v = "http://" + v
	}
	return parseURL(v, "socks5", "socks5h")
}

// usableProxy is v, or "" if its user or password is not escaped, so that its host would be
// wrong.
func usableProxy(v string) string {
	if _, err := parseProxy(v); err != nil && hasUserInfo(v) {
		return ""
	}
	return v
}

// validateProxies checks the proxies. It drops a wrong AZP_PROXY, because the caller of
// LoadPartial uses the settings even if some are wrong.
func (s *Settings) validateProxies(env map[string]string, bad *problems) {
	if own := s.ProxyURL.Reveal(); own != "" {
		if _, err := parseURL(own); err != nil {
			s.ProxyURL = secret.Text{}
			addProxyProblem("AZP_PROXY (--proxy)", own, err, bad)
		}
	}
	for _, name := range proxyVariables {
		if v := env[name]; usableProxy(v) != v {
			_, err := parseProxy(v)
			addProxyProblem(name, v, err, bad)
		}
	}
}

func addProxyProblem(name, v string, err error, bad *problems) {
	if errors.Is(err, errUserInfo) {
		bad.add(escapeHint, "%s %v", name, err)
		return
	}
	bad.add("use http://proxy:3128; set a user and password with the variable, because other users can read a command line", "%s is %q, which %v", name, redactURL(v), err)
}

const certificateHint = "use a PEM file, with lines that begin with -----BEGIN CERTIFICATE-----"

// loadCA reads AZP_CA_FILE at startup, so that a mistake is reported at once.
func (s *Settings) loadCA(bad *problems) {
	if s.CAFile == "" {
		s.loadCompatCA(bad)
		return
	}
	var err error
	if s.CA, err = safefile.ReadFileInTime(context.Background(), s.CAFile, maxCAFile); err != nil {
		bad.add(mountHint, "AZP_CA_FILE (--ca-file) is %q, which cannot be read: %v", s.CAFile, withoutPath(err))
		return
	}
	if !x509.NewCertPool().AppendCertsFromPEM(s.CA) {
		bad.add(certificateHint, "AZP_CA_FILE (--ca-file) is %q, which holds no certificate", s.CAFile)
	}
}
