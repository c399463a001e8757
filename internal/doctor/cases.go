package doctor

import "github.com/azptend/azptend/internal/exitcode"

// Cause is what is wrong, as a word that scripts can rely on.
type Cause string

// Case is one thing that a check can find. A failure keeps `azptend run` from
// working, and Code is what it would end with; a warning does not.
type Case struct {
	Cause   Cause
	Check   Name
	Verdict Verdict
	Code    int    // 0 for a warning
	Means   string // a sentence, without a period
	Fix     string // what to do; "" where what was seen says it
}

// The click paths that several fixes name.
const (
	usersPage = "Organization settings, Users"
	rolePage  = "Organization settings, Agent pools, the pool, Security"
	giveRole  = "give it the Administrator role on the pool (" + rolePage + ")"
	// setupHint stands for a command that a visit fills in.
	setupHint     = "; an administrator does all of it with `azptend setup " + setupIdentity + " --apply`"
	setupIdentity = "--identity OBJECT_ID"
)

// Cases is the table of all that can be wrong, in the order of the checks.
func Cases() []Case {
	var all []Case
	for _, part := range [][]Case{localCases(), tokenCases(), networkCases(), memberCases(), poolCases(), machineCases(), queueCases()} {
		all = append(all, part...)
	}
	return all
}

// CaseOf returns a cause's row; a zero one for a cause that is in no table.
func CaseOf(c Cause) Case {
	for _, row := range Cases() {
		if row.Cause == c {
			return row
		}
	}
	return Case{}
}

func failure(c Cause, check Name, code int, means, fix string) Case {
	return Case{c, check, Failed, code, means, fix}
}

func warning(c Cause, check Name, means, fix string) Case {
	return Case{c, check, Warning, 0, means, fix}
}

const (
	BadSetting        Cause = "bad-setting"
	SuspiciousSetting Cause = "odd-setting"
	BadIdentity       Cause = "bad-identity"
	NoIdentitySet     Cause = "no-identity-set"
)

func localCases() []Case {
	return []Case{
		failure(BadSetting, Settings, exitcode.Usage, "a setting is missing, or cannot be read", ""),
		warning(SuspiciousSetting, Settings, "a setting is suspicious, but not wrong", ""),
		failure(BadIdentity, Identity, exitcode.Usage, "the identity settings cannot be used: a certificate without its key, a wrong password", ""),
		warning(NoIdentitySet, Identity, "no identity is set, and there is no metadata service of Azure", SetAnIdentity),
	}
}

const (
	NoEndpoint    Cause = "identity-endpoint-unreachable"
	WrongHeader   Cause = "identity-header-refused"
	NotAssigned   Cause = "identity-not-assigned"
	NoTokenGiven  Cause = "no-token-in-answer"
	EntraRefused  Cause = "entra-refused"
	EntraPolicy   Cause = "entra-policy"
	BadTokenFile  Cause = "token-file"
	NoToken       Cause = "no-token"
	WrongAudience Cause = "wrong-audience"
	TokenExpired  Cause = "token-expired"
	TokenShort    Cause = "token-short"
)

func tokenCases() []Case {
	return []Case{
		failure(NoEndpoint, Token, exitcode.Unavailable, "the identity endpoint cannot be reached",
			"assign an identity to this container app or machine: without one there is no endpoint; on AKS, label the pod for workload identity"),
		failure(WrongHeader, Token, exitcode.Unavailable, "the identity endpoint refuses IDENTITY_HEADER",
			"use the IDENTITY_HEADER that the platform sets in this container"),
		failure(NotAssigned, Token, exitcode.Unavailable, "the identity endpoint does not have this identity",
			"assign the identity to this container app or machine, and check that MANAGED_IDENTITY_OBJECT_ID is its object (principal) id"),
		failure(NoTokenGiven, Token, exitcode.Unavailable, "the identity endpoint answers without a token",
			"check that IDENTITY_ENDPOINT is the platform's identity endpoint"),
		failure(EntraRefused, Token, exitcode.Unavailable, "Entra ID refuses the credential of the application",
			"check the client id and the tenant, and that the secret, certificate or federated credential belongs to that application"),
		failure(EntraPolicy, Token, exitcode.Unavailable, "a conditional access policy blocks the token (AADSTS53003)",
			"ask an administrator of Microsoft Entra to exempt this workload identity (Protection, Conditional Access); such policies apply to service principals, not to managed identities"),
		failure(BadTokenFile, Token, exitcode.Unavailable, "the token file holds no token",
			"write only the token into it; or unset AZP_TOKEN_FILE and set MANAGED_IDENTITY_OBJECT_ID"),
		failure(NoToken, Token, exitcode.Unavailable, "there is no token, for another reason", ""),
		failure(WrongAudience, Token, exitcode.Denied, "the token is not for Azure DevOps",
			"get a token for the resource of Azure DevOps: `az account get-access-token --resource 499b84ac-1321-427f-aa17-267ca6975798`"),
		failure(TokenExpired, Token, exitcode.Denied, "the token has expired", "renew it, and check this machine's clock"),
		warning(TokenShort, Token, "the token expires in less than five minutes, and nothing renews it",
			"renew the file before azptend starts, and again before it removes the agent; or use a managed identity (MANAGED_IDENTITY_OBJECT_ID)"),
	}
}

const (
	NoName        Cause = "name-not-resolved"
	NoConnection  Cause = "no-connection"
	ProxyDown     Cause = "proxy-unreachable"
	ProxyRefuses  Cause = "proxy-refuses"
	UnknownIssuer Cause = "unknown-authority"
	WrongHostName Cause = "certificate-of-another-name"
	BadTimeOfCert Cause = "certificate-expired"
	NoTLS         Cause = "no-tls"
	NoAnswer      Cause = "no-answer"
	ClockWrong    Cause = "clock"
	HostsClosed   Cause = "endpoint-unreachable"

	NoOrganisation Cause = "no-such-organisation"
	NotDevOps      Cause = "not-azure-devops"
	Redirects      Cause = "redirects"
	Unavailable    Cause = "unavailable"

	WrongTenant Cause = "wrong-tenant"
	NoEntra     Cause = "no-entra-tenant"
)

// listenerGaveUp is the exit code of an agent that cannot log on for half an hour.
const listenerGaveUp = 1

func networkCases() []Case {
	return []Case{
		failure(NoName, Network, exitcode.Unavailable, "the host name cannot be resolved",
			"check AZP_URL (--url), and that this network resolves public names; behind a proxy set AZP_PROXY (--proxy), which then resolves them"),
		failure(NoConnection, Network, exitcode.Unavailable, "the host refuses the connection",
			"allow this network to reach Azure DevOps on port 443 (https://learn.microsoft.com/azure/devops/organizations/security/allow-list-ip-url), or set AZP_PROXY (--proxy)"),
		failure(ProxyDown, Network, exitcode.Unavailable, "the proxy does not answer",
			"check the proxy's address (AZP_PROXY, else HTTPS_PROXY); list hosts to reach without it in NO_PROXY"),
		failure(ProxyRefuses, Network, exitcode.Unavailable, "the proxy refuses the request",
			"for status 407 set a user and password (AZP_PROXY=http://user:password@host:port); otherwise allow the proxy to reach dev.azure.com and *.dev.azure.com"),
		failure(UnknownIssuer, Network, exitcode.Unavailable, "the server's certificate is signed by an unknown authority",
			"if a proxy of your company inspects TLS, set AZP_CA_FILE (--ca-file) to a file with its CA certificate (PEM); in an image without certificates install ca-certificates"),
		failure(WrongHostName, Network, exitcode.Unavailable, "the server's certificate is for another host name",
			"check AZP_URL (--url), and whether a login page or a gateway answers instead of Azure DevOps"),
		failure(BadTimeOfCert, Network, exitcode.Unavailable, "the server's certificate has expired, or is not valid yet", "check this machine's clock"),
		failure(NoTLS, Network, exitcode.Unavailable, "the TLS handshake fails",
			"check that the server speaks https on this port with TLS 1.2 or later, and that no gateway interferes"),
		failure(NoAnswer, Network, exitcode.Unavailable, "no answer within the timeout", "check whether a firewall drops the packets; then set AZP_PROXY (--proxy)"),
		failure(ClockWrong, Clock, listenerGaveUp, "this machine's clock differs from the server's by more than five minutes, so that the agent cannot log on",
			"set the clock (chrony, systemd-timesyncd); a container uses its host's clock"),
		warning(HostsClosed, Endpoints, "another required host cannot be reached",
			"allow this network to reach it on port 443 (https://learn.microsoft.com/azure/devops/organizations/security/allow-list-ip-url), or set AZP_PROXY (--proxy)"),
		failure(NoOrganisation, Organisation, exitcode.Unavailable, "Azure DevOps has no organisation with this name",
			"check the organisation's name in AZP_URL (--url)"),
		failure(NotDevOps, Organisation, exitcode.Unavailable, "the server that answers is not Azure DevOps",
			"check AZP_URL (--url), and whether a proxy (HTTPS_PROXY) or a login page of the network answers instead of Azure DevOps"),
		failure(Redirects, Organisation, exitcode.Unavailable, "the address redirects to another",
			"set AZP_URL (--url) to the organisation's own address: azptend does not follow redirects, because the token would go along"),
		failure(Unavailable, Organisation, exitcode.Unavailable, "Azure DevOps is unavailable",
			"see https://status.dev.azure.com; run retries for two minutes at startup"),
		failure(WrongTenant, Tenant, exitcode.Denied, "the token belongs to another Entra tenant than the organisation",
			"use an identity of the organisation's tenant (Organization settings, Microsoft Entra); for a service principal, use an application in that tenant"),
		failure(NoEntra, Tenant, exitcode.Denied, "the organisation uses Microsoft accounts and is connected to no Entra tenant",
			"connect it to a tenant (Organization settings, Microsoft Entra, Connect directory), or use a personal access token (AZP_TOKEN)"),
	}
}

const (
	PATExpired        Cause = "pat-expired"
	Refused           Cause = "refused"
	SignInPage        Cause = "sign-in-page"
	ConditionalAccess Cause = "conditional-access"
	Throttled         Cause = "throttled"
	NotSignedIn       Cause = "sign-in-unclear"

	NotAMember        Cause = "not-a-member"
	NotAuthorized     Cause = "not-authorized"
	Unrecognised      Cause = "anonymous"
	ServiceConnection Cause = "service-connection-not-a-member"
	NoProject         Cause = "service-connection-project"

	Stakeholder    Cause = "stakeholder"
	NoLicence      Cause = "no-licence"
	LicencePending Cause = "licence-pending"
)

func memberCases() []Case {
	return []Case{
		failure(PATExpired, SignIn, exitcode.Denied, "the personal access token has expired",
			"create a new token and set AZP_TOKEN or AZP_TOKEN_FILE; or use a managed identity (MANAGED_IDENTITY_OBJECT_ID)"),
		failure(Refused, SignIn, exitcode.Denied, "Azure DevOps refuses the token, and does not say why",
			"check that the identity is a user of the organisation ("+usersPage+") and in its tenant; "+
				"a personal access token may have expired, or lack the scope Agent Pools (read, manage)"),
		failure(SignInPage, SignIn, exitcode.Denied, "Azure DevOps shows its sign-in page: it does not accept the token",
			"use a token for Azure DevOps that is valid and of the organisation's tenant"),
		failure(ConditionalAccess, SignIn, exitcode.Denied, "a conditional access policy of the tenant blocks the identity or this network (VS403463)",
			"ask an administrator of Microsoft Entra: a conditional access policy of the tenant blocks this identity or this network"),
		failure(Throttled, SignIn, exitcode.Unavailable, "Azure DevOps asks to wait (429): too many requests, or a token of another tenant",
			"wait as long as the message says; if already the first request fails, compare the tenants: a token of another tenant can get this answer"),
		failure(NotSignedIn, SignIn, exitcode.Unavailable, "Azure DevOps does not say whose token this is", ""),
		failure(NotAMember, Membership, exitcode.Denied, "the identity is not in the organisation (TF401444)",
			"add the identity that the message names (tenant, then object id), with a Basic licence ("+usersPage+", Add users)"+setupHint),
		failure(NotAuthorized, Membership, exitcode.Denied, "the organisation refuses the identity (TF400813)",
			"check that the identity that the message names is a user with a licence ("+usersPage+"), "+
				"and that a personal access token has the scope Agent Pools (read, manage)"),
		failure(Unrecognised, Membership, exitcode.Denied, "Azure DevOps treats the caller as anonymous: the organisation has public projects",
			"use a token for Azure DevOps that is valid and of the organisation's tenant"),
		failure(ServiceConnection, Membership, exitcode.Denied, "a service connection's identity is not in the organisation",
			"add the identity that the message names, with a Basic licence ("+usersPage+", Add users)"),
		failure(NoProject, Membership, exitcode.Denied, "a service connection names a project that does not exist or is not visible (VS800075)",
			"check the project in the service connection's federated credential, and that the identity may see it (Project settings, Permissions)"),
		warning(Stakeholder, Licence, "the identity has a Stakeholder licence; Microsoft requires Basic",
			"give it a Basic licence ("+usersPage+", the identity, Change access level)"+setupHint),
		warning(NoLicence, Licence, "the identity has no licence; Microsoft requires Basic",
			"give it a Basic licence ("+usersPage+", the identity, Change access level); the organisation must have one left (Organization settings, Billing)"+setupHint),
		warning(LicencePending, Licence, "the licence is not active yet", "wait some minutes: this is normal after the identity was added"),
	}
}

const (
	PoolNotAmong   Cause = "pool-not-among-the-visible"
	NoPools        Cause = "no-pool-visible"
	NoPoolsLicence Cause = "no-pool-visible-without-licence"
	PoolInvisible  Cause = "pool-not-visible"
	PoolUnknown    Cause = "pool-unclear"
	NoManage       Cause = "may-not-manage"
	RoleUnknown    Cause = "role-unclear"
	HostedPool     Cause = "hosted-pool"
	ElasticPool    Cause = "scale-set-pool"
	DeploymentPool Cause = "deployment-pool"
	AgentGone      Cause = "agent-gone"
)

func poolCases() []Case {
	const another = "create a self-hosted pool (Organization settings, Agent pools, Add pool), and set AZP_POOL (--pool) to its name"
	return []Case{
		failure(PoolNotAmong, Pool, exitcode.Denied, "the identity sees other pools, but not this one: the name is wrong, or it has no role on the pool",
			"check AZP_POOL (--pool) or AZP_POOL_ID (--pool-id), or "+giveRole+": the identity sees other pools, so its licence and its tenant are right"+setupHint),
		failure(NoPools, Pool, exitcode.Denied, "the identity sees no pool: it has no role on any, or no licence",
			"give it a Basic licence ("+usersPage+"), without which no role counts; then "+giveRole+
				"; and compare the organisation's tenant (Organization settings, Microsoft Entra) with the identity's"+setupHint),
		failure(NoPoolsLicence, Pool, exitcode.Denied, "the identity sees no pool, and has no Basic licence",
			"give it a Basic licence ("+usersPage+", the identity, Change access level): without one no role counts; then "+giveRole+setupHint),
		failure(PoolInvisible, Pool, exitcode.Denied, "the pool does not exist or is not visible, and the list of pools cannot be read",
			"check that the pool exists; then give the identity a Basic licence ("+usersPage+"), and "+giveRole+setupHint),
		failure(PoolUnknown, Pool, exitcode.Unavailable, "Azure DevOps does not list the pools", ""),
		failure(NoManage, Role, exitcode.Denied, "the identity can view the pool but not manage it, so it cannot register an agent",
			"give the identity the Administrator role on the organisation's pool ("+rolePage+"): the role on a project's pool is not enough"+setupHint),
		warning(RoleUnknown, Role, "Azure DevOps does not say what the identity may do in the pool", "check "+rolePage),
		failure(HostedPool, PoolKind, exitcode.Unavailable, "the pool's agents are hosted by Microsoft", another),
		failure(ElasticPool, PoolKind, exitcode.Unavailable, "the pool is a scale set pool, whose agents Azure DevOps creates", another),
		failure(DeploymentPool, PoolKind, exitcode.Unavailable, "the pool is a deployment pool, whose agents take no jobs of a pool", another),
		failure(AgentGone, Pool, exitcode.Unavailable, "somebody removed the agent from its pool",
			"if this was not intended, see the audit log (Organization settings, Auditing); azptend run registers the agent again"),
	}
}

const (
	FolderUnusable Cause = "folder-unfit"
	NoLoader       Cause = "wrong-libc"
	NoVersion      Cause = "does-not-start"
	NoICU          Cause = "no-icu"
	LittleSpace    Cause = "little-space"
	MetadataOpen   Cause = "metadata-open"
	FileReadable   Cause = "token-file-readable"
	Dumpable       Cause = "dumpable"
	Tracing        Cause = "cap-sys-ptrace"
	ParentShows    Cause = "parent-shows-secret"
	PassesOn       Cause = "passed-on"
	NoDrain        Cause = "no-time-to-drain"
	SignalsLost    Cause = "signals-not-forwarded"
	LongerThan     Cause = "longer-than-the-platform"
	GraceNotKnown  Cause = "grace-not-set"
)

func machineCases() []Case {
	return []Case{
		failure(FolderUnusable, Folder, exitcode.DirUnusable, "the agent cannot run in the directory: no listener, another architecture, or not writable", ""),
		warning(LittleSpace, Folder, "the disk is more than 95 % full, and the agent warns of it in every job",
			"free some space, or set AZP_WORK (--work) to a directory on another disk"),
		failure(NoLoader, Runtime, exitcode.DirUnusable, "the listener needs another C library than this system has",
			"install the agent package for this system (`azptend install` finds out which): linux-x64 and linux-arm64 are for glibc, linux-musl-x64 and linux-musl-arm64 for musl (Alpine)"),
		failure(NoVersion, Runtime, exitcode.DirUnusable, "the listener does not start", "run bin/installdependencies.sh in the agent's directory: a library may be missing (libicu, libssl, libstdc++)"),
		warning(NoICU, Runtime, "ICU is missing, and .NET exits without it",
			"install libicu (Debian, Ubuntu), libicu or icu (others), icu-libs (Alpine), or set DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1"),
		warning(MetadataOpen, Reach, "jobs can get the identity's tokens from the machine's metadata service",
			"AKS: az aks nodepool update --pod-link-local-access None; a VM: AZP_RUN_AS and `ip rule add uidrange UID-UID to 169.254.169.254/32 prohibit`; "+
				"elsewhere give the identity only the role on the pool (docs/security.md)"),
		warning(FileReadable, Reach, "the jobs' user can read a file with the identity's credential",
			"give the file to azptend's user with mode 0400, and set AZP_RUN_AS (--run-as) to another user"),
		warning(Dumpable, Reach, "jobs of the same user can read azptend's memory", "set AZP_RUN_AS (--run-as) to another user"),
		warning(Tracing, Reach, "jobs have a capability that lets them inspect every process",
			"set AZP_RUN_AS (--run-as) to a user without privileges, or drop the capability"),
		warning(ParentShows, Reach, "a parent process of azptend exposes a secret in its environment",
			"start azptend with `exec azptend run`, without sh -c, tini or --init (azptend is an init itself); or use a token file (AZP_TOKEN_FILE)"),
		warning(PassesOn, Reach, "jobs get variables that azptend would withhold (AZP_PASS_ENV)", "unset AZP_PASS_ENV (--pass-env) if this is not intended"),
		warning(NoDrain, Budget, "the grace period is too short to finish a job, so SIGTERM cancels it", ""),
		warning(SignalsLost, Budget, "azptend's parent is a shell with process id 1, which does not forward SIGTERM", UseExec),
		warning(LongerThan, Budget, "the grace period is longer than the platform allows",
			"set AZP_GRACE_PERIOD to at most that: the platform kills azptend then"),
		warning(GraceNotKnown, Budget, "azptend assumes the platform's default grace period", ""),
	}
}

const (
	JobsWaitDemands  Cause = "jobs-wait-for-demands"
	JobsWaitNobody   Cause = "jobs-wait-for-any-agent"
	JobsWaitOffline  Cause = "jobs-wait-for-an-agent-online"
	JobsWaitDisabled Cause = "jobs-wait-for-an-agent-enabled"
	JobsWaitBusy     Cause = "jobs-wait-for-a-free-agent"
	JobsWait         Cause = "jobs-wait"
	QueueUnknown     Cause = "queue-unclear"
)

func queueCases() []Case {
	return []Case{
		warning(JobsWaitNobody, Queue, "jobs wait, and the pool has no agent", "start an agent: azptend run"),
		warning(JobsWaitDemands, Queue, "jobs wait for demands that no agent meets",
			"give an agent the capability (AZP_CAPABILITIES), or remove the demand from the pipeline"),
		warning(JobsWaitOffline, Queue, "jobs wait, and all matching agents are offline", "start one: azptend run"),
		warning(JobsWaitDisabled, Queue, "jobs wait, and all matching agents are disabled",
			"enable one (Organization settings, Agent pools, the pool, Agents)"),
		warning(JobsWaitBusy, Queue, "jobs wait, and all matching agents are busy", "add agents if jobs wait too long"),
		warning(JobsWait, Queue, "jobs wait although a matching agent is free",
			"wait a moment; then check that the organisation has a free parallel job (Organization settings, Parallel jobs) and that the pipeline may use the pool"),
		warning(QueueUnknown, Queue, "Azure DevOps does not list the waiting jobs", ""),
	}
}
