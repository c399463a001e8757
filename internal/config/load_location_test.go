package config_test

import (
	"testing"

	"github.com/spf13/pflag"

	"github.com/azptend/azptend/internal/config"
)

// location loads the settings of a probe.
func location(t *testing.T, environ []string, args ...string) (config.Settings, error) {
	t.Helper()
	flags := pflag.NewFlagSet("drain", pflag.ContinueOnError)
	config.AddFlags(flags, config.Location...)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return config.LoadLocation(flags, environ)
}

// TestLocationOfRun: with the same settings a probe finds the run, and it needs no other
// settings.
func TestLocationOfRun(t *testing.T) {
	for _, tt := range []struct {
		environ []string
		args    []string
		want    string
	}{
		{nil, nil, "/azp"},
		{[]string{"AZP_AGENT_DIR=/agents/1"}, nil, "/agents/1"},
		{[]string{"AZP_AGENT_DIR=/agents/1"}, []string{"--agent-dir", "/agents/2/"}, "/agents/2/"},
		{[]string{"AZP_AGENT_DIR=/agents/1", "AZP_AGENT_ROOT=/var/agent/"}, nil, "/var/agent"},
		{[]string{"AZP_AGENT_ROOT=/var/agent", "AZP_AGENTS=3"}, nil, "/var/agent"},
		{[]string{"AZP_AGENT_DIR="}, []string{"--agent-dir="}, "/azp"},
	} {
		got, err := location(t, append(tt.environ, "AZP_GRACE_PERIOD=nonsense"), tt.args...)
		if err != nil || got.Root() != tt.want {
			t.Errorf("%v %v: %q, %v", tt.environ, tt.args, got.Root(), err)
		}
		if run := loaded(t, least(tt.environ...), tt.args...); run.Root() != tt.want {
			t.Errorf("%v %v: run is at %q", tt.environ, tt.args, run.Root())
		}
	}
}

func TestLocationMustBeAbsolute(t *testing.T) {
	_, err := location(t, []string{"AZP_AGENT_DIR=agents"})
	if p := problems(t, err); len(p) != 1 || p[0].What != `AZP_AGENT_DIR (--agent-dir) is "agents", which is not an absolute path` {
		t.Errorf("problems are %v", p)
	}
}
