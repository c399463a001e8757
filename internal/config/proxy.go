package config

import (
	"net/http"
	"net/url"

	"golang.org/x/net/http/httpproxy"
)

// Proxy says which proxy requests to Azure DevOps go through: the one that
// curl and Go programs use. Loopback addresses never do.
func (s Settings) Proxy() func(*http.Request) (*url.URL, error) {
	env := byName(s.Environ)
	first := func(names ...string) string {
		for _, n := range names {
			if env[n] != "" {
				return env[n]
			}
		}
		return ""
	}
	proxies := httpproxy.Config{
		HTTPProxy:  first("HTTP_PROXY", "http_proxy"),
		HTTPSProxy: first("HTTPS_PROXY", "https_proxy"),
		NoProxy:    first("NO_PROXY", "no_proxy"),
	}
	find := proxies.ProxyFunc()
	return func(r *http.Request) (*url.URL, error) { return find(r.URL) }
}
