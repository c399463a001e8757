package config

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/azptend/azptend/internal/secret"
)

// keeperGroups are the settings that matter to a keeper. Agent is for its placeholder.
func keeperGroups() []Group { return []Group{Connection, AgentPool, Agent, Keeper} }

// AddKeepFlags defines the flags that LoadKeep reads. The pool may be given more
// than once.
func AddKeepFlags(flags *pflag.FlagSet) {
	AddFlags(flags, keeperGroups()...)
	pools := flags.Lookup("pool")
	pools.Value, pools.DefValue = &poolNames{}, ""
	pools.Usage = "the agent pool's name; several separated by commas, or the flag repeated (AZP_POOL)"
}

// poolNames is a flag that adds to itself.
type poolNames struct{ names string }

func (p *poolNames) String() string { return p.names }
func (p *poolNames) Type() string   { return "string" }
func (p *poolNames) Set(s string) error {
	if s = strings.TrimSpace(s); s != "" {
		p.names = strings.TrimPrefix(p.names+","+s, ",")
	}
	return nil
}

// LoadKeep is Load for a keeper. The error is an *InvalidError.
func LoadKeep(flags *pflag.FlagSet, environ []string, hostName string) (Settings, error) {
	s, err := Load(flags, environ, hostName, keeperGroups()...)
	if err != nil {
		return s, err
	}
	var problems []Problem
	bad := func(hint, format string, args ...any) {
		problems = append(problems, Problem{What: fmt.Sprintf(format, args...), Hint: hint})
	}
	if s.PoolID == 0 && len(s.Pools()) == 0 {
		bad("name a pool", "AZP_POOL (--pool) names no pool")
	}
	s.loadKeepToken(bad)
	if s.KeepListen != "" && s.KeepToken.IsZero() && s.KeepTokenFile == "" && !isLoopbackAddress(s.KeepListen) {
		bad("set AZP_KEEP_TOKEN or AZP_KEEP_TOKEN_FILE (--keep-token-file): others may read the page and metrics there only with a token",
			"AZP_KEEP_LISTEN (--listen) is %s, which others can reach", s.KeepListen)
	}
	if len(problems) > 0 {
		return Settings{}, &InvalidError{Problems: problems, LogFormat: s.LogFormat}
	}
	return s, nil
}

// Pools are the pools' names: AZP_POOL at its commas, each once, for the server
// takes no notice of case. A name that has a comma is given by its id.
func (s Settings) Pools() []string {
	var names []string
	for _, name := range splitList(s.Pool) {
		if !slices.ContainsFunc(names, func(have string) bool { return strings.EqualFold(have, name) }) {
			names = append(names, name)
		}
	}
	return names
}

// minKeepToken is of what guards a page that others can reach: 16 letters and
// digits at random are 95 bits.
const minKeepToken = 16

// maxKeepToken bounds what is read of a file that is none of ours.
const maxKeepToken = 4096

func (s *Settings) loadKeepToken(bad func(hint, format string, args ...any)) {
	from := "AZP_KEEP_TOKEN"
	if s.KeepTokenFile != "" {
		from = "AZP_KEEP_TOKEN_FILE (--keep-token-file)"
		if !s.KeepToken.IsZero() {
			bad("set one of them", "AZP_KEEP_TOKEN and %s are both set", from)
			return
		}
		text, err := readTokenFile(s.KeepTokenFile)
		if err != nil {
			bad("", "%s cannot be read: %v", from, withoutPath(err))
			return
		}
		s.KeepToken = secret.New(text)
		if text == "" {
			bad("", "%s is an empty file", from)
			return
		}
	}
	if n := len(s.KeepToken.Reveal()); n > 0 && n < minKeepToken {
		bad("openssl rand -hex 16 makes a good one", "%s has %d characters, and must have %d", from, n, minKeepToken)
	}
}

func readTokenFile(path string) (string, error) {
	b, err := readFile(path, maxKeepToken)
	return strings.TrimSpace(string(b)), err
}

// minKeepInterval keeps a keeper from being felt by the server.
const minKeepInterval = 5 * time.Second

func setListen(to *string, v string) error {
	if strings.EqualFold(v, "off") {
		*to = ""
		return nil
	}
	if _, port, err := net.SplitHostPort(v); err != nil || port == "" {
		return fmt.Errorf("is %q, which is not host:port", redactURL(v))
	}
	*to = v
	return nil
}

// isLoopbackAddress says whether host:port can be reached from this machine alone.
func isLoopbackAddress(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || (err == nil && ip.IsLoopback())
}
