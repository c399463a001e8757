package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/secret"
	"github.com/azptend/azptend/internal/text"
)

// Setting is one setting.
type Setting struct {
	Env        string
	Flag       string // "" for what must not be on a command line: argv is public
	Default    string
	Help       string // one sentence, no period
	Hint       string // what to do about a bad value
	Bool       bool   // a bare flag means true
	Repeatable bool   // the flag may be repeated
	Group      Group  // which commands it matters to

	// A setting that is a length of time has these in place of set. Most bounds every
	// one of them, so that no sum of two settings and a clock overflows.
	duration func(*Settings) *time.Duration
	Min, Max time.Duration

	set func(*Settings, string) error
}

// Group is what a setting is about. A command takes the groups it has a use for.
type Group string

// The groups.
const (
	Connection Group = "connection" // the organisation, the identity, the log
	AgentPool  Group = "pool"
	Agent      Group = "agent"   // what a registration is called and can do
	Naming     Group = "naming"  // how an agent that is to run comes to its name, and to its work folder
	Running    Group = "life"    // of an agent that runs
	Install    Group = "install" // which agent package is installed
	Keeper     Group = "keep"    // of the pool's keeper
)

// Table lists the settings in the order a reader wants them.
func Table() []Setting {
	return []Setting{
		{Env: "AZP_URL", Group: Connection, Flag: "url", Help: "the organisation's or collection's address",
			Hint: "it looks like https://dev.azure.com/your-organisation",
			set:  func(s *Settings, v string) error { s.URL = strings.TrimRight(v, "/"); return nil }},
		{Env: "AZP_POOL", Group: AgentPool, Flag: "pool", Default: "Default", Help: "the agent pool's name",
			set: func(s *Settings, v string) error { s.Pool = v; return nil }},
		{Env: "AZP_POOL_ID", Group: AgentPool, Flag: "pool-id", Help: "the agent pool's id, in place of a look-up by name",
			Hint: "the number in the pool's address in the portal, …/_settings/agentpools?poolId=…",
			set:  func(s *Settings, v string) error { return setPositive(&s.PoolID, v) }},
		{Env: "AZP_AGENT_NAME", Group: Agent, Flag: "agent-name", Help: "the agent's name; the host's if not set",
			set: func(s *Settings, v string) error { s.AgentName = v; return nil }},
		{Env: "AZP_AGENT_NAME_PREFIX", Group: Naming, Flag: "agent-name-prefix", Help: "in place of a name: the name's beginning, to which a random suffix is added",
			set: func(s *Settings, v string) error { s.NamePrefix = v; return nil }},
		// Before the rest of its group, which does not matter to a placeholder.
		{Env: "AZP_PLACEHOLDER", Group: Running, Flag: "placeholder", Default: "false", Bool: true,
			Help: "only see to it that the pool has a placeholder of this name; any value but 0, false and no means true",
			set:  func(s *Settings, v string) error { s.Placeholder = isNotFalse(v); return nil }},
		{Env: "AZP_NAME_WAIT", Group: Naming, Flag: "name-wait", Default: "6m", Help: "how long to wait while another agent of this name is online, or another container uses the agent folder",
			Hint: durationHint, duration: func(s *Settings) *time.Duration { return &s.NameWait }, Max: maxWait},
		{Env: "AZP_REPLACE_AGENT_FILES", Group: Naming, Flag: "replace-agent-files", Default: "false", Bool: true,
			Help: "replace the files of an agent that azptend has not registered; they are moved to .azptend-replaced-TIME in the agent folder",
			Hint: boolHint, set: func(s *Settings, v string) error { return setBool(&s.ReplaceFiles, v) }},
		{Env: "AZP_WORK", Group: Naming, Flag: "work", Default: "_work", Help: "the agent's work folder",
			set: func(s *Settings, v string) error { s.WorkFolder = v; return nil }},
		{Env: "AZP_TOKEN", Group: Connection, Help: "a personal access token",
			set: func(s *Settings, v string) error { s.Token = secret.New(v); return nil }},
		{Env: "AZP_TOKEN_FILE", Group: Connection, Flag: "token-file", Help: "a file that holds a token, read again at each use",
			set: func(s *Settings, v string) error { s.TokenFile = v; return nil }},
		{Env: "MANAGED_IDENTITY_OBJECT_ID", Group: Connection, Flag: "identity-object-id", Help: "the managed identity to use, by its object (principal) id",
			set: func(s *Settings, v string) error { s.ObjectID = v; return nil }},
		{Env: "USRMI_ID", Group: Connection, Flag: "identity-client-id", Help: "the managed identity to use, by its client id",
			set: func(s *Settings, v string) error { s.IdentityClientID = v; return nil }},
		{Env: "AZP_IDENTITY_RESOURCE_ID", Group: Connection, Flag: "identity-resource-id", Help: "the managed identity to use, by its Azure resource id",
			set: func(s *Settings, v string) error { s.ResourceID = v; return nil }},
		{Env: "AZP_CLIENTID", Group: Connection, Flag: "client-id", Help: "a service principal's client id",
			set: func(s *Settings, v string) error { s.ClientID = v; return nil }},
		{Env: "AZP_CLIENTSECRET", Group: Connection, Help: "the service principal's secret",
			set: func(s *Settings, v string) error { s.ClientSecret = secret.New(v); return nil }},
		{Env: "AZP_CLIENTCERTIFICATE", Group: Connection, Flag: "client-certificate", Help: "a file with the service principal's certificate and key (PEM), in place of a secret",
			set: func(s *Settings, v string) error { s.ClientCertificate = v; return nil }},
		{Env: "AZP_TENANTID", Group: Connection, Flag: "tenant-id", Help: "the service principal's tenant",
			set: func(s *Settings, v string) error { s.TenantID = v; return nil }},
		{Env: "AZP_AUTH", Group: Connection, Flag: "auth", Default: "auto", Help: "which kind of identity to use: auto, managed-identity, workload-identity, service-principal, pat",
			Hint: "auto, managed-identity, workload-identity, service-principal or pat; azure-cli for other commands than run", set: setAuth},
		{Env: "AZP_AGENT_DIR", Group: Running, Flag: "agent-dir", Default: "/azp", Help: "the agent's folder: bin/Agent.Listener is in it",
			set: func(s *Settings, v string) error { s.AgentDir = v; return nil }},
		{Env: "AZP_AGENT_ROOT", Group: Running, Flag: "agent-root", Help: "where the agent lives and writes, made from the agent's folder, which may be read-only; the agent's folder itself if not set",
			set: func(s *Settings, v string) error { s.AgentRoot = filepath.Clean(v); return nil }},
		{Env: "AZP_AGENTS", Group: Running, Flag: "agents", Default: "1", Help: "how many agents to run, each with a root of its own below the agent root",
			Hint: "a number", set: func(s *Settings, v string) error { return setPositive(&s.Agents, v) }},
		{Env: "AZP_INSTALL", Group: Running, Flag: "install", Default: "false", Bool: true,
			Help: "at the start, install the agent package into the agent's folder if no agent is there",
			Hint: boolHint, set: func(s *Settings, v string) error { return setBool(&s.Install, v) }},
		{Env: "AZP_AGENT_VERSION", Group: Install, Flag: "agent-version", Help: "the version to install; the newest that the organisation offers if not set",
			Hint: "it looks like 5.282.3", set: setAgentVersion},
		{Env: "AZP_AGENT_PACKAGE", Group: Install, Flag: "agent-package", Default: "agent", Help: "what to install: agent, or pipelines-agent, which lacks the Node versions that are out of support",
			Hint: "agent or pipelines-agent", set: setAgentPackage},
		{Env: "AZP_AGENT_PLATFORM", Group: Install, Flag: "agent-platform", Help: "the platform to install for, as linux-x64 or linux-musl-arm64; this machine's if not set",
			Hint: "linux-x64, linux-arm64, linux-musl-x64, linux-musl-arm64, osx-x64 or osx-arm64", set: setAgentPlatform},
		{Env: "AZP_AGENT_FILE", Group: Install, Flag: "agent-file", Help: "a package's archive (.tar.gz) to install in place of a download",
			set: func(s *Settings, v string) error { s.AgentFile = v; return nil }},
		{Env: "AZP_AGENT_SHA256", Group: Install, Flag: "agent-sha256", Help: "the archive's SHA-256, where it is not the organisation that says it",
			Hint: "64 hexadecimal digits, as sha256sum prints them", set: setAgentSHA256},
		{Env: "AZP_REGISTERED", Group: Running, Flag: "registered", Help: "run the agent whose files azptend register has written into this folder, with no identity",
			set: func(s *Settings, v string) error { s.Registered = v; return nil }},
		{Env: "AZP_ONCE", Group: Running, Flag: "once", Default: "false", Bool: true, Help: "take one job, then leave",
			Hint: boolHint, set: func(s *Settings, v string) error { return setBool(&s.Once, v) }},
		{Env: "AZP_PLATFORM", Group: Running, Flag: "platform", Help: "the platform this runs on, where it is not found or not rightly",
			Hint: strings.Join(platforms(), ", "), set: setPlatform},
		{Env: "AZP_GRACE_PERIOD", Group: Running, Flag: "grace-period", Help: "the time from the platform's SIGTERM to its SIGKILL; the platform's own if not set, else 30s",
			Hint: durationHint, duration: func(s *Settings) *time.Duration { return &s.GracePeriod }, Min: minGracePeriod, Max: maxWait},
		{Env: "AZP_STRICT_REMOVE", Group: Running, Flag: "strict-remove", Default: "false", Bool: true, Help: "exit 75 if the agent could not be removed",
			Hint: boolHint, set: func(s *Settings, v string) error { return setBool(&s.StrictRemove, v) }},
		{Env: "AZP_ON_TERM", Group: Running, Flag: "on-term", Default: "drain", Help: "what SIGTERM does to a running job: drain finishes it, cancel cancels it",
			Hint: "drain or cancel", set: setOnTerm},
		{Env: "AZP_APPROVE_EVENTS", Group: Running, Flag: "approve-events", Default: "false", Bool: true,
			Help: "once the agent has drained for a scheduled event of its machine, tell Azure to go ahead with that; only under systemd",
			Hint: boolHint, set: func(s *Settings, v string) error { return setBool(&s.ApproveEvents, v) }},
		{Env: "AZP_IDLE_TIMEOUT", Group: Running, Flag: "idle-timeout", Help: "leave when no job came for this long; 0 is never, and so is not set, but for 5m with --once on Container Apps jobs",
			Hint: durationHint, duration: func(s *Settings) *time.Duration { return &s.IdleTimeout }, Max: maxRun},
		{Env: "AZP_MAX_LIFETIME", Group: Running, Flag: "max-lifetime", Default: "0", Help: "accept no job after this time, and leave; 0 is never",
			Hint: durationHint, duration: func(s *Settings) *time.Duration { return &s.MaxLifetime }, Max: maxRun},
		{Env: "AZP_MAX_JOBS", Group: Running, Flag: "max-jobs", Default: "0", Help: "accept no job after this many, and leave; 0 is never",
			Hint: "a number", set: func(s *Settings, v string) error { return setCount(&s.MaxJobs, v) }},
		{Env: "AZP_REPLICA_TIMEOUT", Group: Running, Flag: "replica-timeout", Help: "after how long the platform ends the container, whatever runs in it: a Container Apps job's replica timeout, or a Kubernetes Job's activeDeadlineSeconds (the Helm chart sets it)",
			Hint: durationHint, duration: func(s *Settings) *time.Duration { return &s.ReplicaTimeout }, Max: maxRun},
		{Env: "AZP_JOB_MAX", Group: Running, Flag: "job-max", Help: "how long a job may take; half of the replica timeout if not set",
			Hint: durationHint, duration: func(s *Settings) *time.Duration { return &s.JobMax }, Max: maxRun},
		{Env: "AZP_UPDATE", Group: Running, Flag: "update", Default: "auto", Help: "whether the agent may update itself when the server asks: auto or never",
			Hint: "auto or never", set: setUpdate},
		{Env: "AZP_CAPABILITIES", Group: Agent, Flag: "capability", Repeatable: true, Help: "user capabilities, for a pipeline's demands: name=value, several separated by commas",
			Hint: "it looks like docker=true,gpu=a100", set: setCapabilities},
		{Env: "AZP_RUN_AS", Group: Running, Flag: "run-as", Help: "the user that the agent and its jobs run as, without privileges: user or user:group, by name or number; only root can",
			set: func(s *Settings, v string) error { s.RunAs = v; return nil }},
		{Env: "AZP_PASS_ENV", Group: Running, Flag: "pass-env", Repeatable: true, Help: "variables that jobs may see although azptend would withhold them, separated by commas",
			set: func(s *Settings, v string) error { s.PassEnv = append(s.PassEnv, splitList(v)...); return nil }},
		{Env: "AZP_PROXY", Group: Connection, Flag: "proxy", Help: "the proxy to Azure DevOps and Entra ID, for azptend and the agent; never to an identity endpoint",
			set: func(s *Settings, v string) error { s.ProxyURL = secret.New(v); return nil }},
		{Env: "AZP_CA_FILE", Group: Connection, Flag: "ca-file", Help: "a file with the certificates (PEM) of further authorities to trust, for azptend and the agent",
			set: func(s *Settings, v string) error { s.CAFile = v; return nil }},
		{Env: "AZP_HEALTH_ADDR", Group: Running, Flag: "health-addr", Help: "the address of /healthz, /readyz, /status and /metrics; off is none, and so is not set",
			Hint: "it looks like :8080, or 127.0.0.1:8080 for this machine alone", set: func(s *Settings, v string) error { return setListen(&s.HealthAddr, v) }},
		{Env: "AZP_LOG_FORMAT", Group: Connection, Flag: "log-format", Default: "text", Help: "text or json",
			Hint: "text or json", set: setLogFormat},
		{Env: "AZP_LOG_LEVEL", Group: Connection, Flag: "log-level", Default: "info", Help: "debug, info, warn or error",
			Hint: "debug, info, warn or error", set: setLogLevel},
		{Env: "AZP_KEEP_INTERVAL", Group: Keeper, Flag: "interval", Default: "30s", Help: "how often the keeper looks at a pool, at most",
			Hint: durationHint, duration: func(s *Settings) *time.Duration { return &s.KeepInterval }, Min: minKeepInterval, Max: text.Day},
		{Env: "AZP_KEEP_PRUNE", Group: Keeper, Flag: "prune", Default: "true", Bool: true, Help: "whether the keeper removes ghosts; false only shows them",
			Hint: boolHint, set: func(s *Settings, v string) error { return setBool(&s.KeepPrune, v) }},
		{Env: "AZP_KEEP_OLDER_THAN", Group: Keeper, Flag: "older-than", Default: "15m", Help: "how long an agent must have been offline to be a ghost; at least 15m",
			Hint: durationHint, duration: func(s *Settings) *time.Duration { return &s.KeepOlderThan }, Max: maxRun},
		{Env: "AZP_KEEP_ANY_OWNER", Group: Keeper, Flag: "any-owner", Default: "false", Bool: true, Help: "whether agents that azptend did not register can be ghosts too",
			Hint: boolHint, set: func(s *Settings, v string) error { return setBool(&s.KeepAnyOwner, v) }},
		{Env: "AZP_KEEP_MATCH", Group: Keeper, Flag: "match", Help: "the names that ghosts must have: * stands for any characters, ? for one",
			set: func(s *Settings, v string) error { s.KeepMatch = v; return nil }},
		{Env: "AZP_KEEP_PLACEHOLDER", Group: Keeper, Flag: "keep-placeholder", Default: "true", Bool: true, Help: "whether the keeper sees to it that the pool has a placeholder",
			Hint: boolHint, set: func(s *Settings, v string) error { return setBool(&s.KeepPlaceholder, v) }},
		{Env: "AZP_KEEP_LISTEN", Group: Keeper, Flag: "listen", Default: "127.0.0.1:8141", Help: "the address of the keeper's page, metrics and health; off is none",
			Hint: "it looks like 127.0.0.1:8141, or :8141 for the whole network, with AZP_KEEP_TOKEN", set: func(s *Settings, v string) error { return setListen(&s.KeepListen, v) }},
		{Env: "AZP_KEEP_TOKEN", Group: Keeper, Help: "what the page and metrics ask for; needed where the address is not a loopback one",
			set: func(s *Settings, v string) error { s.KeepToken = secret.New(v); return nil }},
		{Env: "AZP_KEEP_TOKEN_FILE", Group: Keeper, Flag: "keep-token-file", Help: "a file that holds AZP_KEEP_TOKEN, read at the start",
			set: func(s *Settings, v string) error { s.KeepTokenFile = v; return nil }},
	}
}

const (
	durationHint = "a number of seconds, or a time like 90s, 10m, 1h30m, 3d"
	boolHint     = "true or false"
)

func setPositive(to *int, v string) error {
	n, err := strconv.Atoi(v)
	if err != nil || n <= 0 {
		return fmt.Errorf("is %q, which is not a positive number", v)
	}
	*to = n
	return nil
}

// The bounds of settings that are lengths of time: what one may wait for, and how
// long an agent may run or stay offline.
const (
	maxWait = 30 * text.Day
	maxRun  = 365 * text.Day
)

// setDuration reads a length of time between least and most.
func setDuration(to *time.Duration, v string, least, most time.Duration) error {
	d, err := text.ParseDuration(v)
	switch {
	case errors.Is(err, text.ErrTooLong) || d > most:
		return fmt.Errorf("is %q, which is too long: at most %s", v, text.Count(int(most/text.Day), "day"))
	case err != nil:
		return fmt.Errorf("is %q, which %w", v, err)
	case d < least:
		return fmt.Errorf("is %q, which is shorter than %v", v, least)
	}
	*to = d
	return nil
}

// DurationValue is the value of a flag that means the same as a setting, with the same
// bounds.
type DurationValue struct {
	target  *time.Duration
	setting Setting
}

// DurationFlag makes a flag's value like the setting env, which is a length of time.
func DurationFlag(env string, to *time.Duration) *DurationValue {
	rows := Table()
	return &DurationValue{to, rows[slices.IndexFunc(rows, func(r Setting) bool { return r.Env == env && r.duration != nil })]}
}

// String is the length as Go writes it.
func (l *DurationValue) String() string {
	if l.target == nil { // pflag compares with the zero value
		return ""
	}
	return l.target.String()
}

// Set reads one.
func (l *DurationValue) Set(v string) error {
	if err := setDuration(l.target, v, l.setting.Min, l.setting.Max); err != nil {
		return fmt.Errorf("it %w; use %s", err, l.setting.Hint)
	}
	return nil
}

// Type is what a flag's help calls it.
func (l *DurationValue) Type() string { return "duration" }

// setCount is setPositive with 0 for none.
func setCount(to *int, v string) error {
	if v == "0" {
		*to = 0
		return nil
	}
	return setPositive(to, v)
}

func setOnTerm(s *Settings, v string) error {
	switch strings.ToLower(v) {
	case "drain":
		s.CancelOnTerm = false
	case "cancel":
		s.CancelOnTerm = true
	default:
		return fmt.Errorf("is %q", v)
	}
	return nil
}

func setUpdate(s *Settings, v string) error {
	switch strings.ToLower(v) {
	case "auto":
		s.NoUpdate = false
	case "never":
		s.NoUpdate = true
	default:
		return fmt.Errorf("is %q", v)
	}
	return nil
}

// minGracePeriod leaves time for one request to remove the agent.
const minGracePeriod = time.Second

func setBool(to *bool, v string) error {
	is, ok := parseBool(v)
	if !ok {
		return fmt.Errorf("is %q, which is neither true nor false", v)
	}
	*to = is
	return nil
}

// parseBool reads the ways people write yes and no.
func parseBool(v string) (is, ok bool) {
	switch strings.ToLower(strings.TrimSpace(v)) {
	case "true", "1", "yes", "on":
		return true, true
	case "false", "0", "no", "off", "":
		return false, true
	}
	return false, false
}

// splitList splits at commas and line ends, and leaves out what is empty.
func splitList(v string) []string {
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
	for _, item := range splitList(v) {
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

// isNotFalse reads a switch as Microsoft's Container Apps tutorial has it: set to
// anything that does not say no (agent-protocol.md 9). Running an agent would be
// the opposite of what it asks for.
func isNotFalse(v string) bool {
	is, ok := parseBool(v)
	return is || !ok
}

// platforms are package platform's names. Leaves do not know each other; a test of
// cli holds the two against each other.
func platforms() []string {
	return []string{
		"container-apps", "container-apps-job", "container-instances", "kubernetes", "app-service",
		"docker", "container", "systemd", "none",
	}
}

func setPlatform(s *Settings, v string) error {
	word := strings.ToLower(v)
	if !slices.Contains(platforms(), word) {
		return fmt.Errorf("is %q", v)
	}
	s.Platform = word
	return nil
}

var errNotSet = errors.New("is not set")
