package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// longestName is what the server is known to keep of an agent's name
// (agent-protocol.md 10.4).
const longestName = 64

// validate checks what rows cannot check alone, and fills in what depends on
// the host.
func (s *Settings) validate(env map[string]string) []Problem {
	var problems []Problem
	bad := func(hint, format string, args ...any) {
		problems = append(problems, Problem{What: fmt.Sprintf(format, args...), Hint: hint})
	}
	s.validateURL(bad)
	if s.AgentName == "" {
		s.AgentName = s.HostName
	}
	switch {
	case strings.TrimSpace(s.AgentName) == "":
		bad("", "AZP_AGENT_NAME (--agent-name) %v, and this host has no name", errNotSet)
	case utf8.RuneCountInString(s.AgentName) > longestName:
		bad("", "AZP_AGENT_NAME (--agent-name) is longer than %d characters", longestName)
	case strings.ContainsFunc(s.AgentName, func(r rune) bool { return r < ' ' || strings.ContainsRune(`/\"<>|`, r) }):
		bad("letters, digits, dots, dashes and underscores are safe",
			"AZP_AGENT_NAME (--agent-name) is %q, which has a character that an agent's name cannot have", s.AgentName)
	}
	if s.AgentDir != "" && !filepath.IsAbs(s.AgentDir) {
		bad("", "AZP_AGENT_DIR (--agent-dir) is %q, which is not an absolute path", s.AgentDir)
	}
	s.validateIdentity(env, bad)
	s.readCA(bad)
	if s.Auth == AzureCLI {
		bad("it is a person's login, for the other commands", "AZP_AUTH (--auth) is azure-cli, which an agent cannot run with")
	}
	return problems
}

func (s *Settings) validateURL(bad func(hint, format string, args ...any)) {
	const looks = "it looks like https://dev.azure.com/your-organisation"
	if s.URL == "" {
		bad(looks, "AZP_URL (--url) %v", errNotSet)
		return
	}
	u, err := url.Parse(s.URL)
	switch {
	case err != nil || u.Hostname() == "" || (u.Scheme != "https" && u.Scheme != "http"):
		bad(looks, "AZP_URL (--url) is %q, which is not an http or https address", shown(s.URL))
	case u.User != nil:
		bad("use AZP_TOKEN or AZP_TOKEN_FILE", "AZP_URL (--url) holds a user or password")
	case u.RawQuery != "" || u.Fragment != "":
		bad(looks, "AZP_URL (--url) is %q and more, which has a part after the path", shown(s.URL))
	case strings.EqualFold(u.Hostname(), "dev.azure.com") && strings.Trim(u.Path, "/") == "":
		bad(looks, "AZP_URL (--url) is %q, which names no organisation", shown(s.URL))
	}
}

// shown is a URL that may hold a password or a token, for a message.
func shown(raw string) string {
	if i := strings.LastIndexByte(raw, '@'); i >= 0 {
		raw = "…" + raw[i:]
	}
	if i := strings.IndexAny(raw, "?#"); i >= 0 {
		raw = raw[:i]
	}
	return raw
}

// warnings finds what is odd and not wrong.
func (s *Settings) warnings(env map[string]string) []string {
	odd := s.identityWarnings(env)
	if u, err := url.Parse(s.URL); err == nil && u.Scheme == "http" && !isLoopback(u.Hostname()) {
		odd = append(odd, "AZP_URL (--url) is http: tokens cross the network for everybody to read")
	}
	return odd
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && ip.IsLoopback())
}

// readable says whether a file can be read now and again: a pipe gives what it
// has only once.
func readable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return f.Close()
}
