package config

import (
	"context"
	"net"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/azptend/azptend/internal/safefile"
	"github.com/azptend/azptend/internal/secret"
)

// keeperGroups are the settings of a keeper. It needs Agent for its placeholder.
var keeperGroups = []Group{Connection, AgentPool, Agent, Keeper}

// AddKeepFlags defines the flags that LoadKeep reads. --pool may be repeated.
func AddKeepFlags(flags *pflag.FlagSet) {
	for _, row := range Table {
		if row.Env == "AZP_POOL" {
			row.Repeatable, row.Help = true, "names of the agent pools, separated by commas; the flag may be repeated"
		}
		if row.isIn(keeperGroups) {
			row.addFlag(flags)
		}
	}
}

// LoadKeep is Load for a keeper. The error is an *InvalidError.
func LoadKeep(flags *pflag.FlagSet, environ []string, hostName string) (Settings, error) {
	s, err := Load(flags, environ, hostName, keeperGroups...)
	if err != nil {
		return s, err
	}
	var bad problems
	if s.PoolID == 0 && len(s.Pools()) == 0 {
		bad.add("set it to the name of a pool", "AZP_POOL (--pool) names no pool")
	}
	s.loadKeepToken(&bad)
	if s.KeepListen != "" && s.KeepToken.IsZero() && s.KeepTokenFile == "" {
		if host, _, _ := net.SplitHostPort(s.KeepListen); !isLoopback(host) {
			bad.add("set AZP_KEEP_TOKEN or AZP_KEEP_TOKEN_FILE (--keep-token-file)",
				"AZP_KEEP_LISTEN (--listen) is %s, which other machines can reach, and no token protects it", s.KeepListen)
		}
	}
	return s, bad.err(s)
}

// Pools are the pools' names: AZP_POOL split at commas, each once. The server ignores
// case. A pool whose name has a comma is given by its id.
func (s Settings) Pools() []string {
	var names []string
	for _, name := range splitList(s.Pool) {
		if !slices.ContainsFunc(names, func(have string) bool { return strings.EqualFold(have, name) }) {
			names = append(names, name)
		}
	}
	return names
}

const (
	// minKeepToken is the minimum length of a token, so that it cannot be guessed: 16 random
	// letters and digits have 95 bits.
	minKeepToken = 16
	// maxKeepToken is the maximum size of the token file.
	maxKeepToken = 4096
)

func (s *Settings) loadKeepToken(bad *problems) {
	from := "AZP_KEEP_TOKEN"
	if s.KeepTokenFile != "" {
		from = "AZP_KEEP_TOKEN_FILE (--keep-token-file)"
		if !s.KeepToken.IsZero() {
			bad.add("set one of them", "AZP_KEEP_TOKEN and %s are both set", from)
			return
		}
		b, err := safefile.ReadFileInTime(context.Background(), s.KeepTokenFile, maxKeepToken)
		if err != nil {
			bad.add(mountHint, "%s cannot be read: %v", from, withoutPath(err))
			return
		}
		if s.KeepToken = secret.New(strings.TrimSpace(string(b))); s.KeepToken.IsZero() {
			bad.add("write a token into it", "%s is an empty file", from)
			return
		}
	}
	if n := len(s.KeepToken.Reveal()); n > 0 && n < minKeepToken {
		bad.add("run `openssl rand -hex 16` to make one", "%s has %d characters; it needs at least %d", from, n, minKeepToken)
	}
}
