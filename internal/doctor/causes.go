package doctor

import (
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/identity"
)

// Cause is one thing that a check can find. A failure keeps `azptend run` from
// working, and Code is the exit code that run would have; a warning does not.
type Cause struct {
	Name    string // scripts can rely on it
	Check   Name
	Verdict Verdict
	Code    int    // 0 for a warning
	Means   string // a sentence, without a period
	Fix     string // what to do; "" if that depends on what was seen
}

// Causes lists all causes in the order of the checks.
var Causes []*Cause

func failure(name string, check Name, code int, means, fix string) *Cause {
	Causes = append(Causes, &Cause{name, check, Failed, code, means, fix})
	return Causes[len(Causes)-1]
}

func warning(name string, check Name, means, fix string) *Cause {
	Causes = append(Causes, &Cause{name, check, Warning, 0, means, fix})
	return Causes[len(Causes)-1]
}

// The click paths that several fixes name.
const (
	usersPage = "Organization settings, Users"
	rolePage  = "Organization settings, Agent pools, the pool, Security"
	giveRole  = "give it the Administrator role on the pool (" + rolePage + ")"
	otherPool = "create a self-hosted pool (Organization settings, Agent pools, Add pool), and set AZP_POOL (--pool) to its name"
	// setupHint has a placeholder that completeSetup replaces.
	setupHint     = "; an administrator does all of it with `azptend setup " + setupIdentity + " --apply`"
	setupIdentity = "--identity OBJECT_ID"
)

// The settings.
var (
	BadSetting        = failure("bad-setting", Settings, exitcode.Usage, "a setting is missing, or cannot be read", "")
	SuspiciousSetting = warning("odd-setting", Settings, "a setting is suspicious, but not wrong", "")
	BadIdentity       = failure("bad-identity", Identity, exitcode.Usage, "the identity settings cannot be used: a certificate without its key, a wrong password", "")
	NoIdentitySet     = warning("no-identity-set", Identity, "no identity is set, and there is no metadata service of Azure", identity.SetAnIdentity)
)

// The token.
var (
	NoEndpoint = failure("identity-endpoint-unreachable", Token, exitcode.Unavailable, "the identity endpoint cannot be reached",
		"assign an identity to this container app or machine: without one there is no endpoint; on AKS, label the pod for workload identity")
	WrongHeader = failure("identity-header-refused", Token, exitcode.Unavailable, "the identity endpoint refuses IDENTITY_HEADER",
		"use the IDENTITY_HEADER that the platform sets in this container")
	NotAssigned = failure("identity-not-assigned", Token, exitcode.Unavailable, "the identity endpoint does not have this identity",
		"assign the identity to this container app or machine, and check that MANAGED_IDENTITY_OBJECT_ID is its object (principal) id")
	NoTokenGiven = failure("no-token-in-answer", Token, exitcode.Unavailable, "the identity endpoint answers without a token",
		"check that IDENTITY_ENDPOINT is the platform's identity endpoint")
	EntraRefused = failure("entra-refused", Token, exitcode.Unavailable, "Entra ID refuses the credential of the application",
		"check the client id and the tenant, and that the secret, certificate or federated credential belongs to that application")
	EntraPolicy = failure("entra-policy", Token, exitcode.Unavailable, "a conditional access policy blocks the token (AADSTS53003)",
		"ask an administrator of Microsoft Entra to exempt this workload identity (Protection, Conditional Access); such policies apply to service principals, not to managed identities")
	BadTokenFile = failure("token-file", Token, exitcode.Unavailable, "the token file holds no token",
		"write only the token into it; or unset AZP_TOKEN_FILE and set MANAGED_IDENTITY_OBJECT_ID")
	NoToken       = failure("no-token", Token, exitcode.Unavailable, "there is no token, for another reason", "")
	WrongAudience = failure("wrong-audience", Token, exitcode.Denied, "the token is not for Azure DevOps",
		"get a token for the resource of Azure DevOps: `az account get-access-token --resource 499b84ac-1321-427f-aa17-267ca6975798`")
	TokenExpired = failure("token-expired", Token, exitcode.Denied, "the token has expired", "renew it, and check this machine's clock")
	TokenShort   = warning("token-short", Token, "the token expires in less than five minutes, and nothing renews it",
		"renew the file before azptend starts, and again before it removes the agent; or use a managed identity (MANAGED_IDENTITY_OBJECT_ID)")
)

// listenerGaveUp is the exit code of an agent that cannot log on for half an hour.
const listenerGaveUp = 1

// The network, the organisation and its tenant.
var (
	NoName = failure("name-not-resolved", Network, exitcode.Unavailable, "the host name cannot be resolved",
		"check AZP_URL (--url), and that this network resolves public names; behind a proxy set AZP_PROXY (--proxy), which then resolves them")
	NoConnection = failure("no-connection", Network, exitcode.Unavailable, "the host refuses the connection",
		"allow this network to reach Azure DevOps on port 443 (https://learn.microsoft.com/azure/devops/organizations/security/allow-list-ip-url), or set AZP_PROXY (--proxy)")
	ProxyDown = failure("proxy-unreachable", Network, exitcode.Unavailable, "the proxy does not answer",
		"check the proxy's address (AZP_PROXY, else HTTPS_PROXY); list hosts to reach without it in NO_PROXY")
	ProxyRefuses = failure("proxy-refuses", Network, exitcode.Unavailable, "the proxy refuses the request",
		"for status 407 set a user and password (AZP_PROXY=http://user:password@host:port); otherwise allow the proxy to reach dev.azure.com and *.dev.azure.com")
	UnknownIssuer = failure("unknown-authority", Network, exitcode.Unavailable, "the server's certificate is signed by an unknown authority",
		"if a proxy of your company inspects TLS, set AZP_CA_FILE (--ca-file) to a file with its CA certificate (PEM); in an image without certificates install ca-certificates")
	WrongHostName = failure("certificate-of-another-name", Network, exitcode.Unavailable, "the server's certificate is for another host name",
		"check AZP_URL (--url), and whether a login page or a gateway answers instead of Azure DevOps")
	BadTimeOfCert = failure("certificate-expired", Network, exitcode.Unavailable, "the server's certificate has expired, or is not valid yet", "check this machine's clock")
	NoTLS         = failure("no-tls", Network, exitcode.Unavailable, "the TLS handshake fails",
		"check that the server speaks https on this port with TLS 1.2 or later, and that no gateway interferes")
	NoAnswer   = failure("no-answer", Network, exitcode.Unavailable, "no answer within the timeout", "check whether a firewall drops the packets; then set AZP_PROXY (--proxy)")
	ClockWrong = failure("clock", Clock, listenerGaveUp, "this machine's clock differs from the server's by more than five minutes, so that the agent cannot log on",
		"set the clock (chrony, systemd-timesyncd); a container uses its host's clock")
	HostsClosed = warning("endpoint-unreachable", Endpoints, "another required host cannot be reached",
		"allow this network to reach it on port 443 (https://learn.microsoft.com/azure/devops/organizations/security/allow-list-ip-url), or set AZP_PROXY (--proxy)")
	NoOrganisation = failure("no-such-organisation", Organisation, exitcode.Unavailable, "Azure DevOps has no organisation with this name",
		"check the organisation's name in AZP_URL (--url)")
	NotDevOps = failure("not-azure-devops", Organisation, exitcode.Unavailable, "the server that answers is not Azure DevOps",
		"check AZP_URL (--url), and whether a proxy (HTTPS_PROXY) or a login page of the network answers instead of Azure DevOps")
	Redirects = failure("redirects", Organisation, exitcode.Unavailable, "the address redirects to another",
		"set AZP_URL (--url) to the organisation's own address: azptend does not follow redirects, because the token would go along")
	Unavailable = failure("unavailable", Organisation, exitcode.Unavailable, "Azure DevOps is unavailable",
		"see https://status.dev.azure.com; run retries for two minutes at startup")
	WrongTenant = failure("wrong-tenant", Tenant, exitcode.Denied, "the token belongs to another Entra tenant than the organisation",
		"use an identity of the organisation's tenant (Organization settings, Microsoft Entra); for a service principal, use an application in that tenant")
	NoEntra = failure("no-entra-tenant", Tenant, exitcode.Denied, "the organisation uses Microsoft accounts and is connected to no Entra tenant",
		"connect it to a tenant (Organization settings, Microsoft Entra, Connect directory), or use a personal access token (AZP_TOKEN)")
)

// The identity as a member of the organisation.
var (
	PATExpired = failure("pat-expired", SignIn, exitcode.Denied, "the personal access token has expired",
		"create a new token and set AZP_TOKEN or AZP_TOKEN_FILE; or use a managed identity (MANAGED_IDENTITY_OBJECT_ID)")
	Refused = failure("refused", SignIn, exitcode.Denied, "Azure DevOps refuses the token, and does not say why",
		"check that the identity is a user of the organisation ("+usersPage+") and in its tenant; "+
			"a personal access token may have expired, or lack the scope Agent Pools (read, manage)")
	SignInPage = failure("sign-in-page", SignIn, exitcode.Denied, "Azure DevOps shows its sign-in page: it does not accept the token",
		"use a token for Azure DevOps that is valid and of the organisation's tenant")
	ConditionalAccess = failure("conditional-access", SignIn, exitcode.Denied, "a conditional access policy of the tenant blocks the identity or this network (VS403463)",
		"ask an administrator of Microsoft Entra: a conditional access policy of the tenant blocks this identity or this network")
	Throttled = failure("throttled", SignIn, exitcode.Unavailable, "Azure DevOps asks to wait (429): too many requests, or a token of another tenant",
		"wait as long as the message says; if already the first request fails, compare the tenants: a token of another tenant can get this answer")
	NotSignedIn = failure("sign-in-unclear", SignIn, exitcode.Unavailable, "Azure DevOps does not say whose token this is", "")
	NotAMember  = failure("not-a-member", Membership, exitcode.Denied, "the identity is not in the organisation (TF401444)",
		"add the identity that the message names (tenant, then object id), with a Basic licence ("+usersPage+", Add users)"+setupHint)
	NotAuthorized = failure("not-authorized", Membership, exitcode.Denied, "the organisation refuses the identity (TF400813)",
		"check that the identity that the message names is a user with a licence ("+usersPage+"), "+
			"and that a personal access token has the scope Agent Pools (read, manage)")
	Unrecognised = failure("anonymous", Membership, exitcode.Denied, "Azure DevOps treats the caller as anonymous: the organisation has public projects",
		"use a token for Azure DevOps that is valid and of the organisation's tenant")
	ServiceConnection = failure("service-connection-not-a-member", Membership, exitcode.Denied, "a service connection's identity is not in the organisation",
		"add the identity that the message names, with a Basic licence ("+usersPage+", Add users)")
	NoProject = failure("service-connection-project", Membership, exitcode.Denied, "a service connection names a project that does not exist or is not visible (VS800075)",
		"check the project in the service connection's federated credential, and that the identity may see it (Project settings, Permissions)")
	Stakeholder = warning("stakeholder", Licence, "the identity has a Stakeholder licence; Microsoft requires Basic",
		"give it a Basic licence ("+usersPage+", the identity, Change access level)"+setupHint)
	NoLicence = warning("no-licence", Licence, "the identity has no licence; Microsoft requires Basic",
		"give it a Basic licence ("+usersPage+", the identity, Change access level); the organisation must have one left (Organization settings, Billing)"+setupHint)
	LicencePending = warning("licence-pending", Licence, "the licence is not active yet", "wait some minutes: this is normal after the identity was added")
)

// The pool.
var (
	PoolNotAmong = failure("pool-not-among-the-visible", Pool, exitcode.Denied, "the identity sees other pools, but not this one: the name is wrong, or it has no role on the pool",
		"check AZP_POOL (--pool) or AZP_POOL_ID (--pool-id), or "+giveRole+": the identity sees other pools, so its licence and its tenant are right"+setupHint)
	NoPools = failure("no-pool-visible", Pool, exitcode.Denied, "the identity sees no pool: it has no role on any, or no licence",
		"give it a Basic licence ("+usersPage+"), without which no role counts; then "+giveRole+
			"; and compare the organisation's tenant (Organization settings, Microsoft Entra) with the identity's"+setupHint)
	NoPoolsLicence = failure("no-pool-visible-without-licence", Pool, exitcode.Denied, "the identity sees no pool, and has no Basic licence",
		"give it a Basic licence ("+usersPage+", the identity, Change access level): without one no role counts; then "+giveRole+setupHint)
	PoolInvisible = failure("pool-not-visible", Pool, exitcode.Denied, "the pool does not exist or is not visible, and the list of pools cannot be read",
		"check that the pool exists; then give the identity a Basic licence ("+usersPage+"), and "+giveRole+setupHint)
	PoolUnknown = failure("pool-unclear", Pool, exitcode.Unavailable, "Azure DevOps does not list the pools", "")
	NoManage    = failure("may-not-manage", Role, exitcode.Denied, "the identity can view the pool but not manage it, so it cannot register an agent",
		"give the identity the Administrator role on the organisation's pool ("+rolePage+"): the role on a project's pool is not enough"+setupHint)
	RoleUnknown    = warning("role-unclear", Role, "Azure DevOps does not say what the identity may do in the pool", "check "+rolePage)
	HostedPool     = failure("hosted-pool", PoolKind, exitcode.Unavailable, "the pool's agents are hosted by Microsoft", otherPool)
	ElasticPool    = failure("scale-set-pool", PoolKind, exitcode.Unavailable, "the pool is a scale set pool, whose agents Azure DevOps creates", otherPool)
	DeploymentPool = failure("deployment-pool", PoolKind, exitcode.Unavailable, "the pool is a deployment pool, whose agents take no jobs of a pool", otherPool)
	AgentGone      = failure("agent-gone", Pool, exitcode.Unavailable, "somebody removed the agent from its pool",
		"if this was not intended, see the audit log (Organization settings, Auditing); azptend run registers the agent again")
)

// The agent's directory, and what jobs can reach.
var (
	FolderUnusable = failure("folder-unfit", Folder, exitcode.DirUnusable, "the agent cannot run in the directory: no listener, another architecture, or not writable", "")
	LittleSpace    = warning("little-space", Folder, "the disk of the work directory has less than 5 % or less than 2 GiB free",
		"free some space, or set AZP_WORK (--work) to a directory on another disk; on Container Apps more vCPU bring more space")
	NoLoader = failure("wrong-libc", Runtime, exitcode.DirUnusable, "the listener needs another C library than this system has",
		"install the agent package for this system (`azptend install` finds out which): linux-x64 and linux-arm64 are for glibc, linux-musl-x64 and linux-musl-arm64 for musl (Alpine)")
	NoVersion = failure("does-not-start", Runtime, exitcode.DirUnusable, "the listener does not start", "run bin/installdependencies.sh in the agent's directory: a library may be missing (libicu, libssl, libstdc++)")
	NoICU     = warning("no-icu", Runtime, "ICU is missing, and .NET exits without it",
		"install libicu (Debian, Ubuntu), libicu or icu (others), icu-libs (Alpine), or set DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1")
	MetadataOpen = warning("metadata-open", Reach, "jobs can get the identity's tokens from the machine's metadata service",
		"AKS: az aks nodepool update --pod-link-local-access None; a VM: AZP_RUN_AS and `ip rule add uidrange UID-UID to 169.254.169.254/32 prohibit`; "+
			"elsewhere give the identity only the role on the pool (docs/security.md)")
	FileReadable = warning("token-file-readable", Reach, "the jobs' user can read a file with the identity's credential",
		"give the file to azptend's user with mode 0400, and set AZP_RUN_AS (--run-as) to another user")
	Dumpable = warning("dumpable", Reach, "jobs of the same user can read azptend's memory", "set AZP_RUN_AS (--run-as) to another user")
	Tracing  = warning("cap-sys-ptrace", Reach, "jobs have a capability that lets them inspect every process",
		"set AZP_RUN_AS (--run-as) to a user without privileges, or drop the capability")
	ParentShows = warning("parent-shows-secret", Reach, "a parent process of azptend exposes a secret in its environment",
		"start azptend with `exec azptend run`, without sh -c, tini or --init (azptend is an init itself); or use a token file (AZP_TOKEN_FILE)")
	PassesOn    = warning("passed-on", Reach, "jobs get variables that azptend would withhold (AZP_PASS_ENV)", "unset AZP_PASS_ENV (--pass-env) if this is not intended")
	NoDrain     = warning("no-time-to-drain", Budget, "the grace period is too short to finish a job, so SIGTERM cancels it", "")
	SignalsLost = warning("signals-not-forwarded", Budget, "azptend's parent is a shell with process id 1, which does not forward SIGTERM", UseExec)
	LongerThan  = warning("longer-than-the-platform", Budget, "the grace period is longer than the platform allows",
		"set AZP_GRACE_PERIOD to at most that: the platform kills azptend then")
	GraceNotKnown = warning("grace-not-set", Budget, "azptend assumes the platform's default grace period", "")
)

// The waiting jobs.
var (
	JobsWaitNobody  = warning("jobs-wait-for-any-agent", Queue, "jobs wait, and the pool has no agent", "start an agent: azptend run")
	JobsWaitDemands = warning("jobs-wait-for-demands", Queue, "jobs wait for demands that no agent meets",
		"give an agent the capability (AZP_CAPABILITIES), or remove the demand from the pipeline")
	JobsWaitOffline  = warning("jobs-wait-for-an-agent-online", Queue, "jobs wait, and all matching agents are offline", "start one: azptend run")
	JobsWaitDisabled = warning("jobs-wait-for-an-agent-enabled", Queue, "jobs wait, and all matching agents are disabled",
		"enable one (Organization settings, Agent pools, the pool, Agents)")
	JobsWaitGroup = warning("jobs-wait-for-their-group", Queue, "jobs wait for an agent of their group (AZP_KEEP_GROUPS_FILE)",
		"check the group's max and its autoscaler if jobs wait too long")
	JobsWaitBusy = warning("jobs-wait-for-a-free-agent", Queue, "jobs wait, and all matching agents are busy", "add agents if jobs wait too long")
	JobsWait     = warning("jobs-wait", Queue, "jobs wait although a matching agent is free",
		"wait a moment; then check that the organisation has a free parallel job (Organization settings, Parallel jobs) and that the pipeline may use the pool")
	QueueUnknown = warning("queue-unclear", Queue, "Azure DevOps does not list the waiting jobs", "")
)
