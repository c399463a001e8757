package config

import (
	"github.com/spf13/pflag"
)

var installGroups = []Group{Connection, Install, "AZP_AGENT_DIR"}

// AddInstallFlags defines the flags that LoadInstall reads. --file is short for
// --agent-file.
func AddInstallFlags(flags *pflag.FlagSet) {
	flags.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "file" {
			name = "agent-file"
		}
		return pflag.NormalizedName(name)
	})
	AddFlags(flags, installGroups...)
}

// LoadInstall is Load for a command that installs the agent and runs none. AZP_URL is
// optional, and without it no identity is needed. The error is an *InvalidError.
func LoadInstall(flags *pflag.FlagSet, environ []string) (Settings, error) {
	env := environMap(environ)
	s := Settings{Environ: environ}
	var bad problems
	s.read(installGroups, flags, env, &bad)
	if s.URL != "" {
		s.validateURL(&bad)
		s.validateIdentity(env, &bad)
	}
	s.validateDirs(&bad)
	s.loadCA(&bad)
	s.validateInstall(&bad)
	s.addWarnings(env)
	return s, bad.err(s)
}

// validateInstall checks that the package and its checksum are known.
func (s *Settings) validateInstall(bad *problems) {
	if s.AgentFile != "" {
		if err := checkReadable(s.AgentFile); err != nil {
			bad.add("", "AZP_AGENT_FILE (--agent-file) is %q, which cannot be read: %v", s.AgentFile, err)
		}
		return
	}
	if s.URL == "" && (s.Package.Version == "" || s.Package.SHA256 == "") {
		bad.add("set AZP_URL (--url) and an identity, and the organisation names both; or set both; or set AZP_AGENT_FILE (--agent-file)",
			"AZP_AGENT_VERSION (--agent-version) and AZP_AGENT_SHA256 (--agent-sha256) must both be set without AZP_URL (--url)")
	}
}
