package config

import (
	"strings"
	"unicode/utf8"
)

// maxName is what the server is known to keep of an agent's name
// (agent-protocol.md 10.4).
const maxName = 64

// Name is the agent's name: the one that was given, or the prefix with the
// suffix, which is for the caller to make unique. Of a long prefix the end gives
// way, for the suffix is what tells two agents apart.
func (s Settings) Name(suffix string) string {
	if s.NamePrefix == "" {
		return s.AgentName
	}
	prefix := strings.TrimRight(s.NamePrefix, "-_.")
	room := maxName - 1 - utf8.RuneCountInString(suffix)
	if letters := []rune(prefix); len(letters) > room {
		prefix = string(letters[:room])
	}
	return prefix + "-" + suffix
}

func (s *Settings) validateName(bad func(hint, format string, args ...any)) {
	if s.NamePrefix != "" {
		validateAgentName(bad, "AZP_AGENT_NAME_PREFIX (--agent-name-prefix)", s.Name(""))
		return
	}
	validateAgentName(bad, "AZP_AGENT_NAME (--agent-name)", s.AgentName)
}

func validateAgentName(bad func(hint, format string, args ...any), what, name string) {
	switch {
	case strings.TrimSpace(name) == "":
		bad("", "%s %v, and this host has no name", what, errNotSet)
	case utf8.RuneCountInString(name) > maxName:
		bad("the server keeps no more: set a shorter one, or leave it out and the host's name is taken",
			"%s has %d characters, and an agent's name at most %d", what, utf8.RuneCountInString(name), maxName)
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || strings.ContainsRune(`/\"<>|`, r) }):
		bad("letters, digits, dots, dashes and underscores are safe",
			"%s is %q, which has a character that an agent's name cannot have", what, name)
	}
}
