package doctor

import (
	"fmt"
	"strings"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/identity"
)

// UseExec is what to do about a shell that stays above azptend with process id 1.
const UseExec = "start azptend in place of the shell: write `exec azptend run`, or name azptend as the container's command"

// globalPATs is for everybody who uses a personal access token (docs/migrate.md).
const globalPATs = "Azure DevOps stops accepting global PATs (scope: all accessible organizations) on 2026-12-01: " +
	"use a PAT of one organisation, or an identity (docs/migrate.md)"

// fixFor is what to do about a cause if this identity was chosen. It names no setting of
// another kind. Its source is "" if that is not known.
func fixFor(c *Cause, chosen config.ChosenIdentity) string {
	fix := ""
	switch chosen.Source {
	case identity.ManagedIdentity:
		fix = managedFix(c, chosen.Setting)
	case identity.WorkloadIdentity:
		if c == EntraRefused {
			fix = "check AZURE_CLIENT_ID and AZURE_TENANT_ID, and that the application has a federated credential for this pod's service account"
		}
	case identity.ServicePrincipal:
		if c == EntraRefused {
			names := "AZP_CLIENTID and AZP_TENANTID, and that AZP_CLIENTSECRET or AZP_CLIENTCERTIFICATE"
			if strings.HasPrefix(chosen.Setting, "AZURE_") {
				names = "AZURE_CLIENT_ID and AZURE_TENANT_ID, and that " + chosen.Setting
			}
			fix = "check " + names + " belongs to that application and has not expired"
		}
	case identity.PAT:
		fix = patFix(c, "AZP_TOKEN")
	case identity.TokenFile:
		fix = patFix(c, "the file of AZP_TOKEN_FILE")
	}
	if fix == "" {
		fix = c.Fix
	}
	if chosen.Source == identity.PAT || chosen.Source == identity.TokenFile {
		fix = strings.ReplaceAll(fix, setupHint, "")
	}
	return fix
}

// completeSetup puts the organisation, the pool and the identity into the setup command of a fix.
func completeSetup(fix string, s config.Settings, objectID string) string {
	flag := "--pool " + ShellWord(s.Pool)
	if s.PoolID != 0 {
		flag = fmt.Sprintf("--pool-id %d", s.PoolID)
	}
	return strings.ReplaceAll(fix, setupIdentity, fmt.Sprintf("--url %s %s --identity %s", ShellWord(s.URL), flag, objectID))
}

// managedFix is for an identity that this setting selects; "" is none.
func managedFix(c *Cause, setting string) string {
	switch {
	case (c == NoEndpoint || c == NotAssigned) && setting == "":
		return identity.SetAnIdentity
	case c == NotAssigned && setting == "USRMI_ID":
		return "assign the identity to this container app or machine, and check that USRMI_ID is its client id"
	case c == NotAssigned && setting == "AZP_IDENTITY_RESOURCE_ID":
		return "assign the identity to this container app or machine, and check that AZP_IDENTITY_RESOURCE_ID is its resource id"
	case c == NotAssigned && setting == "IDENTITY_ENDPOINT":
		return "assign a system-assigned identity to this container app or machine, or name a user-assigned one in MANAGED_IDENTITY_OBJECT_ID"
	case c == Refused:
		return "check that the identity is a user of the organisation (" + usersPage + ") and in its tenant" + setupHint
	case c == NotAuthorized:
		return "check that the identity that the message names is a user with a licence (" + usersPage + ")" + setupHint
	}
	return ""
}

// patFix is for a token that a person made: where it is tells which setting to change.
func patFix(c *Cause, where string) string {
	switch c {
	case PATExpired:
		return "create a new personal access token, and put it into " + where + "; " + globalPATs
	case Refused, NotAuthorized, SignInPage, Unrecognised:
		return "check that the token in " + where + " has not expired or been revoked, is of this organisation, and has the scope Agent Pools (read, manage); " + globalPATs
	case PoolNotAmong:
		return "check AZP_POOL (--pool) or AZP_POOL_ID (--pool-id), create the pool (Organization settings, Agent pools, Add pool), or give the owner of the token the Administrator role on the pool (" + rolePage + ")"
	case NoPools:
		return "check that the token in " + where + " has the scope Agent Pools (read, manage), and " + "give its owner the Administrator role on the pool (" + rolePage + ")"
	case NoManage:
		return "give the owner of the token the Administrator role on the organisation's pool (" + rolePage + "): the role on a project's pool is not enough"
	}
	return ""
}
