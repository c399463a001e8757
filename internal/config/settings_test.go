package config_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/platform"
)

// TestPrefixedNames: a name with a prefix has its whole suffix, and is never longer than
// maxName.
func TestPrefixedNames(t *testing.T) {
	for _, tt := range []struct{ prefix, want string }{
		{"linux", "linux-abc"},
		{"linux-", "linux-abc"},
		{strings.Repeat("x", 100), strings.Repeat("x", 60) + "-abc"},
	} {
		if got := (config.Settings{AgentName: "host", NamePrefix: tt.prefix}).Name("abc"); got != tt.want {
			t.Errorf("%q makes %q, want %q", tt.prefix, got, tt.want)
		}
	}
	if got := (config.Settings{AgentName: "host"}).Name("abc"); got != "host" {
		t.Errorf("a whole name became %q", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		name := config.Settings{NamePrefix: rapid.String().Draw(t, "prefix")}.Name("abcdefgh")
		if n := utf8.RuneCountInString(name); n > 64 {
			t.Fatalf("%q has %d characters", name, n)
		}
	})
	s := loaded(t, append(least(), "AZP_AGENT_NAME=one", "AZP_AGENT_NAME_PREFIX=many"))
	if len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], "AZP_AGENT_NAME (--agent-name) has no effect") {
		t.Errorf("both set: %q", s.Warnings)
	}
}

// TestLifetime: a replica with a timeout accepts no job that it could not finish.
func TestLifetime(t *testing.T) {
	for _, tt := range []struct {
		environ []string
		want    time.Duration
		odd     int
	}{
		{nil, 0, 0},
		{[]string{"AZP_MAX_LIFETIME=1h"}, time.Hour, 0},
		{[]string{"AZP_REPLICA_TIMEOUT=1800", "AZP_GRACE_PERIOD=30"}, 870 * time.Second, 0},
		{[]string{"AZP_REPLICA_TIMEOUT=1800", "AZP_GRACE_PERIOD=30", "AZP_JOB_MAX=20m"}, 570 * time.Second, 0},
		{[]string{"AZP_REPLICA_TIMEOUT=1800", "AZP_GRACE_PERIOD=30", "AZP_MAX_LIFETIME=60"}, time.Minute, 0},
		{[]string{"AZP_JOB_MAX=20m"}, 0, 1},
		{[]string{"AZP_ONCE=true", "AZP_MAX_JOBS=5"}, 0, 1},
	} {
		s, err := loaded(t, append(least(), tt.environ...)).OnPlatform(platform.Info{GracePeriod: time.Second})
		if got := s.Limits.Lifetime; err != nil || got != tt.want || len(s.Warnings) != tt.odd {
			t.Errorf("%v: %v, %q; want %v", tt.environ, got, s.Warnings, tt.want)
		}
	}
	if _, err := load(t, append(least(), "AZP_REPLICA_TIMEOUT=1800", "AZP_JOB_MAX=1780", "AZP_GRACE_PERIOD=30")); err == nil {
		t.Error("a timeout that leaves no time is taken")
	}
	if _, err := loaded(t, append(least(), "AZP_REPLICA_TIMEOUT=1800", "AZP_JOB_MAX=1780")).OnPlatform(platform.Info{GracePeriod: 30 * time.Second}); err == nil {
		t.Error("a timeout that leaves no time with the platform's grace period is taken")
	}
}

// TestSeveralAgents: each has its own root, name and directories, derived from the settings. A
// single agent has the settings unchanged.
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
