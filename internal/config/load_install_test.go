package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/install"
)

// TestLoadInstall: AZP_URL is optional if the version and the checksum are set, or a file.
func TestLoadInstall(t *testing.T) {
	file := filepath.Join(t.TempDir(), "agent.tar.gz")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	sum := "AZP_AGENT_SHA256=" + strings.Repeat("a", 64)
	for name, tt := range map[string]struct {
		environ []string
		problem string // "" for none
	}{
		"an organisation":              {[]string{"AZP_URL=https://dev.azure.com/org", "AZP_TOKEN=x"}, ""},
		"one, and a version":           {[]string{"AZP_URL=https://dev.azure.com/org", "AZP_TOKEN=x", "AZP_AGENT_VERSION=5.282.3"}, ""},
		"no organisation":              {[]string{"AZP_AGENT_VERSION=5.282.3", sum}, ""},
		"none, and no version":         {[]string{sum}, "AZP_AGENT_VERSION"},
		"none, and no sum":             {[]string{"AZP_AGENT_VERSION=5.282.3"}, "AZP_AGENT_SHA256"},
		"nothing at all":               {nil, "AZP_URL"},
		"a file":                       {[]string{"AZP_AGENT_FILE=" + file}, ""},
		"a file that is not there":     {[]string{"AZP_AGENT_FILE=/nowhere/a.tar.gz"}, "AZP_AGENT_FILE"},
		"an identity is not looked at": {[]string{"AZP_AGENT_FILE=" + file, "AZP_AUTH=pat"}, ""},
		"unless there is whom to ask":  {[]string{"AZP_URL=https://dev.azure.com/org", "AZP_AUTH=pat"}, "AZP_AUTH"},
		"a relative folder":            {[]string{"AZP_AGENT_FILE=" + file, "AZP_AGENT_DIR=azp"}, "AZP_AGENT_DIR"},
	} {
		t.Run(name, func(t *testing.T) {
			flags := pflag.NewFlagSet("install", pflag.ContinueOnError)
			config.AddInstallFlags(flags)
			s, err := config.LoadInstall(flags, tt.environ)
			if tt.problem == "" {
				if err != nil || s.AgentDir != "/azp" || s.Package.Kind != install.Full {
					t.Errorf("settings are %+v, %v", s, err)
				}
				return
			}
			if p := problems(t, err); len(p) != 1 || !strings.Contains(p[0].What, tt.problem) {
				t.Errorf("problems are %+v, want one of %s", p, tt.problem)
			}
		})
	}
}

// TestInstallAtStart: run with AZP_INSTALL has the same checks.
func TestInstallAtStart(t *testing.T) {
	if _, err := load(t, least("AZP_INSTALL=1")); err != nil {
		t.Error(err)
	}
	_, err := load(t, least("AZP_INSTALL=1", "AZP_AGENT_FILE=/nowhere/a.tar.gz"))
	if p := problems(t, err); len(p) != 1 || !strings.Contains(p[0].What, "AZP_AGENT_FILE") {
		t.Errorf("problems are %+v", p)
	}
}
