package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/pflag"
)

// installDir is the setting that says where an install puts the agent.
const installDir = "AZP_AGENT_DIR"

// installGroups are the groups that matter to an install, with that setting.
func installGroups() []Group { return []Group{Connection, Install} }

// AddInstallFlags defines the flags that LoadInstall reads.
func AddInstallFlags(flags *pflag.FlagSet) {
	flags.SetNormalizeFunc(normalizeInstallFlag)
	AddFlags(flags, installGroups()...)
	for _, row := range Table() {
		if row.Env == installDir {
			row.addFlag(flags)
		}
	}
}

// normalizeInstallFlag lets who installs by hand say --file for --agent-file: the command says
// already what the file is of.
func normalizeInstallFlag(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	if name == "file" {
		name = "agent-file"
	}
	return pflag.NormalizedName(name)
}

// LoadInstall is Load for who installs the agent and runs none: AZP_URL may be
// left out, and then nobody's identity is needed. The error is an *InvalidError.
func LoadInstall(flags *pflag.FlagSet, environ []string) (Settings, error) {
	env := environMap(environ)
	s := Settings{Environ: environ}
	problems := s.read(Table(), installGroups(), flags, env)
	for _, row := range Table() {
		if row.Env == installDir {
			problems = append(problems, s.read([]Setting{row}, nil, flags, env)...)
		}
	}
	bad := func(hint, format string, args ...any) {
		problems = append(problems, Problem{What: fmt.Sprintf(format, args...), Hint: hint})
	}
	if s.URL != "" {
		s.validateURL(bad)
		s.validateIdentity(env, bad)
	}
	s.validatePlace(bad)
	s.loadCA(bad)
	s.validateInstall(bad)
	if len(problems) > 0 {
		return Settings{}, &InvalidError{Problems: problems, LogFormat: s.LogFormat}
	}
	s.Warnings = s.warnings(env)
	return s, nil
}

// validateInstall wants to know what is to be installed, and how it is verified.
func (s *Settings) validateInstall(bad func(hint, format string, args ...any)) {
	if s.AgentFile != "" {
		if err := checkReadable(s.AgentFile); err != nil {
			bad("", "AZP_AGENT_FILE (--agent-file) is %q, which cannot be read: %v", s.AgentFile, err)
		}
		return
	}
	if s.URL == "" && (s.AgentVersion == "" || s.AgentSHA256 == "") {
		bad("set AZP_URL (--url) and an identity, and the organisation says both; or set them; or AZP_AGENT_FILE (--agent-file)",
			"without AZP_URL (--url) nobody says which version to install, and what its SHA-256 is: AZP_AGENT_VERSION (--agent-version) and AZP_AGENT_SHA256 (--agent-sha256) are not both set")
	}
}

var (
	agentVersion  = regexp.MustCompile(`^\d+\.\d+\.\d+$`)
	agentPlatform = regexp.MustCompile(`^(linux|linux-musl|osx)-(x64|arm64|arm)$`)
	sha256Pattern = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

func setAgentVersion(s *Settings, v string) error {
	s.AgentVersion = strings.TrimPrefix(v, "v")
	if !agentVersion.MatchString(s.AgentVersion) {
		return fmt.Errorf("is %q, which is not a version", v)
	}
	return nil
}

func setAgentPackage(s *Settings, v string) error {
	if v != "agent" && v != "pipelines-agent" {
		return fmt.Errorf("is %q", v)
	}
	s.AgentPackage = v
	return nil
}

func setAgentPlatform(s *Settings, v string) error {
	if !agentPlatform.MatchString(v) {
		return fmt.Errorf("is %q, for which there is no agent", v)
	}
	s.AgentPlatform = v
	return nil
}

// setAgentSHA256 takes it as people and servers write it, with capitals or dashes
// (agent-protocol.md 8).
func setAgentSHA256(s *Settings, v string) error {
	s.AgentSHA256 = strings.ToLower(strings.ReplaceAll(v, "-", ""))
	if !sha256Pattern.MatchString(s.AgentSHA256) {
		return errors.New("is no SHA-256")
	}
	return nil
}
