package config

import (
	"cmp"
	"context"
	"net"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/azptend/azptend/internal/pool"
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
	loadServerToken(&s.KeepToken, "AZP_KEEP_TOKEN", s.KeepTokenFile, "AZP_KEEP_TOKEN_FILE (--keep-token-file)", &bad)
	loadServerToken(&s.ScaleToken, "AZP_KEEP_SCALE_TOKEN", s.ScaleTokenFile, "AZP_KEEP_SCALE_TOKEN_FILE (--scale-token-file)", &bad)
	if !s.ScaleToken.IsZero() && s.ScaleToken.Reveal() == s.KeepToken.Reveal() {
		bad.add("use another token, or only AZP_KEEP_TOKEN", "AZP_KEEP_SCALE_TOKEN is the same as AZP_KEEP_TOKEN, which opens the page too")
	}
	s.loadGroups(&bad)
	if s.KeepListen != "" && s.KeepToken.IsZero() && s.KeepTokenFile == "" {
		if host, _, _ := net.SplitHostPort(s.KeepListen); !isLoopback(host) {
			bad.add("set AZP_KEEP_TOKEN or AZP_KEEP_TOKEN_FILE (--keep-token-file)",
				"AZP_KEEP_LISTEN (--listen) is %s, which other machines can reach, and no token protects it", s.KeepListen)
		}
	}
	if len(s.Capabilities) > 0 && !slices.ContainsFunc(s.Pools(), func(name string) bool { return len(pool.GroupsOf(s.Groups, name)) == 0 }) {
		s.warn("AZP_CAPABILITIES (--capability) has no effect: AZP_KEEP_GROUPS_FILE (--groups-file) has the capabilities of each group")
	}
	return s, bad.err(s)
}

// PlaceholderName is the name of the keeper's placeholder. With groups, it begins the names of
// theirs.
func (s Settings) PlaceholderName() string { return cmp.Or(s.AgentName, pool.DefaultName) }

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

// loadServerToken reads a token that the keeper's server asks for from its file, if that is set.
func loadServerToken(token *secret.Text, from, file, fromFile string, bad *problems) {
	if file != "" {
		if !token.IsZero() {
			bad.add("set one of them", "%s and %s are both set", from, fromFile)
			return
		}
		from = fromFile
		b, err := safefile.ReadFileInTime(context.Background(), file, maxKeepToken)
		if err != nil {
			bad.add(mountHint, "%s cannot be read: %v", from, withoutPath(err))
			return
		}
		if *token = secret.New(strings.TrimSpace(string(b))); token.IsZero() {
			bad.add("write a token into it", "%s is an empty file", from)
			return
		}
	}
	if n := len(token.Reveal()); n > 0 && n < minKeepToken {
		bad.add("run `openssl rand -hex 16` to make one", "%s has %d characters; it needs at least %d", from, n, minKeepToken)
	}
}
