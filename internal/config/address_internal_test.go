package config

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// marked is a part of a user or a password that the test searches for.
const marked = "zqhunterzq"

// addresses are the settings that are addresses.
func addresses() []string {
	return append(slices.Concat(endpointVariables, proxyVariables), "AZP_PROXY", "AZP_URL", "AZP_HEALTH_ADDR", "AZP_KEEP_LISTEN", "AZP_KEEP_HEALTH_LISTEN")
}

// told is everything that azptend would print about these settings, and all hosts to which it
// would connect.
func told(environ []string) string {
	s, problems := LoadPartial(nil, environ, "host")
	said := fmt.Sprintln(problems, s.Warnings, &InvalidError{Problems: problems}, s.URL)
	if u, err := url.Parse(s.URL); err == nil {
		said += u.Host
	}
	for _, to := range []string{"https://dev.azure.com/org", "http://tfs.corp/tfs"} {
		u, _ := url.Parse(to)
		via, err := s.Proxy()(&http.Request{URL: u})
		if said += fmt.Sprintln(err); via != nil {
			said += fmt.Sprintln(via.Host, via.Path, via.RawQuery, via.Fragment)
		}
	}
	for _, pair := range s.AgentEnviron() {
		if strings.HasPrefix(pair, "VSTS_HTTP_PROXY=") {
			said += pair
		}
	}
	return said
}

func TestAPasswordThatIsNotEscaped(t *testing.T) {
	for _, user := range []string{"svc:pa@" + marked + "#x", "svc:" + marked + "/x", "svc/" + marked + ":x", `svc:x\` + marked, `corp\` + marked + ":x", marked + " x", "svc:%zz" + marked} {
		for _, v := range []string{"http://" + user + "@proxy:3128", "https://" + user + "@proxy", user + "@proxy:3128", "HTTP://" + user + "@proxy"} {
			for _, name := range append(slices.Clone(proxyVariables), "AZP_PROXY") {
				_, problems := LoadPartial(nil, []string{"AZP_URL=https://dev.azure.com/org", "AZP_TOKEN=x", name + "=" + v}, "host")
				if len(problems) != 1 || !strings.HasPrefix(problems[0].What, name) {
					t.Errorf("%s=%s: problems %v", name, v, problems)
					continue
				}
				escaped := strings.Contains(problems[0].Hint, `write # as %23, @ as %40, / as %2F, \ as %5C`)
				if hasScheme := schemePattern.MatchString(v); !escaped && (hasScheme || name != "AZP_PROXY") {
					t.Errorf("%s=%s: hint %q", name, v, problems[0].Hint)
				}
				if said := told([]string{"AZP_URL=https://dev.azure.com/org", "AZP_TOKEN=x", name + "=" + v}); strings.Contains(strings.ToLower(said), marked) {
					t.Errorf("%s=%s is told: %s", name, v, said)
				}
			}
		}
	}
}

func TestAnEndpointHasNoUser(t *testing.T) {
	for _, name := range endpointVariables {
		s, problems := LoadPartial(nil, []string{"AZP_URL=https://dev.azure.com/org", "IDENTITY_HEADER=x", name + "=http://u:" + marked + "@host"}, "host")
		if len(problems) == 0 || problems[len(problems)-1].What != name+" holds a user or password" || s.Identity.Source != "" {
			t.Errorf("%s: %v, identity %v", name, problems, s.Identity)
		}
	}
}

// FuzzUserInfo: text before the last @ of an address is never printed or used as a host.
func FuzzUserInfo(f *testing.F) {
	for _, seed := range []struct{ before, after, host string }{
		{"svc:pa@", "#x", "proxy:3128"}, {"svc:", "", "proxy"}, {"svc:", "/", "proxy"}, {`corp\`, ":x", "proxy"}, {"", ".visualstudio.com/", "x"},
		{"/", "", "proxy"}, {"dev.azure.com/", "/_git", "repo"}, {"?", "", "x"}, {"[::1", "]:", "x"}, {"%", "", ""}, {"http://", "", "//"}, {"://", "\x00", "?"},
	} {
		f.Add(seed.before, seed.after, seed.host)
	}
	f.Fuzz(func(t *testing.T, before, after, host string) {
		host = strings.ReplaceAll(host, "@", "")
		for _, start := range []string{"http://", "https://", "", "HTTP:", `http:\\`} {
			for _, name := range addresses() {
				environ := []string{"AZP_URL=https://dev.azure.com/org", name + "=" + start + before + marked + after + "@" + host}
				if said := told(environ); strings.Contains(strings.ToLower(said), marked) {
					t.Errorf("%q is told: %s", environ, said)
				}
			}
		}
	})
}
