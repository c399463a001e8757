package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/azptend/azptend/internal/identity"
	"github.com/azptend/azptend/internal/safefile"
)

// validate checks the settings together. runs says that the settings of a running agent were
// read.
func (s *Settings) validate(runs bool, env map[string]string, bad *problems) {
	s.validateProxies(env, bad)
	if s.Registered != "" {
		// The agent's files contain its server, pool and name, and no identity is needed.
		s.validateDirs(bad)
		s.validateLimits(bad)
		s.loadCA(bad)
		s.validateAgents(bad)
		return
	}
	before := len(*bad)
	if s.validateURL(bad); len(*bad) > before || bad.haveTemplate("AZP_URL") {
		s.URL = "" // so that LoadPartial's caller sends nothing to a wrong address
	}
	s.validateAgents(bad)
	if runs || s.AgentName != "" {
		s.validateName(bad)
	}
	s.validateLimits(bad)
	s.validateDirs(bad)
	if s.Install {
		s.validateInstall(bad)
	}
	s.validateIdentity(env, bad)
	s.validateEndpoints(env, bad)
	if bad.haveTemplate(variablesOf(Identity)...) {
		s.Identity = ChosenIdentity{} // so that LoadPartial's caller sends no template as a token
	}
	s.loadCA(bad)
	if runs && auths[s.Auth] == identity.AzureCLI {
		bad.add("use it with other commands: it is a person's login", "AZP_AUTH (--auth) is azure-cli, which run does not accept")
	}
}

// validateAgents checks the settings for several agents.
func (s *Settings) validateAgents(bad *problems) {
	if s.Agents <= 1 {
		return
	}
	if !s.HasSeparateRoot() {
		bad.add("set AZP_AGENT_ROOT (--agent-root) to a directory other than AZP_AGENT_DIR (--agent-dir): each agent gets a root below it",
			"AZP_AGENTS (--agents) is %d, and AZP_AGENT_ROOT (--agent-root) is not set", s.Agents)
	}
	if s.Registered != "" {
		bad.add("run one azptend for each, with its own directory", "AZP_AGENTS (--agents) is %d, but AZP_REGISTERED (--registered) names one agent", s.Agents)
	}
	if s.Registered == "" && s.NamePrefix == "" {
		validateAgentName(bad, "AZP_AGENT_NAME (--agent-name), with an agent's number,", s.AgentName+"-"+strconv.Itoa(s.Agents))
	}
}

func (s *Settings) validateName(bad *problems) {
	if s.NamePrefix != "" {
		validateAgentName(bad, "AZP_AGENT_NAME_PREFIX (--agent-name-prefix)", s.Name(""))
		return
	}
	validateAgentName(bad, "AZP_AGENT_NAME (--agent-name)", s.AgentName)
}

func validateAgentName(bad *problems, setting, name string) {
	switch {
	case strings.TrimSpace(name) == "":
		bad.add("", "%s %v, and this host has no name", setting, errNotSet)
	case utf8.RuneCountInString(name) > maxName:
		bad.add("use a shorter name, or unset it to use the host name", "%s has %d characters; an agent's name has at most %d", setting, utf8.RuneCountInString(name), maxName)
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || strings.ContainsRune(`/\"<>|`, r) }):
		bad.add("use letters, digits, dots, dashes and underscores", "%s is %q, which has a character that an agent's name cannot have", setting, name)
	}
}

func (s Settings) validateLimits(bad *problems) {
	if s.ReplicaTimeout == 0 || s.longestJob()+s.Grace < s.ReplicaTimeout {
		return
	}
	grace := ""
	if s.Grace > 0 { // 0 until the platform is known
		grace = fmt.Sprintf(" and a grace period of %v", s.Grace)
	}
	bad.add("raise the replica timeout, or set AZP_JOB_MAX (--job-max) to the longest time that a job takes",
		"AZP_REPLICA_TIMEOUT (--replica-timeout) is %v, which is too short for a job of %v%s", s.ReplicaTimeout, s.longestJob(), grace)
}

func (s *Settings) warn(format string, args ...any) {
	s.Warnings = append(s.Warnings, fmt.Sprintf(format, args...))
}

// addWarnings adds warnings about suspicious settings.
func (s *Settings) addWarnings(env map[string]string) {
	if s.JobMax > 0 && s.ReplicaTimeout == 0 {
		s.warn("AZP_JOB_MAX (--job-max) has no effect without AZP_REPLICA_TIMEOUT (--replica-timeout)")
	}
	if s.Once && s.Limits.Jobs > 1 {
		s.warn("AZP_MAX_JOBS (--max-jobs) is %d, but with AZP_ONCE (--once) the agent runs one job", s.Limits.Jobs)
	}
	s.identityWarnings(env)
	s.compatWarnings(env)
	if u, err := url.Parse(s.URL); err == nil && u.Scheme == "http" && !isLoopback(u.Hostname()) {
		s.warn("AZP_URL (--url) is http: everybody on the network can read the tokens")
	}
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || (err == nil && ip.IsLoopback())
}

// checkReadable checks that a regular file can be read. A pipe is refused, because it can be
// read only once. The error does not contain the path.
func checkReadable(path string) error {
	if err := safefile.CheckReadable(path); err != nil {
		return withoutPath(err)
	}
	return nil
}

// maxCAFile is the maximum size of a file of certificates. All that browsers trust have 200 kB.
const maxCAFile = 16 << 20

func withoutPath(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
