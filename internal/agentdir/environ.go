package agentdir

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
)

// secretVariables are the variables that are a credential for azptend's identity or
// for Azure DevOps, ours and those of other tools and images.
func secretVariables() []string {
	return []string{
		"AZP_TOKEN", "AZP_CLIENTSECRET", "AZP_KEEP_TOKEN",
		"IDENTITY_HEADER", "MSI_SECRET",
		"AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PASSWORD", "AZURE_PASSWORD",
		"SYSTEM_ACCESSTOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
		"VSTS_AGENT_INPUT_TOKEN", "VSTS_AGENT_INPUT_PASSWORD", "VSTS_AGENT_INPUT_CLIENTSECRET",
		// Other tools' names for a token for Azure DevOps: az devops and its
		// successors, Terraform's provider, Microsoft's former image, and the start
		// scripts that people pass around.
		"AZURE_DEVOPS_EXT_PAT", "AZURE_DEVOPS_PAT", "AZURE_DEVOPS_TOKEN",
		"AZDO_PERSONAL_ACCESS_TOKEN", "AZDO_PAT", "AZDO_TOKEN", "AZDO_PASSWORD",
		"ADO_PAT", "ADO_TOKEN", "AGENT_PAT", "VSTS_TOKEN", "VSTS_PAT",
	}
}

// withheldVariables are further variables by which an identity can be had (identity.md
// 6.1): what the listener inherits, every job can read, and most of it the
// listener publishes as capabilities of the agent (agent-protocol.md 4.4).
func withheldVariables() []string {
	return []string{
		"IDENTITY_ENDPOINT", "IDENTITY_SERVER_THUMBPRINT", "IDENTITY_API_VERSION",
		"IMDS_ENDPOINT", "MSI_ENDPOINT", "DEFAULT_IDENTITY_CLIENT_ID",
		"MANAGED_IDENTITY_OBJECT_ID", "USRMI_ID",
		"AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST", "AZURE_CLIENT_ID", "AZURE_TENANT_ID",
		"AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_USERNAME",
		"AZP_TOKEN_FILE", "AZP_CLIENTID", "AZP_CLIENTCERTIFICATE", "AZP_TENANTID", "AZP_IDENTITY_RESOURCE_ID",
		"AZP_PROXY",                                      // the agent has a name of its own for it
		"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", // azptend speaks to systemd, and no job in its name
		"AZP_KEEP_TOKEN_FILE", "VSTS_TOKEN_FILE",
		"SYSTEM_OIDCREQUESTURI",
	}
}

// withheldPrefixes are families of such variables. VSTS_AGENT_INPUT_* would be
// read by the listener as its own arguments, and may hold a token.
func withheldPrefixes() []string {
	return []string{"AZURE_KUBERNETES_", "ACTIONS_ID_TOKEN_", "VSTS_AGENT_INPUT_"}
}

// unpublishedVariable names the variable that lists those which the listener does not publish
// (agent-protocol.md 4.4).
const unpublishedVariable = "VSO_AGENT_IGNORE"

// EnvFilter says what the listener and its jobs do not get of an environment,
// besides what is always withheld.
type EnvFilter struct {
	Secrets []string // values that no variable may hold, whatever its name
	Names   []string // further names
	Pass    []string // names to hand on all the same; the listener does not publish them
}

// Apply returns the part of environ ("NAME=value") that the listener and its
// jobs get, and the names of what it leaves out.
func (w EnvFilter) Apply(environ []string) (env, withheld []string) {
	secrets := formsOf(w.Secrets)
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		keep := isWithheld(name) || slices.Contains(w.Names, name) || containsSecret(value, secrets)
		if keep && !slices.Contains(w.Pass, name) {
			withheld = append(withheld, name)
			continue
		}
		if name == unpublishedVariable && len(w.Pass) > 0 {
			pair = strings.TrimRight(pair, ",") + "," + strings.Join(w.Pass, ",")
			pair = strings.Replace(pair, "=,", "=", 1)
		}
		env = append(env, pair)
	}
	if len(w.Pass) > 0 && !hasName(env, unpublishedVariable) {
		env = append(env, unpublishedVariable+"="+strings.Join(w.Pass, ","))
	}
	slices.Sort(withheld)
	return env, withheld
}

// WithheldByValue names the variables that are withheld only because they hold one of
// the secrets: their names say nothing about it.
func (w EnvFilter) WithheldByValue(environ []string) []string {
	var names []string
	secrets := formsOf(w.Secrets)
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if !isWithheld(name) && !slices.Contains(w.Names, name) && !slices.Contains(w.Pass, name) && containsSecret(value, secrets) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// SecretVariables names the variables of environ that are a secret: by their own name,
// or because they hold one of these values.
func SecretVariables(environ, secrets []string) []string {
	var names []string
	all := formsOf(secrets)
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if value != "" && (containsFold(secretVariables(), name) || containsSecret(value, all)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// UnmaskedProxyPasswords names the variables of environ that hold a proxy's password by
// a name that the agent does not mask: jobs get them, and the agent publishes them.
func UnmaskedProxyPasswords(environ []string) []string {
	var names []string
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if value != "" && containsFold([]string{"PROXY_PASSWORD", "PROXY_PASS", "HTTP_PROXY_PASSWORD", "HTTPS_PROXY_PASSWORD"}, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// minSecretLength is the length from which a value is looked for in other
// variables: a shorter one may be part of a word.
const minSecretLength = 16

// containsSecret says whether value contains one of the forms of the secrets.
func containsSecret(value string, forms []string) bool {
	return slices.ContainsFunc(forms, func(form string) bool { return strings.Contains(value, form) })
}

// formsOf are the secrets as they are, and in the forms in which tools embed a
// token: escaped in a URL, and in base64, as in an Authorization header.
func formsOf(secrets []string) []string {
	var all []string
	for _, secret := range secrets {
		if len(secret) >= minSecretLength {
			all = append(all, encodings(secret)...)
		}
	}
	return all
}

// encodings are the ways in which a secret may be written. In base64 it depends on
// how many bytes stand before it; the characters that it shares with its
// neighbours are left out.
func encodings(secret string) []string {
	all := []string{secret, url.QueryEscape(secret), url.PathEscape(secret)}
	for before := range 3 {
		padded := append(make([]byte, before), secret...)
		from, to := (before*8+5)/6, len(padded)*8/6
		for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			all = append(all, e.EncodeToString(padded)[from:to])
		}
	}
	return all
}

// isWithheld compares without case: the listener's readers do (agent-protocol.md
// 1.2), and a job's may.
func isWithheld(name string) bool {
	upper := strings.ToUpper(name)
	return containsFold(secretVariables(), name) || containsFold(withheldVariables(), name) ||
		slices.ContainsFunc(withheldPrefixes(), func(prefix string) bool { return strings.HasPrefix(upper, prefix) })
}

// containsFold compares without case.
func containsFold(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
}

func hasName(env []string, name string) bool {
	return slices.ContainsFunc(env, func(pair string) bool { return strings.HasPrefix(pair, name+"=") })
}

// DisableUpdates tells the listener to ignore the server's wish that it update itself.
// The name cannot be exported by a shell, which is why it is seldom met
// (agent-protocol.md 4.3).
const DisableUpdates = "agent.disableupdate=true"
