package config

import (
	"path/filepath"
	"strconv"
)

// Root is where this azptend's agent lives and writes; of several agents, what
// their roots are in.
func (s Settings) Root() string {
	if s.AgentRoot != "" {
		return s.AgentRoot
	}
	return s.AgentDir
}

// HasSeparateRoot says that agents live in roots that are made from the installation.
func (s Settings) HasSeparateRoot() bool {
	return s.AgentDir != "" && s.Root() != filepath.Clean(s.AgentDir)
}

// ForAgent is the settings of one of several agents, counted from 1: a root, a name and
// folders of its own. They are the settings themselves where there is one agent.
func (s Settings) ForAgent(n int) Settings {
	if s.Agents <= 1 {
		return s
	}
	number := strconv.Itoa(n)
	s.AgentRoot = filepath.Join(s.Root(), number)
	s.AgentName += "-" + number
	if filepath.IsAbs(s.WorkFolder) {
		s.WorkFolder = filepath.Join(s.WorkFolder, number)
	}
	if s.DiagFolder != "" {
		s.DiagFolder = filepath.Join(s.DiagFolder, number)
	}
	s.Agents = 1
	return s
}

// validateAgents judges what several agents need.
func (s *Settings) validateAgents(bad func(hint, format string, args ...any)) {
	if s.Agents <= 1 {
		return
	}
	if !s.HasSeparateRoot() {
		bad("name a folder other than AZP_AGENT_DIR (--agent-dir): each agent gets a root of its own in it",
			"AZP_AGENTS (--agents) is %d, and AZP_AGENT_ROOT (--agent-root) is not set", s.Agents)
	}
	if s.Registered != "" {
		bad("run each with a folder of its own", "AZP_AGENTS (--agents) is %d, and AZP_REGISTERED (--registered) names one agent", s.Agents)
	}
	if s.Registered == "" && s.NamePrefix == "" {
		validateAgentName(bad, "AZP_AGENT_NAME (--agent-name), with an agent's number,", s.AgentName+"-"+strconv.Itoa(s.Agents))
	}
}
