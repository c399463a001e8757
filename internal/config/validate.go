package config

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"path/filepath"
	"time"

	"github.com/azptend/azptend/internal/safefile"
)

// validate checks what rows cannot check alone. Life says that the settings of
// an agent's life are among those read.
func (s *Settings) validate(life bool, env map[string]string) []Problem {
	var problems []Problem
	bad := func(hint, format string, args ...any) {
		problems = append(problems, Problem{What: fmt.Sprintf(format, args...), Hint: hint})
	}
	s.validateProxies(env, bad)
	if s.Registered != "" {
		s.validateRegistered(bad)
		s.validateAgents(bad)
		return problems
	}
	before := len(problems)
	if s.validateURL(bad); len(problems) > before {
		s.URL = "" // for Examine: nobody is to be sent to an address that is not meant
	}
	s.validateAgents(bad)
	if life || s.AgentName != "" {
		s.validateName(bad)
	}
	s.validateLimits(bad)
	s.validatePlace(bad)
	if s.Install {
		s.validateInstall(bad)
	}
	s.validateIdentity(env, bad)
	s.validateEndpoints(env, bad)
	s.loadCA(bad)
	if life && s.Auth == AzureCLI {
		bad("it is a person's login, for the other commands", "AZP_AUTH (--auth) is azure-cli, which an agent cannot run with")
	}
	return problems
}

// validateRegistered judges the settings of an agent that is registered already:
// its server, its pool and its name are what its files say, and it needs nobody's
// identity.
func (s *Settings) validateRegistered(bad func(hint, format string, args ...any)) {
	if !filepath.IsAbs(s.Registered) {
		bad("", "AZP_REGISTERED (--registered) is %q, which is not an absolute path", s.Registered)
	}
	s.validateLimits(bad)
	s.validatePlace(bad)
	s.loadCA(bad)
}

// warnings finds what is odd and not wrong.
func (s *Settings) warnings(env map[string]string) []string {
	odd := append(s.limitWarnings(), s.identityWarnings(env)...)
	odd = append(odd, s.compatWarnings(env)...)
	if u, err := url.Parse(s.URL); err == nil && u.Scheme == "http" && !isLoopback(u.Hostname()) {
		odd = append(odd, "AZP_URL (--url) is http: tokens cross the network for everybody to read")
	}
	return odd
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && ip.IsLoopback())
}

// checkReadable says whether a file can be read now and again: a pipe gives what it
// has only once. Its error is without the path.
func checkReadable(path string) error {
	f, err := safefile.Open(path)
	if err != nil {
		return withoutPath(err)
	}
	return f.Close()
}

const (
	// fileTimeout is how long the file system may take that a setting's file is in.
	fileTimeout = 10 * time.Second
	// maxCAFile bounds a file of certificates: all that browsers trust are 200 kB.
	maxCAFile = 16 << 20
)

// readFile reads a file that a setting names.
func readFile(path string, limit int64) ([]byte, error) {
	ctx, done := context.WithTimeout(context.Background(), fileTimeout)
	defer done()
	return safefile.ReadFileBy(ctx, path, limit)
}

func withoutPath(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
