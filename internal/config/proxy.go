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

// Proxy selects the proxy for requests to Azure DevOps and Entra ID: AZP_PROXY, else
// the one that curl and Go programs use, else the agent's own. Loopback addresses and the
// hosts in NO_PROXY are reached without one.
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

// proxyOfAgentVariables is the proxy in the agent's own variables, which are for every
// scheme (agent-protocol.md 3.4); "" for none.
func proxyOfAgentVariables(env map[string]string) string {
	v := usableProxy(env["VSTS_HTTP_PROXY"])
	user := env["VSTS_HTTP_PROXY_USERNAME"]
	if u, err := parseProxy(v); err == nil && user != "" && u.User == nil {
		u.User = url.UserPassword(user, env["VSTS_HTTP_PROXY_PASSWORD"])
		return u.String()
	}
	return v
}

// proxyFile is the file in which config.sh keeps the agent's proxy (agent-protocol.md 3.4).
const proxyFile = ".proxy"

// proxyFileTimeout is how long to wait for a file system that is stuck.
const proxyFileTimeout = time.Second

// warnOfProxyFile warns of a proxy that the agent uses and azptend does not. The agent's
// jobs can write the file. A job could send the traffic of every later azptend in this
// directory, tokens included, through a machine of its own, or to nowhere. So azptend
// never uses the file, and repeats nothing of what is in it.
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

// maxProxyFile bounds a file with one address and one option.
const maxProxyFile = 4 << 10

// AgentEnviron passes the proxy and the certificates to the agent ("NAME=value"). The
// agent knows http_proxy, for every scheme, and not HTTPS_PROXY (agent-protocol.md
// 10.7). azptend passes its own proxy under the agent's name, so that both use the
// same. A proxy that is already set under that name is left alone.
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
	// .NET and OpenSSL trust this file in addition to the system's directory of
	// certificates (agent-protocol.md 10.8), and node in addition to its own. Git has no
	// variable that adds one.
	if s.CAFile != "" {
		more = append(more, "SSL_CERT_FILE="+s.CAFile, "NODE_EXTRA_CA_CERTS="+s.CAFile)
	}
	return more
}

// agentProxy is the proxy to the organisation, nil for none. The agent itself reaches
// loopback addresses without it.
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

// ProxyPasswords is the password of the proxy, as it is and escaped. No log line may
// hold either.
func (s Settings) ProxyPasswords() []secret.Text {
	all := []secret.Text{secret.New(s.Getenv("VSTS_HTTP_PROXY_PASSWORD"))}
	if via := s.agentProxy(); via != nil {
		password, _ := via.User.Password()
		_, escaped, _ := strings.Cut(via.User.String(), ":")
		all = append(all, secret.New(password), secret.New(escaped))
	}
	return slices.DeleteFunc(all, secret.Text.IsZero)
}

// proxyVariables tell curl, Go programs and the agent which proxy to use.
var proxyVariables = []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "VSTS_HTTP_PROXY"}

// parseProxy reads a proxy variable, which may lack the scheme.
func parseProxy(v string) (*url.URL, error) {
	if !schemePattern.MatchString(v) {
		v = "http://" + v
	}
	return parseURL(v, "socks5", "socks5h")
}

// usableProxy is v, or "" if its user or password makes it another address than the
// one that is meant.
func usableProxy(v string) string {
	if _, err := parseProxy(v); err != nil && hasUserInfo(v) {
		return ""
	}
	return v
}

// validateProxies checks the proxies, and drops a wrong one: LoadPartial's caller goes
// on with the settings.
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

// loadCA reads AZP_CA_FILE at startup, so that a mistake shows at once.
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
