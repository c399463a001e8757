package config_test

import (
	"testing"

	"github.com/azptend/azptend/internal/config"
)

// TestSeveralAgents: each has a root, a name and folders of its own, below or
// after what was set; one agent has what was set.
func TestSeveralAgents(t *testing.T) {
	s := loaded(t, least("AZP_AGENT_ROOT=/var/agents", "AZP_AGENTS=2", "AZP_AGENT_NAME=build", "AZP_WORK=/builds", "AGENT_DIAGLOGPATH=/logs"))
	two := s.ForAgent(2)
	if two.Root() != "/var/agents/2" || two.AgentName != "build-2" || two.WorkFolder != "/builds/2" || two.DiagFolder != "/logs/2" || two.AgentDir != "/azp" || two.Agents != 1 {
		t.Errorf("the second agent: %+v", two)
	}
	one := loaded(t, least("AZP_AGENT_ROOT=/var/agent", "AZP_AGENT_NAME=build")).ForAgent(1)
	if one.Root() != "/var/agent" || one.AgentName != "build" || one.WorkFolder != "_work" {
		t.Errorf("the only agent: %+v", one)
	}
	if s := loaded(t, least("AZP_AGENT_DIR=/azp/", "AZP_AGENT_ROOT=/azp")); s.HasSeparateRoot() {
		t.Error("a root that is the installation counts as apart")
	}
}

func TestSeveralAgentsNeedARootApart(t *testing.T) {
	for _, environ := range [][]string{
		{"AZP_AGENTS=2"},
		{"AZP_AGENTS=2", "AZP_AGENT_ROOT=/azp"},
		{"AZP_AGENTS=2", "AZP_AGENT_ROOT=/var/agents", "AZP_REGISTERED=/given"},
		{"AZP_AGENTS=20", "AZP_AGENT_ROOT=/var/agents", "AZP_AGENT_NAME=a23456789012345678901234567890123456789012345678901234567890123"},
	} {
		_, err := config.Load(nil, least(environ...), "host")
		if p := problems(t, err); len(p) != 1 {
			t.Errorf("%v: problems are %v", environ, p)
		}
	}
}
