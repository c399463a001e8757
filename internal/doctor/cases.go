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
)

func localCases() []Case {
	return []Case{
		failure(BadSetting, Settings, exitcode.Usage, "a setting is missing, or cannot be read", ""),
		warning(SuspiciousSetting, Settings, "a setting is odd, and not wrong", ""),
		failure(BadIdentity, Identity, exitcode.Usage, "what is set for the identity cannot be used: a certificate without its key, a wrong password", ""),
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
		failure(NoEndpoint, Token, exitcode.Unavailable, "nobody answers where the identity's tokens come from",
			"is an identity assigned to this container app or machine at all? without one there is no endpoint; on AKS the pod needs workload identity's label"),
		failure(WrongHeader, Token, exitcode.Unavailable, "the identity endpoint does not take IDENTITY_HEADER",
			"is IDENTITY_HEADER the one that the platform gave this very container?"),
		failure(NotAssigned, Token, exitcode.Unavailable, "the identity endpoint has no such identity",
			"is the identity assigned to this container app or machine, and is MANAGED_IDENTITY_OBJECT_ID its object (principal) id?"),
		failure(NoTokenGiven, Token, exitcode.Unavailable, "the identity endpoint answers, and not with a token",
			"is IDENTITY_ENDPOINT really the platform's identity endpoint?"),
		failure(EntraRefused, Token, exitcode.Unavailable, "Entra ID does not take what the application proves itself with",
			"are the client id and the tenant right, and is the secret, the certificate or the federated credential one of that application's?"),
		failure(EntraPolicy, Token, exitcode.Unavailable, "a conditional access policy keeps Entra ID from giving a token (AADSTS53003)",
			"ask who administers Microsoft Entra to let this workload identity through (Protection, Conditional Access); it applies to service principals, not to managed identities"),
		failure(BadTokenFile, Token, exitcode.Unavailable, "the token file holds no token",
			"write a token into it, alone; or leave AZP_TOKEN_FILE unset, and name a managed identity (MANAGED_IDENTITY_OBJECT_ID), which needs none"),
		failure(NoToken, Token, exitcode.Unavailable, "there is no token, for another reason", ""),
		failure(WrongAudience, Token, exitcode.Denied, "the token is for something else than Azure DevOps",
			"ask for a token of the resource 499b84ac-1321-427f-aa17-267ca6975798, Azure DevOps' own: `az account get-access-token --resource 499b84ac-1321-427f-aa17-267ca6975798`"),
		failure(TokenExpired, Token, exitcode.Denied, "the token has expired", "renew it, and look at this machine's clock"),
		warning(TokenShort, Token, "the token has less than five minutes left, and nothing renews it",
			"renew the file before azptend starts, and again before the agent is removed; a managed identity (MANAGED_IDENTITY_OBJECT_ID) renews itself"),
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

func networkCases() []Case {
	return []Case{
		failure(NoName, Network, exitcode.Unavailable, "the host's name is not known",
			"is AZP_URL (--url) right, and does this network resolve public names? behind a proxy set AZP_PROXY (--proxy): the proxy resolves them then"),
		failure(NoConnection, Network, exitcode.Unavailable, "the host does not let us connect",
			"let this network out to Azure DevOps on port 443 (https://learn.microsoft.com/azure/devops/organizations/security/allow-list-ip-url), or set AZP_PROXY (--proxy)"),
		failure(ProxyDown, Network, exitcode.Unavailable, "the proxy does not answer",
			"is the proxy's address right (AZP_PROXY, else HTTPS_PROXY)? NO_PROXY names the hosts that are reached without it"),
		failure(ProxyRefuses, Network, exitcode.Unavailable, "the proxy does not let us through",
			"407 asks for a user and a password: AZP_PROXY=http://user:password@host:port; else let the proxy reach dev.azure.com and *.dev.azure.com"),
		failure(UnknownIssuer, Network, exitcode.Unavailable, "the server's certificate is of an authority that is not trusted here",
			"if it is your company's, which looks into TLS, put its certificate (PEM) into a file and name it in AZP_CA_FILE (--ca-file): azptend and the agent trust it then; in an image without certificates install ca-certificates"),
		failure(WrongHostName, Network, exitcode.Unavailable, "the server's certificate is of another host",
			"is AZP_URL (--url) right? a login page or a gateway may answer in Azure DevOps' place"),
		failure(BadTimeOfCert, Network, exitcode.Unavailable, "the server's certificate has expired, or is not valid yet", "is this machine's clock right?"),
		failure(NoTLS, Network, exitcode.Unavailable, "no TLS connection comes about",
			"does the server speak https on this port, and no older TLS than 1.2? is there a gateway in between?"),
		failure(NoAnswer, Network, exitcode.Unavailable, "nobody answers in time", "is there a firewall that drops what it does not let through? then set AZP_PROXY (--proxy)"),
		warning(ClockWrong, Network, "this machine's clock is more than five minutes away from the server's: the agent's log-on is refused then",
			"set the clock (chrony, systemd-timesyncd); of a container it is the host's"),
		warning(HostsClosed, Endpoints, "a host besides the organisation's own cannot be reached",
			"let this network out to it on port 443 (https://learn.microsoft.com/azure/devops/organizations/security/allow-list-ip-url), or set AZP_PROXY (--proxy)"),
		failure(NoOrganisation, Organisation, exitcode.Unavailable, "Azure DevOps knows no organisation of this name",
			"is the organisation's name in AZP_URL (--url) right?"),
		failure(NotDevOps, Organisation, exitcode.Unavailable, "whoever answers is not Azure DevOps",
			"is AZP_URL (--url) right, and is there a proxy (HTTPS_PROXY) or a login page of the network that answers in Azure DevOps' place?"),
		failure(Redirects, Organisation, exitcode.Unavailable, "the address leads to another",
			"is AZP_URL (--url) the organisation's own address? redirects are not followed, for a token would go along"),
		failure(Unavailable, Organisation, exitcode.Unavailable, "Azure DevOps cannot answer now",
			"look at https://status.dev.azure.com; at its start run tries again for two minutes"),
		failure(WrongTenant, Tenant, exitcode.Denied, "the token is of another Entra tenant than the organisation's",
			"use an identity of the organisation's tenant; or, for a service principal, a certificate or a federated credential of an application in that tenant (Organization settings, Microsoft Entra shows it)"),
		failure(NoEntra, Tenant, exitcode.Denied, "the organisation is one of Microsoft accounts, connected to no Entra tenant",
			"connect it to a tenant (Organization settings, Microsoft Entra, Connect directory); until then only a personal access token (AZP_TOKEN) works"),
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
			"make a new token and put it into AZP_TOKEN or AZP_TOKEN_FILE; a managed identity (MANAGED_IDENTITY_OBJECT_ID) needs none"),
		failure(Refused, SignIn, exitcode.Denied, "Azure DevOps does not take the token, and does not say why",
			"is the identity a user of the organisation ("+usersPage+"), and in the organisation's own tenant? "+
				"a personal access token may have expired, or lack the scope Agent Pools (read, manage)"),
		failure(SignInPage, SignIn, exitcode.Denied, "Azure DevOps shows its sign-in page: it does not take the token for one",
			"the token is expired, of another tenant, or no token for Azure DevOps"),
		failure(ConditionalAccess, SignIn, exitcode.Denied, "a conditional access policy of the tenant keeps the identity or this network out (VS403463)",
			"a conditional access policy of the tenant keeps this identity or this network out: ask who administers Microsoft Entra"),
		failure(Throttled, SignIn, exitcode.Unavailable, "Azure DevOps asks to wait (429): too much was asked of it, or the token is of another tenant",
			"wait as long as it says; if it says so at the first request of the day, compare the tenants: a token of another tenant was seen to be answered so"),
		failure(NotSignedIn, SignIn, exitcode.Unavailable, "Azure DevOps does not answer who this is", ""),
		failure(NotAMember, Membership, exitcode.Denied, "the organisation does not know the identity (TF401444)",
			"the organisation does not know the identity that the message names (tenant, then object id): "+
				"add it, with a Basic licence ("+usersPage+", Add users)"+setupHint),
		failure(NotAuthorized, Membership, exitcode.Denied, "the organisation refuses the identity (TF400813)",
			"the organisation refuses the identity that the message names: is it a user with a licence ("+usersPage+"), "+
				"and does a personal access token have the scope Agent Pools (read, manage)?"),
		failure(Unrecognised, Membership, exitcode.Denied, "Azure DevOps answers, and takes the caller for nobody: the organisation shows something to everybody",
			"the token was not understood: it is expired, of another tenant, or no token for Azure DevOps"),
		failure(ServiceConnection, Membership, exitcode.Denied, "a service connection's identity is not in the organisation",
			"add the identity that the message names, with a Basic licence ("+usersPage+", Add users)"),
		failure(NoProject, Membership, exitcode.Denied, "a service connection names a project that is not there, or not to be seen (VS800075)",
			"is the project in the service connection's federated credential the right one, and may the identity see it (Project settings, Permissions)?"),
		warning(Stakeholder, Licence, "the identity has a Stakeholder licence: Microsoft asks for Basic",
			"give it a Basic licence ("+usersPage+", the identity, Change access level)"+setupHint),
		warning(NoLicence, Licence, "the identity has no licence: Microsoft asks for Basic",
			"give it a Basic licence ("+usersPage+", the identity, Change access level); the organisation must have one left (Organization settings, Billing)"+setupHint),
		warning(LicencePending, Licence, "the licence is not in force yet", "it is usual right after the identity was added: wait some minutes"),
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
	const another = "make a self-hosted pool (Organization settings, Agent pools, Add pool), and name it in AZP_POOL (--pool)"
	return []Case{
		failure(PoolNotAmong, Pool, exitcode.Denied, "the identity sees other pools, and not this one: its name is wrong, or it has no role on it",
			"the identity sees other pools, so its licence and its tenant are right: either AZP_POOL (--pool) or AZP_POOL_ID (--pool-id) "+
				"is wrong, or the identity has no role on that pool: "+giveRole+setupHint),
		failure(NoPools, Pool, exitcode.Denied, "the identity sees no pool at all: it has no role on any, or no licence",
			"the identity sees no pool at all, so it is hardly the name: begin with its Basic licence ("+usersPage+"), "+
				"without which no role counts; then "+giveRole+"; and compare the organisation's tenant (Organization settings, Microsoft Entra) with the identity's"+setupHint),
		failure(NoPoolsLicence, Pool, exitcode.Denied, "the identity sees no pool at all, and has no Basic licence",
			"give it a Basic licence ("+usersPage+", the identity, Change access level): without one no role counts; then "+giveRole+setupHint),
		failure(PoolInvisible, Pool, exitcode.Denied, "the pool is not there, or not to be seen; which others are, could not be found out",
			"if the pool exists, the identity may not see it: it needs a Basic licence in the organisation ("+usersPage+"); then "+giveRole+setupHint),
		failure(PoolUnknown, Pool, exitcode.Unavailable, "Azure DevOps does not answer which pools there are", ""),
		failure(NoManage, Role, exitcode.Denied, "the identity may view the pool, and not manage it: it cannot register an agent",
			"give the identity the Administrator role on the organisation's pool ("+rolePage+"): the role on a project's pool is not enough"+setupHint),
		warning(RoleUnknown, Role, "Azure DevOps does not say what the identity may do in the pool", "look at "+rolePage),
		failure(HostedPool, PoolKind, exitcode.Unavailable, "the pool's agents are hosted by Microsoft", another),
		failure(ElasticPool, PoolKind, exitcode.Unavailable, "the pool is a scale set pool, which Azure DevOps fills itself", another),
		failure(DeploymentPool, PoolKind, exitcode.Unavailable, "the pool is a deployment pool, whose agents take no jobs of a pool", another),
		failure(AgentGone, Pool, exitcode.Unavailable, "somebody has removed the agent from its pool",
			"nothing, if it was meant: azptend run registers it anew; if it was not, look at the pool's audit log (Organization settings, Auditing)"),
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
	LongerThan     Cause = "longer-than-the-platform"
	GraceNotKnown  Cause = "grace-not-set"
)

func machineCases() []Case {
	return []Case{
		failure(FolderUnusable, Folder, exitcode.DirUnusable, "no agent can work in the folder: no listener, one of another architecture, or nothing can be written", ""),
		warning(LittleSpace, Folder, "the disk has less than 5 % left: the agent warns of it in every job",
			"make room, or set AZP_WORK (--work) to a folder on another disk"),
		failure(NoLoader, Runtime, exitcode.DirUnusable, "the listener is built for another C library than this system's",
			"install the agent package for this system (`azptend install` finds out which): linux-x64 and linux-arm64 are for glibc, linux-musl-x64 and linux-musl-arm64 for musl (Alpine)"),
		failure(NoVersion, Runtime, exitcode.DirUnusable, "the listener does not start", "its runtime may lack a library (libicu, libssl, libstdc++): bin/installdependencies.sh in the agent's folder installs them"),
		warning(NoICU, Runtime, "ICU is not found: .NET ends without it",
			"install libicu (Debian, Ubuntu), libicu or icu (others), icu-libs (Alpine), or set DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1"),
		warning(MetadataOpen, Reach, "jobs can ask the machine's metadata service for the identity's tokens",
			"AKS: az aks nodepool update --pod-link-local-access None; a VM: AZP_RUN_AS and `ip rule add uidrange UID-UID to 169.254.169.254/32 prohibit`; "+
				"elsewhere give the identity the pool's role and no other right (docs/security.md)"),
		warning(FileReadable, Reach, "the user that jobs run as can read a file that the identity comes from",
			"make it azptend's user's, with mode 0400, and set AZP_RUN_AS (--run-as) to another user"),
		warning(Dumpable, Reach, "jobs of the same user can read azptend's memory", "set AZP_RUN_AS (--run-as) to another user"),
		warning(Tracing, Reach, "jobs have a capability with which they can look into every process",
			"set AZP_RUN_AS (--run-as) to a user without privileges, or drop the capability"),
		warning(ParentShows, Reach, "a process above azptend shows jobs a secret in its environment",
			"start azptend in its place: `exec azptend run`, without sh -c, tini or --init, for azptend is an init itself; or give it the secret in a file (AZP_TOKEN_FILE)"),
		warning(PassesOn, Reach, "jobs get variables that azptend would withhold (AZP_PASS_ENV)", "leave AZP_PASS_ENV (--pass-env) unset if they are not meant to"),
		warning(NoDrain, Budget, "the grace period is too short to finish a job: a stop cancels it", ""),
		warning(LongerThan, Budget, "the grace period is longer than the platform gives",
			"set AZP_GRACE_PERIOD to no more than that: what is planned for later will not happen"),
		warning(GraceNotKnown, Budget, "the platform's default is assumed; it may have been given another", ""),
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
		warning(JobsWaitNobody, Queue, "jobs wait, and the pool has no agent", "start one: azptend run"),
		warning(JobsWaitDemands, Queue, "jobs wait for demands that no agent meets",
			"give an agent the capability (AZP_CAPABILITIES), or take the demand out of the pipeline"),
		warning(JobsWaitOffline, Queue, "jobs wait, and all agents that could take them are offline", "start one: azptend run"),
		warning(JobsWaitDisabled, Queue, "jobs wait, and all agents that could take them are disabled",
			"enable one (Organization settings, Agent pools, the pool, Agents)"),
		warning(JobsWaitBusy, Queue, "jobs wait, and all agents that could take them are busy", "add agents, if they wait for too long"),
		warning(JobsWait, Queue, "jobs wait although an agent could take them",
			"wait a moment; then look whether the organisation has a parallel job left (Organization settings, Parallel jobs), and whether the pipeline may use the pool"),
		warning(QueueUnknown, Queue, "Azure DevOps does not tell which jobs wait", ""),
	}
}
