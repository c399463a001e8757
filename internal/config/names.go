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

// This file finds variables that look like settings and are not: typos, and variables of other
// images.

// foreignNames are variables of other images and of config.sh, and names that people guess,
// with the setting that has the same meaning.
var foreignNames = map[string]string{
	// Microsoft's former image vsts-agent.
	"VSTS_ACCOUNT": "AZP_URL", "VSTS_TOKEN": "AZP_TOKEN", "VSTS_TOKEN_FILE": "AZP_TOKEN_FILE",
	"VSTS_AGENT": "AZP_AGENT_NAME", "VSTS_POOL": "AZP_POOL", "VSTS_WORK": "AZP_WORK",
	// The arguments of config.sh (agent-protocol.md 1.2).
	"VSTS_AGENT_INPUT_URL": "AZP_URL", "VSTS_AGENT_INPUT_TOKEN": "AZP_TOKEN", "VSTS_AGENT_INPUT_POOL": "AZP_POOL",
	"VSTS_AGENT_INPUT_AGENT": "AZP_AGENT_NAME", "VSTS_AGENT_INPUT_WORK": "AZP_WORK",
	// Too different from a setting's name for text.Nearest.
	"AZP_POOL_NAME": "AZP_POOL", "AZP_AGENT_POOL": "AZP_POOL", "AZP_NAME": "AZP_AGENT_NAME",
	"AZP_HOME": "AZP_AGENT_DIR", "AZP_PAT": "AZP_TOKEN", "AZP_PAT_TOKEN": "AZP_TOKEN", "AZP_ACCESS_TOKEN": "AZP_TOKEN",
	"AZP_ORG": "AZP_URL", "AZP_ORG_URL": "AZP_URL", "AZP_ORGANIZATION": "AZP_URL", "AZP_ORGANIZATION_URL": "AZP_URL", "AZP_SERVER_URL": "AZP_URL",
}

// unknownNames finds AZP_ names that this version does not know: typos, or settings of other
// images. Jobs do not get them, because a mistyped AZP_TOKEN is still a secret.
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

// agentVariables are settings of Microsoft's agent that begin with AZP_ (agent-protocol.md
// 4.5).
func agentVariables() []string {
	return []string{"AZP_AGENT_DOWNGRADE_DISABLED", "AZP_AGENT_DOWNLOAD_TIMEOUT", "AZP_AGENT_USE_LEGACY_HTTP"}
}

// nameMessages are the warnings about unknown names. If settings are wrong or missing, an
// unknown name is often the reason.
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

// lacks says whether a setting is not set. A setting of the group Identity is not lacking if
// another identity is configured.
func (s *Settings) lacks(setting string, flags *pflag.FlagSet, env map[string]string) bool {
	row := find(setting)
	if value, _ := row.lookup(flags, env); value != row.Default {
		return false
	}
	return row.Group != Identity || s.Identity.Source == "" || s.Identity.Setting == ""
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
