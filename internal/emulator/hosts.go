package emulator

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// requireKnownHost protects an emulator on a network from web pages: a queued job runs a script as the user.
// http.CrossOriginProtection refuses pages of other origins. The name in the Host header unmasks a page whose own name
// was made to point to this address (DNS rebinding).
func requireKnownHost(next http.Handler, on net.Addr, hosts []string) http.Handler {
	return http.NewCrossOriginProtection().Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isKnownHost(r.Host, IsLoopback(on), hosts) {
			http.Error(w, "the emulator does not serve host "+printableHost(r.Host)+": add it with the option Hosts (azptend-lab emulate --host)", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	}))
}

// isKnownHost says whether a request may name this host. An address is no name
// that somebody could have made point here. Off loopback, neither is a name
// without a dot, as containers have: there is no such name in public DNS.
func isKnownHost(host string, loopback bool, hosts []string) bool {
	name := strings.ToLower(strings.TrimSuffix(hostname(host), "."))
	if _, err := netip.ParseAddr(name); err == nil || name == "" || name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	return !loopback && !strings.Contains(name, ".") || slices.ContainsFunc(hosts, func(h string) bool { return strings.EqualFold(h, name) })
}

// hostname is a Host header without its port.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.Trim(host, "[]")
}

// printableHost is a host for a message: it comes from anybody.
func printableHost(host string) string {
	return strings.Map(func(r rune) rune {
		if r > ' ' && r <= '~' && !strings.ContainsRune(`<>&"'`, r) {
			return r
		}
		return '?'
	}, host)
}

// IsLoopback says whether an address can be reached from this machine alone.
func IsLoopback(a net.Addr) bool {
	at, err := netip.ParseAddrPort(a.String())
	return err == nil && at.Addr().Unmap().IsLoopback()
}
