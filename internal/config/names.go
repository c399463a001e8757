package config

import (
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode"

	"github.com/spf13/pflag"

	"github.com/azptend/azptend/internal/text"
)

// This file finds variables that look like settings and are none: typos, and variables of
// other images.

// foreignNames are variables of other images, of config.sh and of people's memory, with the
// setting that means the same.
var foreignNames = map[string]string{
	// Microsoft's former image vsts-agent.
	"VSTS_ACCOUNT": "AZP_URL", "VSTS_TOKEN": "AZP_TOKEN", "VSTS_TOKEN_FILE": "AZP_TOKEN_FILE",
	"VSTS_AGENT": "AZP_AGENT_NAME", "VSTS_POOL": "AZP_POOL", "VSTS_WORK": "AZP_WORK",
	// The arguments of config.sh (agent-protocol.md 1.2).
	"VSTS_AGENT_INPUT_URL": "AZP_URL", "VSTS_AGENT_INPUT_TOKEN": "AZP_TOKEN", "VSTS_AGENT_INPUT_POOL": "AZP_POOL",
	"VSTS_AGENT_INPUT_AGENT": "AZP_AGENT_NAME", "VSTS_AGENT_INPUT_WORK": "AZP_WORK",
	// Too far from a setting's name to be found by its letters.
	"AZP_POOL_NAME": "AZP_POOL", "AZP_AGENT_POOL": "AZP_POOL", "AZP_NAME": "AZP_AGENT_NAME",
	"AZP_HOME": "AZP_AGENT_DIR", "AZP_PAT": "AZP_TOKEN", "AZP_PAT_TOKEN": "AZP_TOKEN", "AZP_ACCESS_TOKEN": "AZP_TOKEN",
	"AZP_ORG": "AZP_URL", "AZP_ORG_URL": "AZP_URL", "AZP_ORGANIZATION": "AZP_URL", "AZP_ORGANIZATION_URL": "AZP_URL", "AZP_SERVER_URL": "AZP_URL",
}

// unknownNames finds AZP_ names that mean nothing to this version: a typo, or a setting
// of another image. Jobs do not get them: a mistyped AZP_TOKEN still is a secret.
func unknownNames(env map[string]string) []string {
	known := append(slices.Clone(compatNames), agentVariables()...)
	for _, r := range Table {
		known = append(known, r.Env)
	}
	var found []string
	for name, value := range env {
		if strings.HasPrefix(name, "AZP_") && value != "" && !slices.Contains(known, name) && !namesDeploymentTarget(name) {
			found = append(found, name)
		}
	}
	sort.Strings(found)
	return found
}

// agentVariables are settings of the agent itself that look like ours
// (agent-protocol.md 4.5).
func agentVariables() []string {
	return []string{"AZP_AGENT_DOWNGRADE_DISABLED", "AZP_AGENT_DOWNLOAD_TIMEOUT", "AZP_AGENT_USE_LEGACY_HTTP"}
}

// nameMessages are the warnings about unknown names. If the settings are wrong, they are
// often the very reason.
func (s *Settings) nameMessages(flags *pflag.FlagSet) []string {
	var messages []string
	for _, name := range s.UnknownNames {
		messages = append(messages, unknownMessage(name))
	}
	env := environMap(s.Environ)
	for _, name := range slices.Sorted(maps.Keys(foreignNames)) {
		if own := foreignNames[name]; env[name] != "" && !strings.HasPrefix(name, "AZP_") && s.lacks(own, flags, env) {
			messages = append(messages, name+" is not a setting of azptend; did you mean "+own+"?")
		}
	}
	return messages
}

// lacks says that a setting is not set. An identity of another kind is as good as a token.
func (s *Settings) lacks(setting string, flags *pflag.FlagSet, env map[string]string) bool {
	row := find(setting)
	if value, _ := row.lookup(flags, env); value != row.Default {
		return false
	}
	return row.Group != Identity || s.Identity.Source == "" || s.Identity.ByDefault
}

// unknownMessage is the warning about an unknown name.
func unknownMessage(name string) string {
	shown := name
	if strings.ContainsFunc(name, unicode.IsControl) {
		shown = strconv.Quote(name)
	}
	message := shown + " is not a setting of azptend; jobs do not get it"
	var known []string
	for _, r := range Table {
		known = append(known, strings.TrimPrefix(r.Env, "AZP_"))
	}
	meant := foreignNames[name]
	if near := text.Nearest(strings.TrimPrefix(name, "AZP_"), known); meant == "" && near != "" {
		meant = "AZP_" + near
	}
	if meant != "" {
		message += "; did you mean " + meant + "?"
	}
	return message
}
