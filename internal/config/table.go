package config

import (
	"path/filepath"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/pool"
	"github.com/azptend/azptend/internal/secret"
	"github.com/azptend/azptend/internal/text"
)

// Setting is a row of the table.
type Setting struct {
	Env        string
	Flag       string // "" for a secret: other users can read a command line
	Default    string
	Example    string   // a value that is not the default
	Help       string   // a phrase without a period
	Hint       string   // what to do about a bad value
	Group      Group    // which commands use it
	Repeatable bool     // the flag may be repeated
	Values     []string // the allowed values; nil: any

	// One of these is set, and says where the value goes. If set is set together with Bool,
	// it parses the value.
	Bool     func(*Settings) *bool // a flag without a value means true
	str      func(*Settings) *string
	secret   func(*Settings) *secret.Text
	number   func(*Settings) *int           // positive; also 0, if that is the default
	duration func(*Settings) *time.Duration // between Min and Max
	set      func(*Settings, string) error
	Min, Max time.Duration // Max is small enough that sums of settings and times do not overflow
}

// Group is a group of settings. A command has the groups that it uses, and its help lists the
// flags by group.
type Group string

// The groups.
const (
	Connection Group = "Connection" // a command with it also has Identity and Logging
	Identity   Group = "Identity"
	Logging    Group = "Logging"
	AgentPool  Group = "Pool"
	Agent      Group = "Agent"                  // what a registration contains
	Naming     Group = "Agent name and files"   // of an agent that runs
	Running    Group = "Running the agent"      // a command with it also has Stopping
	Stopping   Group = "When the agent exits"   //
	Install    Group = "Installing the package" //
	Keeper     Group = "Keeper"
)

// The limits of durations.
const (
	maxWait         = 30 * text.Day
	maxRun          = 365 * text.Day
	minGracePeriod  = time.Second     // enough for the request that removes the agent
	minKeepInterval = 5 * time.Second // a keeper must not load the server
)

// Table lists the settings in the order of the docs and the help.
var Table = []Setting{
	{Env: "AZP_URL", Group: Connection, Flag: "url", Example: "https://dev.azure.com/contoso", Help: "URL of the organisation or collection", Hint: urlHint,
		set: func(s *Settings, v string) error { s.URL = strings.TrimRight(v, "/"); return nil }},
	{Env: "AZP_PROXY", Group: Connection, Flag: "proxy", Example: "http://proxy:3128", Help: "proxy to Azure DevOps and Entra ID, for azptend and the agent; never used for identity endpoints",
		secret: func(s *Settings) *secret.Text { return &s.ProxyURL }},
	{Env: "AZP_CA_FILE", Group: Connection, Flag: "ca-file", Example: "/etc/azptend/ca.pem", Help: "file with additional CA certificates (PEM) to trust, for azptend and the agent",
		str: func(s *Settings) *string { return &s.CAFile }},

	{Env: "AZP_POOL", Group: AgentPool, Flag: "pool", Default: "Default", Example: "linux", Help: "name of the agent pool",
		str: func(s *Settings) *string { return &s.Pool }},
	{Env: "AZP_POOL_ID", Group: AgentPool, Flag: "pool-id", Example: "12", Help: "id of the agent pool; replaces the name",
		Hint: "use the number after poolId= in the pool's URL in the portal", number: func(s *Settings) *int { return &s.PoolID }},

	{Env: "AZP_AUTH", Group: Identity, Flag: "auth", Default: "auto", Example: "managed-identity", Help: "kind of identity: auto, managed-identity, workload-identity, service-principal or pat",
		Hint:   "use auto, managed-identity, workload-identity, service-principal or pat; or azure-cli for commands other than run",
		Values: []string{"auto", "managed-identity", "workload-identity", "service-principal", "pat", "azure-cli"}, set: setAuth},
	{Env: "MANAGED_IDENTITY_OBJECT_ID", Group: Identity, Flag: "identity-object-id", Example: "11111111-1111-4111-8111-111111111111", Help: "object (principal) id of the managed identity",
		str: func(s *Settings) *string { return &s.Managed.ObjectID }},
	{Env: "USRMI_ID", Group: Identity, Flag: "identity-client-id", Example: "22222222-2222-4222-8222-222222222222", Help: "client id of the managed identity",
		str: func(s *Settings) *string { return &s.Managed.ClientID }},
	{Env: "AZP_IDENTITY_RESOURCE_ID", Group: Identity, Flag: "identity-resource-id", Example: "/subscriptions/ID/resourceGroups/agents/providers/Microsoft.ManagedIdentity/userAssignedIdentities/agents", Help: "Azure resource id of the managed identity",
		str: func(s *Settings) *string { return &s.Managed.ResourceID }},
	{Env: "AZP_CLIENTID", Group: Identity, Flag: "client-id", Example: "33333333-3333-4333-8333-333333333333", Help: "client id of the service principal",
		str: func(s *Settings) *string { return &s.Application.ClientID }},
	{Env: "AZP_CLIENTSECRET", Group: Identity, Example: "the-secret", Help: "secret of the service principal",
		secret: func(s *Settings) *secret.Text { return &s.Application.Secret }},
	{Env: "AZP_CLIENTCERTIFICATE", Group: Identity, Flag: "client-certificate", Example: "/etc/azptend/client.pem", Help: "file with the certificate and key (PEM) of the service principal, instead of a secret",
		str: func(s *Settings) *string { return &s.Application.CertificateFile }},
	{Env: "AZP_TENANTID", Group: Identity, Flag: "tenant-id", Example: "contoso.onmicrosoft.com", Help: "tenant of the service principal",
		str: func(s *Settings) *string { return &s.Application.TenantID }},
	{Env: "AZP_TOKEN", Group: Identity, Example: "the-token", Help: "personal access token",
		secret: func(s *Settings) *secret.Text { return &s.Token }},
	{Env: "AZP_TOKEN_FILE", Group: Identity, Flag: "token-file", Example: "/run/secrets/azp-token", Help: "file that holds a token; azptend reads it again for each request",
		str: func(s *Settings) *string { return &s.TokenFile }},

	{Env: "AZP_AGENT_NAME", Group: Agent, Flag: "agent-name", Example: "vm-1", Help: "name of the agent (default: the host name)",
		str: func(s *Settings) *string { return &s.AgentName }},
	{Env: "AZP_CAPABILITIES", Group: Agent, Flag: "capability", Repeatable: true, Example: "docker=true,gpu=a100", Help: "user capabilities of the agent: name=value, separated by commas; \\, is a comma in a value",
		Hint: "use name=value, for example docker=true,gpu=a100", set: setCapabilities},
	// Before the other settings of an agent, which are not read for a placeholder.
	{Env: "AZP_PLACEHOLDER", Group: Running, Flag: "placeholder", Default: "false", Example: "true", Help: "create the placeholder agent and exit",
		Bool: func(s *Settings) *bool { return &s.Placeholder }, set: func(s *Settings, v string) error { s.Placeholder = isNotFalse(v); return nil }},
	{Env: "AZP_AGENT_NAME_PREFIX", Group: Naming, Flag: "agent-name-prefix", Example: "linux", Help: "prefix of the agent's name, instead of a name; azptend adds a random suffix",
		str: func(s *Settings) *string { return &s.NamePrefix }},
	{Env: "AZP_GROUP", Group: Naming, Flag: "group", Example: "linux", Help: "group of agents that a keeper counts the agent in (see AZP_KEEP_GROUPS_FILE)",
		Hint: groupNameHint, set: setGroup},
	{Env: "AZP_NAME_WAIT", Group: Naming, Flag: "name-wait", Default: "6m", Example: "90s", Help: "how long to wait while another agent has the name or another container uses the agent directory",
		duration: func(s *Settings) *time.Duration { return &s.NameWait }, Max: maxWait},
	{Env: "AZP_REPLACE_AGENT_FILES", Group: Naming, Flag: "replace-agent-files", Default: "false",
		Example: "true", Help: "replace the files of an agent that azptend did not register; a copy stays in .azptend-replaced-TIME",
		Bool: func(s *Settings) *bool { return &s.ReplaceFiles }},
	{Env: "AZP_WORK", Group: Naming, Flag: "work", Default: "_work", Example: "/work", Help: "work directory of the agent",
		str: func(s *Settings) *string { return &s.WorkFolder }},

	{Env: "AZP_AGENT_DIR", Group: Running, Flag: "agent-dir", Default: "/azp", Example: "/opt/agent", Help: "directory of the agent, with bin/Agent.Listener in it",
		str: func(s *Settings) *string { return &s.AgentDir }},
	{Env: "AZP_AGENT_ROOT", Group: Running, Flag: "agent-root", Example: "/var/lib/agent", Help: "directory in which the agent runs and writes; azptend creates it from the agent directory, which may be read-only (default: the agent directory)",
		set: func(s *Settings, v string) error { s.AgentRoot = filepath.Clean(v); return nil }},
	{Env: "AZP_AGENTS", Group: Running, Flag: "agents", Default: "1", Example: "3", Help: "number of agents to run, each with its own directory below the agent root",
		number: func(s *Settings) *int { return &s.Agents }},
	{Env: "AZP_REGISTERED", Group: Running, Flag: "registered", Example: "/shared/agent", Help: "directory with the files that azptend register wrote; the agent runs without an identity",
		str: func(s *Settings) *string { return &s.Registered }},
	{Env: "AZP_INSTALL", Group: Running, Flag: "install", Default: "false", Example: "true", Help: "install the agent package at startup if the agent directory holds no agent",
		Bool: func(s *Settings) *bool { return &s.Install }},
	{Env: "AZP_RUN_AS", Group: Running, Flag: "run-as", Example: "agent:docker", Help: "unprivileged user that runs the agent and its jobs: user or user:group, by name or number; requires root",
		str: func(s *Settings) *string { return &s.RunAs }},
	{Env: "AZP_PASS_ENV", Group: Running, Flag: "pass-env", Repeatable: true, Example: "IDENTITY_ENDPOINT,IDENTITY_HEADER", Help: "variables to pass to jobs that azptend would withhold, separated by commas",
		set: func(s *Settings, v string) error { s.PassEnv = append(s.PassEnv, splitList(v)...); return nil }},
	{Env: "AZP_UPDATE", Group: Running, Flag: "update", Default: "auto", Example: "never", Help: "whether the agent updates itself when the server asks: auto or never",
		Values: []string{"auto", "never"}, set: setUpdate},
	{Env: "AZP_HEALTH_ADDR", Group: Running, Flag: "health-addr", Example: ":8080", Help: "listen address for probes and metrics (default: disabled)",
		Hint: "use :8080, or 127.0.0.1:8080 for this machine only", set: func(s *Settings, v string) error { return setListen(&s.HealthAddr, v) }},
	{Env: "AZP_PLATFORM", Group: Running, Flag: "platform", Example: "container-apps", Help: "override platform detection", Values: platformNames(), set: setPlatform},

	{Env: "AZP_ONCE", Group: Stopping, Flag: "once", Default: "false", Example: "true", Help: "run one job, then exit",
		Bool: func(s *Settings) *bool { return &s.Once }},
	{Env: "AZP_IDLE_TIMEOUT", Group: Stopping, Flag: "idle-timeout", Example: "5m", Help: "exit after this long without a job (default: never; 5m with --once on Container Apps jobs)",
		duration: func(s *Settings) *time.Duration { return &s.Limits.Idle }, Max: maxRun},
	{Env: "AZP_MAX_LIFETIME", Group: Stopping, Flag: "max-lifetime", Default: "0", Example: "12h", Help: "accept no job after this time, then exit; 0 means no limit",
		duration: func(s *Settings) *time.Duration { return &s.MaxLifetime }, Max: maxRun},
	{Env: "AZP_MAX_JOBS", Group: Stopping, Flag: "max-jobs", Default: "0", Example: "10", Help: "exit after this many jobs; 0 means no limit",
		number: func(s *Settings) *int { return &s.Limits.Jobs }},
	{Env: "AZP_GRACE_PERIOD", Group: Stopping, Flag: "grace-period", Example: "1h", Help: "time from the platform's SIGTERM to its SIGKILL (default: the platform's default)",
		duration: func(s *Settings) *time.Duration { return &s.Grace }, Min: minGracePeriod, Max: maxWait},
	{Env: "AZP_ON_TERM", Group: Stopping, Flag: "on-term", Default: "drain", Example: "cancel", Help: "what SIGTERM does to a running job: drain (finish it) or cancel",
		Values: []string{"drain", "cancel"}, set: setOnTerm},
	{Env: "AZP_STRICT_REMOVE", Group: Stopping, Flag: "strict-remove", Default: "false", Example: "true", Help: "exit with code 75 if the agent could not be removed",
		Bool: func(s *Settings) *bool { return &s.StrictRemove }},
	{Env: "AZP_APPROVE_EVENTS", Group: Stopping, Flag: "approve-events", Default: "false", Example: "true", Help: "approve a scheduled event of the machine after the drain for it, so that Azure need not wait; only under systemd",
		Bool: func(s *Settings) *bool { return &s.ApproveEvents }},
	{Env: "AZP_REPLICA_TIMEOUT", Group: Stopping, Flag: "replica-timeout", Example: "2h", Help: "time after which the platform kills the container: replicaTimeout of a Container Apps job, or activeDeadlineSeconds of a Kubernetes Job (the Helm chart sets it)",
		duration: func(s *Settings) *time.Duration { return &s.ReplicaTimeout }, Max: maxRun},
	{Env: "AZP_JOB_MAX", Group: Stopping, Flag: "job-max", Example: "30m", Help: "longest time that a job takes (default: half of the replica timeout)",
		duration: func(s *Settings) *time.Duration { return &s.JobMax }, Max: maxRun},

	{Env: "AZP_AGENT_VERSION", Group: Install, Flag: "agent-version", Example: "5.282.3", Help: "version to install (default: the newest that the organisation offers)",
		Hint: "use a version such as 5.282.3", set: setAgentVersion},
	{Env: "AZP_AGENT_PACKAGE", Group: Install, Flag: "agent-package", Default: "agent", Example: "pipelines-agent", Help: "package to install: agent, or pipelines-agent, which has no unsupported Node versions",
		Values: []string{"agent", "pipelines-agent"}, set: setAgentPackage},
	{Env: "AZP_AGENT_PLATFORM", Group: Install, Flag: "agent-platform", Example: "linux-musl-arm64", Help: "platform to install for, such as linux-x64 or linux-musl-arm64 (default: this machine's)",
		Values: []string{"linux-x64", "linux-arm64", "linux-musl-x64", "linux-musl-arm64", "osx-x64", "osx-arm64"}, set: setAgentPlatform},
	{Env: "AZP_AGENT_FILE", Group: Install, Flag: "agent-file", Example: "/packages/agent.tar.gz", Help: "archive of the package (.tar.gz) to install instead of a download",
		str: func(s *Settings) *string { return &s.AgentFile }},
	{Env: "AZP_AGENT_SHA256", Group: Install, Flag: "agent-sha256", Example: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", Help: "SHA-256 of the archive (default: the organisation's)",
		Hint: "use 64 hexadecimal digits, as sha256sum prints them", set: setAgentSHA256},

	{Env: "AZP_LOG_FORMAT", Group: Logging, Flag: "log-format", Default: "text", Example: "json", Help: "log format: text or json",
		Values: []string{"text", "json"}, set: setLogFormat},
	{Env: "AZP_LOG_LEVEL", Group: Logging, Flag: "log-level", Default: "info", Example: "debug", Help: "log level: debug, info, warn or error",
		Values: []string{"debug", "info", "warn", "error"}, set: setLogLevel},

	{Env: "AZP_KEEP_INTERVAL", Group: Keeper, Flag: "interval", Default: "30s", Example: "1m", Help: "shortest time between two refreshes of a pool",
		duration: func(s *Settings) *time.Duration { return &s.KeepInterval }, Min: minKeepInterval, Max: text.Day},
	{Env: "AZP_KEEP_PRUNE", Group: Keeper, Flag: "prune", Default: "true", Example: "false", Help: "remove ghosts; false only shows them",
		Bool: func(s *Settings) *bool { return &s.KeepPrune }},
	{Env: "AZP_KEEP_OLDER_THAN", Group: Keeper, Flag: "older-than", Default: "15m", Example: "3d", Help: "time that an agent must be offline to count as a ghost; at least 15m",
		duration: func(s *Settings) *time.Duration { return &s.Ghosts.OlderThan }, Min: pool.MinOffline, Max: maxRun},
	{Env: "AZP_KEEP_ANY_OWNER", Group: Keeper, Flag: "any-owner", Default: "false", Example: "true", Help: "agents that azptend did not register can be ghosts too",
		Bool: func(s *Settings) *bool { return &s.Ghosts.AnyOwner }},
	{Env: "AZP_KEEP_MATCH", Group: Keeper, Flag: "match", Example: "linux-*", Help: "only agents with a name like this can be ghosts: * matches any characters, ? matches one",
		str: func(s *Settings) *string { return &s.Ghosts.Match }},
	{Env: "AZP_KEEP_PLACEHOLDER", Group: Keeper, Flag: "keep-placeholder", Default: "true", Example: "false", Help: "create the pool's placeholder agent if it is missing",
		Bool: func(s *Settings) *bool { return &s.KeepPlaceholder }},
	{Env: "AZP_KEEP_LISTEN", Group: Keeper, Flag: "listen", Default: "127.0.0.1:8141", Example: "127.0.0.1:9000", Help: "listen address for the keeper's page, metrics and probes; off disables it",
		Hint: "use 127.0.0.1:8141, or :8141 for the whole network, which needs AZP_KEEP_TOKEN", set: func(s *Settings, v string) error { return setListen(&s.KeepListen, v) }},
	{Env: "AZP_KEEP_HEALTH_LISTEN", Group: Keeper, Flag: "health-listen", Example: ":8142", Help: "second listen address, for /healthz and /readyz alone: it needs no token (default: disabled)",
		Hint: "use :8142, or 127.0.0.1:8142 for this machine only", set: func(s *Settings, v string) error { return setListen(&s.KeepHealthListen, v) }},
	{Env: "AZP_KEEP_TOKEN", Group: Keeper, Example: "0123456789abcdef", Help: "token that the page and the metrics ask for; required unless the listen address is a loopback address",
		secret: func(s *Settings) *secret.Text { return &s.KeepToken }},
	{Env: "AZP_KEEP_TOKEN_FILE", Group: Keeper, Flag: "keep-token-file", Example: "/run/secrets/keep-token", Help: "file that holds AZP_KEEP_TOKEN; azptend reads it once, at startup",
		str: func(s *Settings) *string { return &s.KeepTokenFile }},
	{Env: "AZP_KEEP_GROUPS_FILE", Group: Keeper, Flag: "groups-file", Example: "/etc/azptend/groups.yaml", Help: "file with the groups of agents that an autoscaler starts; enables /scale/GROUP",
		str: func(s *Settings) *string { return &s.GroupsFile }},
	{Env: "AZP_KEEP_SCALE_TOKEN", Group: Keeper, Example: "fedcba9876543210", Help: "token for /scale/GROUP that opens nothing else; AZP_KEEP_TOKEN opens it too",
		secret: func(s *Settings) *secret.Text { return &s.ScaleToken }},
	{Env: "AZP_KEEP_SCALE_TOKEN_FILE", Group: Keeper, Flag: "scale-token-file", Example: "/run/secrets/scale-token", Help: "file that holds AZP_KEEP_SCALE_TOKEN; azptend reads it once, at startup",
		str: func(s *Settings) *string { return &s.ScaleTokenFile }},
}
