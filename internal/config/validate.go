package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strings"
)

// validate checks what rows cannot check alone. Life says that the settings of
// an agent's life are among those read.
func (s *Settings) validate(life bool) []Problem {
	var problems []Problem
	bad := func(hint, format string, args ...any) {
		problems = append(problems, Problem{What: fmt.Sprintf(format, args...), Hint: hint})
	}
	s.validateURL(bad)
	if life || s.AgentName != "" {
		s.validateName(bad)
	}
	s.validateLimits(bad)
	s.validatePlace(bad)
	s.validateIdentity(bad)
	return problems
}

// warnings finds what is odd and not wrong.
func (s *Settings) warnings() []string {
	odd := s.limitWarnings()
	u, err := url.Parse(s.URL)
	if err != nil || u.Scheme != "http" || isLoopback(u.Hostname()) {
		return odd
	}
	return append(odd, "AZP_URL (--url) is http: tokens cross the network for everybody to read")
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && ip.IsLoopback())
}

var guid = regexp.MustCompile(`^[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$`)

func (s *Settings) validateIdentity(bad func(hint, format string, args ...any)) {
	if s.ObjectID != "" && !guid.MatchString(s.ObjectID) {
		bad("`az identity show --query principalId` prints it",
			"MANAGED_IDENTITY_OBJECT_ID (--identity-object-id) is %q, which is not an object id", s.ObjectID)
	}
	if s.TokenFile != "" {
		if err := readable(s.TokenFile); err != nil {
			bad("is the secret mounted, and readable for this user?", "AZP_TOKEN_FILE (--token-file) is %q, which cannot be read: %v", s.TokenFile, err)
		}
	}
	switch token := s.Token.Reveal(); {
	case token == "null":
		bad("whatever set it was given an answer without a token", `AZP_TOKEN holds the word "null"`)
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		bad("was it copied whole, and alone?", "AZP_TOKEN holds characters that no token has")
	}
	if s.ObjectID == "" && s.TokenFile == "" && s.Token.IsZero() {
		bad("set MANAGED_IDENTITY_OBJECT_ID to the object id of a managed identity, or AZP_TOKEN_FILE, or AZP_TOKEN",
			"no identity is set: azptend cannot log on to Azure DevOps")
	}
}

// readable says whether a file can be read now and again: a pipe gives what it
// has only once. Its error is without the path.
func readable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return plain(err)
	}
	if !info.Mode().IsRegular() {
		return errors.New("it is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return plain(err)
	}
	return f.Close()
}

func plain(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
