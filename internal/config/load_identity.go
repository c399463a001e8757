package config

import (
	"fmt"

	"github.com/spf13/pflag"
)

// AddIdentityFlags defines the flags that LoadIdentity reads.
func AddIdentityFlags(flags *pflag.FlagSet) { AddFlags(flags, Connection) }

// LoadIdentity is Load for commands that have an identity and no agent: AZP_URL
// may be left out, and the Azure CLI's login will do. The error is an
// *InvalidError.
func LoadIdentity(flags *pflag.FlagSet, environ []string) (Settings, error) {
	env := environMap(environ)
	s := Settings{Environ: environ}
	problems := s.read(Table(), []Group{Connection}, flags, env)
	bad := func(hint, format string, args ...any) {
		problems = append(problems, Problem{What: fmt.Sprintf(format, args...), Hint: hint})
	}
	if s.URL != "" {
		s.validateURL(bad)
	}
	s.validateIdentity(env, bad)
	s.loadCA(bad)
	if len(problems) > 0 {
		return Settings{}, &InvalidError{Problems: problems, LogFormat: s.LogFormat}
	}
	s.Warnings = s.warnings(env)
	return s, nil
}
