package config

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/spf13/pflag"
)

// placeSettings are the settings by which a probe, a preStop hook and a person find the
// azptend of an agent: its root, and whether its jobs are another user's (package
// control has the rule). A person who leaves out the last finds it all the same.
func placeSettings() []string { return []string{"AZP_AGENT_DIR", "AZP_AGENT_ROOT", "AZP_RUN_AS"} }

// AddPlaceFlags defines the flags of the settings that LoadPlace reads.
func AddPlaceFlags(flags *pflag.FlagSet) {
	for _, row := range Table() {
		if slices.Contains(placeSettings(), row.Env) {
			row.addFlag(flags)
		}
	}
}

// LoadPlace reads what says where an agent lives, and nothing else: with the
// settings of its `run` it finds the same place. The error is an *InvalidError.
func LoadPlace(flags *pflag.FlagSet, environ []string) (Settings, error) {
	env := environMap(environ)
	var s Settings
	var problems []Problem
	for _, row := range Table() {
		if !slices.Contains(placeSettings(), row.Env) {
			continue
		}
		value, from := row.lookup(flags, env)
		if value == "" {
			continue
		}
		if err := row.set(&s, value); err != nil {
			problems = append(problems, Problem{What: fmt.Sprintf("%s %v", from, err), Hint: row.Hint})
		}
	}
	s.validatePlace(func(hint, format string, args ...any) {
		problems = append(problems, Problem{What: fmt.Sprintf(format, args...), Hint: hint})
	})
	if len(problems) > 0 {
		return Settings{}, &InvalidError{Problems: problems}
	}
	return s, nil
}

func (s *Settings) validatePlace(bad func(hint, format string, args ...any)) {
	if s.AgentDir != "" && !filepath.IsAbs(s.AgentDir) {
		bad("", "AZP_AGENT_DIR (--agent-dir) is %q, which is not an absolute path", s.AgentDir)
	}
	if s.AgentRoot != "" && !filepath.IsAbs(s.AgentRoot) {
		bad("", "AZP_AGENT_ROOT (--agent-root) is %q, which is not an absolute path", s.AgentRoot)
	}
}
