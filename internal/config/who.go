package config

import (
	"fmt"
	"slices"

	"github.com/spf13/pflag"
)

// whoRows are the settings that say who azptend is and how it gets to Azure,
// without an agent's.
func whoRows() []Row {
	names := []string{
		"AZP_URL", "AZP_TOKEN", "AZP_TOKEN_FILE", "MANAGED_IDENTITY_OBJECT_ID", "USRMI_ID", "AZP_IDENTITY_RESOURCE_ID",
		"AZP_CLIENTID", "AZP_CLIENTSECRET", "AZP_CLIENTCERTIFICATE", "AZP_TENANTID", "AZP_AUTH",
		"AZP_PROXY", "AZP_CA_FILE", "AZP_LOG_FORMAT", "AZP_LOG_LEVEL",
	}
	return slices.DeleteFunc(Table(), func(r Row) bool { return !slices.Contains(names, r.Env) })
}

// AddIdentityFlags defines the flags that LoadIdentity reads.
func AddIdentityFlags(flags *pflag.FlagSet) { addFlags(flags, whoRows()) }

// LoadIdentity is Load for commands that have an identity and no agent: AZP_URL
// may be left out, and the Azure CLI's login will do. The error is an
// *InvalidError.
func LoadIdentity(flags *pflag.FlagSet, environ []string) (Settings, error) {
	env := byName(environ)
	s := Settings{Environ: environ}
	problems := s.read(whoRows(), flags, env)
	bad := func(hint, format string, args ...any) {
		problems = append(problems, Problem{What: fmt.Sprintf(format, args...), Hint: hint})
	}
	if s.URL != "" {
		s.validateURL(bad)
	}
	s.validateIdentity(env, bad)
	s.readCA(bad)
	if len(problems) > 0 {
		return Settings{}, &InvalidError{problems}
	}
	s.Warnings = s.warnings(env)
	return s, nil
}
