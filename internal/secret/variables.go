package secret

import (
	"slices"
	"strings"
)

// IdentityVariables are the variables, beside azptend's own settings, that hold a
// credential for azptend's identity.
func IdentityVariables() []string {
	return []string{
		"IDENTITY_HEADER", "MSI_SECRET",
		"AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PASSWORD", "AZURE_PASSWORD",
	}
}

// variables hold a credential for azptend's identity or for Azure DevOps.
var variables = append(IdentityVariables(),
	"AZP_TOKEN", "AZP_CLIENTSECRET", "AZP_KEEP_TOKEN",
	"SYSTEM_ACCESSTOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
	"VSTS_AGENT_INPUT_TOKEN", "VSTS_AGENT_INPUT_PASSWORD", "VSTS_AGENT_INPUT_CLIENTSECRET",
	// Tokens for Azure DevOps by the names of other tools: az devops and its successors,
	// Terraform's provider, Microsoft's former image, and common start scripts.
	"AZURE_DEVOPS_EXT_PAT", "AZURE_DEVOPS_PAT", "AZURE_DEVOPS_TOKEN",
	"AZDO_PERSONAL_ACCESS_TOKEN", "AZDO_PAT", "AZDO_TOKEN", "AZDO_PASSWORD",
	"ADO_PAT", "ADO_TOKEN", "AGENT_PAT", "VSTS_TOKEN", "VSTS_PAT",
)

// IsVariable reports whether a variable of this name holds a credential. Case does not
// matter.
func IsVariable(name string) bool {
	return slices.ContainsFunc(variables, func(v string) bool { return strings.EqualFold(v, name) })
}
