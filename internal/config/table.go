package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/secret"
)

// Row is one setting.
type Row struct {
	Env     string
	Flag    string // "" for what must not be on a command line: argv is public
	Default string
	Help    string // one sentence, no period
	Hint    string // what to do about a bad value
	Switch  bool   // a bare flag means true
	Many    bool   // the flag may be repeated

	set func(*Settings, string) error
}

// Table lists the settings in the order a reader wants them.
func Table() []Row {
	return []Row{
		{Env: "AZP_URL", Flag: "url", Help: "the organisation's or collection's address",
			Hint: "it looks like https://dev.azure.com/your-organisation",
			set:  func(s *Settings, v string) error { s.URL = strings.TrimRight(v, "/"); return nil }},
		{Env: "AZP_POOL", Flag: "pool", Default: "Default", Help: "the agent pool's name",
			set: func(s *Settings, v string) error { s.Pool = v; return nil }},
		{Env: "AZP_POOL_ID", Flag: "pool-id", Help: "the agent pool's id, in place of a look-up by name",
			Hint: "the number in the pool's address in the portal, …/_settings/agentpools?poolId=…",
			set:  func(s *Settings, v string) error { return setPositive(&s.PoolID, v) }},
		{Env: "AZP_AGENT_NAME", Flag: "agent-name", Help: "the agent's name; the host's if not set",
			set: func(s *Settings, v string) error { s.AgentName = v; return nil }},
		{Env: "AZP_NAME_WAIT", Flag: "name-wait", Default: "6m", Help: "how long to wait while another agent of this name is online",
			Hint: durationHint, set: func(s *Settings, v string) error { return setDuration(&s.NameWait, v) }},
		{Env: "AZP_WORK", Flag: "work", Default: "_work", Help: "the agent's work folder",
			set: func(s *Settings, v string) error { s.WorkFolder = v; return nil }},
		{Env: "AZP_TOKEN", Help: "a personal access token",
			set: func(s *Settings, v string) error { s.Token = secret.New(v); return nil }},
		{Env: "AZP_TOKEN_FILE", Flag: "token-file", Help: "a file that holds a token, read again at each use",
			set: func(s *Settings, v string) error { s.TokenFile = v; return nil }},
		{Env: "MANAGED_IDENTITY_OBJECT_ID", Flag: "identity-object-id", Help: "the managed identity to use, by its object (principal) id",
			set: func(s *Settings, v string) error { s.ObjectID = v; return nil }},
		{Env: "USRMI_ID", Flag: "identity-client-id", Help: "the managed identity to use, by its client id",
			set: func(s *Settings, v string) error { s.IdentityClientID = v; return nil }},
		{Env: "AZP_IDENTITY_RESOURCE_ID", Flag: "identity-resource-id", Help: "the managed identity to use, by its Azure resource id",
			set: func(s *Settings, v string) error { s.ResourceID = v; return nil }},
		{Env: "AZP_CLIENTID", Flag: "client-id", Help: "a service principal's client id",
			set: func(s *Settings, v string) error { s.ClientID = v; return nil }},
		{Env: "AZP_CLIENTSECRET", Help: "the service principal's secret",
			set: func(s *Settings, v string) error { s.ClientSecret = secret.New(v); return nil }},
		{Env: "AZP_CLIENTCERTIFICATE", Flag: "client-certificate", Help: "a file with the service principal's certificate and key (PEM), in place of a secret",
			set: func(s *Settings, v string) error { s.ClientCertificate = v; return nil }},
		{Env: "AZP_TENANTID", Flag: "tenant-id", Help: "the service principal's tenant",
			set: func(s *Settings, v string) error { s.TenantID = v; return nil }},
		{Env: "AZP_AUTH", Flag: "auth", Default: "auto", Help: "which kind of identity to use: auto, managed-identity, workload-identity, service-principal, pat",
			Hint: "auto, managed-identity, workload-identity, service-principal or pat; azure-cli for other commands than run", set: setAuth},
		{Env: "AZP_AGENT_DIR", Flag: "agent-dir", Default: "/azp", Help: "the agent's folder: bin/Agent.Listener is in it",
			set: func(s *Settings, v string) error { s.AgentDir = v; return nil }},
		{Env: "AZP_ONCE", Flag: "once", Default: "false", Switch: true, Help: "take one job, then leave",
			Hint: switchHint, set: func(s *Settings, v string) error { return setSwitch(&s.Once, v) }},
		{Env: "AZP_GRACE_PERIOD", Flag: "grace-period", Default: "30s", Help: "the time from the platform's SIGTERM to its SIGKILL",
			Hint: durationHint, set: setGrace},
		{Env: "AZP_STRICT_REMOVE", Flag: "strict-remove", Default: "false", Switch: true, Help: "exit 75 if the agent could not be removed",
			Hint: switchHint, set: func(s *Settings, v string) error { return setSwitch(&s.StrictRemove, v) }},
		{Env: "AZP_CAPABILITIES", Flag: "capability", Many: true, Help: "user capabilities, for a pipeline's demands: name=value, several separated by commas",
			Hint: "it looks like docker=true,gpu=a100", set: setCapabilities},
		{Env: "AZP_PASS_ENV", Flag: "pass-env", Many: true, Help: "variables that jobs may see although azptend would withhold them, separated by commas",
			set: func(s *Settings, v string) error { s.PassEnv = append(s.PassEnv, list(v)...); return nil }},
		{Env: "AZP_PROXY", Flag: "proxy", Help: "the proxy to Azure DevOps and Entra ID, for azptend and the agent; never to an identity endpoint",
			Hint: "it looks like http://proxy:3128; with a user and a password use the variable, for a command line is public", set: setProxy},
		{Env: "AZP_CA_FILE", Flag: "ca-file", Help: "a file with the certificates (PEM) of further authorities to trust, for azptend and the agent",
			set: func(s *Settings, v string) error { s.CAFile = v; return nil }},
		{Env: "AZP_LOG_FORMAT", Flag: "log-format", Default: "text", Help: "text or json",
			Hint: "text or json", set: setLogFormat},
		{Env: "AZP_LOG_LEVEL", Flag: "log-level", Default: "info", Help: "debug, info, warn or error",
			Hint: "debug, info, warn or error", set: setLogLevel},
	}
}

const (
	durationHint = "a number of seconds, or a time like 90s, 10m, 1h30m"
	switchHint   = "true or false"
)

func setPositive(to *int, v string) error {
	n, err := strconv.Atoi(v)
	if err != nil || n <= 0 {
		return fmt.Errorf("is %q, which is not a positive number", v)
	}
	*to = n
	return nil
}

func setDuration(to *time.Duration, v string) error {
	text := v
	if n, err := strconv.Atoi(v); err == nil {
		text = strconv.Itoa(n) + "s" // platforms write grace periods as plain seconds
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return fmt.Errorf("is %q, which is not a length of time", v)
	}
	*to = d
	return nil
}

// shortestGrace leaves time for one request to remove the agent.
const shortestGrace = time.Second

func setGrace(s *Settings, v string) error {
	if err := setDuration(&s.Grace, v); err != nil {
		return err
	}
	if s.Grace < shortestGrace {
		return fmt.Errorf("is %q, which is shorter than %v", v, shortestGrace)
	}
	return nil
}

func setSwitch(to *bool, v string) error {
	is, ok := truth(v)
	if !ok {
		return fmt.Errorf("is %q, which is neither true nor false", v)
	}
	*to = is
	return nil
}

// truth reads the ways people write yes and no.
func truth(v string) (is, ok bool) {
	switch strings.ToLower(strings.TrimSpace(v)) {
	case "true", "1", "yes", "on":
		return true, true
	case "false", "0", "no", "off", "":
		return false, true
	}
	return false, false
}

// list splits at commas and line ends, and leaves out what is empty.
func list(v string) []string {
	var items []string
	for _, item := range strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == '\n' }) {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

func setCapabilities(s *Settings, v string) error {
	s.Capabilities = map[string]string{}
	for _, item := range list(v) {
		name, value, found := strings.Cut(item, "=")
		name = strings.TrimSpace(name)
		switch {
		case !found || name == "":
			return fmt.Errorf("holds %q, which is not name=value", item)
		case strings.HasPrefix(strings.ToLower(name), "azptend."):
			return fmt.Errorf("names %s: names that begin with azptend. are azptend's own", name)
		}
		s.Capabilities[name] = strings.TrimSpace(value)
	}
	return nil
}

func setLogFormat(s *Settings, v string) error {
	format := strings.ToLower(v)
	if format != "text" && format != "json" {
		return fmt.Errorf("is %q", v)
	}
	s.LogFormat = format
	return nil
}

func setLogLevel(s *Settings, v string) error {
	if err := s.LogLevel.UnmarshalText([]byte(v)); err != nil || strings.ContainsAny(v, "+-") {
		return fmt.Errorf("is %q", v)
	}
	return nil
}

// placeholder is a variable of Microsoft's Container Apps tutorial. Running an
// agent where it is set would be the opposite of what it asks for.
const placeholder = "AZP_PLACEHOLDER"

// unsupported finds a setting that this version does not have and that cannot be
// ignored.
func unsupported(env map[string]string) (Problem, bool) {
	is, ok := truth(env[placeholder])
	if ok && !is {
		return Problem{}, false
	}
	return Problem{
		What: placeholder + " is set: this version of azptend cannot make placeholders",
		Hint: "unset it to run an agent",
	}, true
}

var errNotSet = errors.New("is not set")
