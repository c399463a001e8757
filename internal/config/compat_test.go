package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/azptend/azptend/internal/config"
)

// TestCompatNames: settings of other images have the effect of ours, with one warning each.
func TestCompatNames(t *testing.T) {
	for _, tt := range []struct {
		name        string
		environ     []string
		args        []string
		agent       string // its name, with the suffix "abc"
		placeholder bool
		told        []string // beginnings of the warnings
	}{
		{name: "nothing", agent: "the-host"},
		{name: "a template", environ: []string{"AZP_TEMPLATE_JOB=1"}, agent: "the-host-template", placeholder: true,
			told: []string{"AZP_TEMPLATE_JOB is a setting of blue-agent: azptend treats it as AZP_PLACEHOLDER (--placeholder) with the name the-host-template"}},
		{name: "a named template", environ: []string{"AZP_TEMPLATE_JOB=1", "AZP_AGENT_NAME=blue", "AZP_GRACE_PERIOD=never"}, agent: "blue-template", placeholder: true,
			told: []string{"AZP_TEMPLATE_JOB is a setting of blue-agent"}},
		{name: "no template", environ: []string{"AZP_TEMPLATE_JOB=0"}, agent: "the-host"},
		{name: "no template for blue-agent either", environ: []string{"AZP_TEMPLATE_JOB=true"}, agent: "the-host",
			told: []string{`AZP_TEMPLATE_JOB is "true" and has no effect: only 1 creates a placeholder`}},
		{name: "a person's word on placeholders outweighs it", environ: []string{"AZP_TEMPLATE_JOB=1", "AZP_PLACEHOLDER=0"}, agent: "the-host"},
		{name: "and a flag too", environ: []string{"AZP_TEMPLATE_JOB=1"}, args: []string{"--placeholder=false"}, agent: "the-host"},
		{name: "a suffix, which is there anyway", environ: []string{"AZP_RANDOM_AGENT_SUFFIX=true", "AZP_AGENT_NAME_PREFIX=p"}, agent: "p-abc"},
		{name: "no suffix", environ: []string{"AZP_RANDOM_AGENT_SUFFIX=false", "AZP_AGENT_NAME_PREFIX=p-"}, agent: "p-the-host",
			told: []string{"AZP_RANDOM_AGENT_SUFFIX is a setting of the AVM images: azptend uses the name p-the-host"}},
		{name: "no suffix, by a flag", environ: []string{"AZP_RANDOM_AGENT_SUFFIX=False"}, args: []string{"--agent-name-prefix", "p"}, agent: "p-the-host",
			told: []string{"AZP_RANDOM_AGENT_SUFFIX is a setting of the AVM images: azptend uses the name p-the-host"}},
		{name: "a whole name", environ: []string{"AZP_RANDOM_AGENT_SUFFIX=false", "AZP_AGENT_NAME_PREFIX=p", "AZP_AGENT_NAME=whole"}, agent: "whole",
			told: []string{"AZP_RANDOM_AGENT_SUFFIX is a setting of the AVM images: azptend uses the name whole"}},
		{name: "no prefix to put it behind", environ: []string{"AZP_RANDOM_AGENT_SUFFIX=false"}, agent: "the-host"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := loaded(t, least(tt.environ...), tt.args...)
			if got := s.Name("abc"); got != tt.agent || s.Placeholder != tt.placeholder {
				t.Errorf("the name is %q, a placeholder %v; want %q, %v", got, s.Placeholder, tt.agent, tt.placeholder)
			}
			if len(s.UnknownNames) > 0 || !beginLike(s.Warnings, tt.told) {
				t.Errorf("unknown %q, warnings %q, want %q", s.UnknownNames, s.Warnings, tt.told)
			}
		})
	}
	_, err := load(t, least("AZP_RANDOM_AGENT_SUFFIX=perhaps", "AZP_AGENT_NAME_PREFIX=p"))
	if got := problems(t, err); len(got) != 1 || !strings.HasPrefix(got[0].What, `AZP_RANDOM_AGENT_SUFFIX is "perhaps"`) {
		t.Errorf("problems are %v", got)
	}
}

func beginLike(all, beginnings []string) bool {
	if len(all) != len(beginnings) {
		return false
	}
	for i, begins := range beginnings {
		if !strings.HasPrefix(all[i], begins) {
			return false
		}
	}
	return true
}

func authority(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(caFile(t))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestCompatCertificates: all *.crt files in blue-agent's directory are trusted, and no others.
func TestCompatCertificates(t *testing.T) {
	dir, one, two := t.TempDir(), authority(t), authority(t)
	for name, content := range map[string]string{"b.crt": two, "a.crt": one, "readme": "nothing"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := loaded(t, least("AZP_CUSTOM_CERT_PEM="+dir))
	if diff := cmp.Diff(one+two, string(s.CA)); diff != "" {
		t.Error(diff)
	}
	if !beginLike(s.Warnings, []string{"AZP_CUSTOM_CERT_PEM is a setting of blue-agent: azptend and the agent trust"}) {
		t.Errorf("warnings are %q", s.Warnings)
	}

	file := filepath.Join(dir, "a.crt")
	s = loaded(t, least("AZP_CUSTOM_CERT_PEM="+dir, "AZP_CA_FILE="+file))
	if string(s.CA) != one || !beginLike(s.Warnings, []string{"AZP_CUSTOM_CERT_PEM has no effect"}) {
		t.Errorf("beside AZP_CA_FILE: %q, warnings %q", s.CA, s.Warnings)
	}
	for _, none := range []string{t.TempDir(), filepath.Join(dir, "nowhere")} {
		s = loaded(t, least("AZP_CUSTOM_CERT_PEM="+none))
		if len(s.CA) > 0 || len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], "holds no *.crt") {
			t.Errorf("%s: %q, warnings %q", none, s.CA, s.Warnings)
		}
	}
	who, err := config.LoadIdentity(nil, least("AZP_CUSTOM_CERT_PEM="+dir))
	if err != nil || string(who.CA) != one+two {
		t.Errorf("azptend token trusts %q, %v", who.CA, err)
	}

	if err := os.WriteFile(filepath.Join(dir, "c.crt"), []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{dir, file} {
		_, err := load(t, least("AZP_CUSTOM_CERT_PEM="+bad))
		if got := problems(t, err); len(got) != 1 || !strings.HasPrefix(got[0].What, "AZP_CUSTOM_CERT_PEM ") {
			t.Errorf("%s: problems are %v", bad, got)
		}
	}
}
