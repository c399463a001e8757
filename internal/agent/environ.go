package agent

import (
	"slices"
	"strings"
)

// withheld are the variables by which an identity can be had, or that are one
// (identity.md 6.1): what the listener inherits, every job can read, and most of
// it the listener publishes as capabilities of the agent (agent-protocol.md 4.4).
func withheld() []string {
	return []string{
		"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IDENTITY_SERVER_THUMBPRINT", "IDENTITY_API_VERSION",
		"IMDS_ENDPOINT", "MSI_ENDPOINT", "MSI_SECRET", "DEFAULT_IDENTITY_CLIENT_ID",
		"MANAGED_IDENTITY_OBJECT_ID", "USRMI_ID",
		"AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST", "AZURE_CLIENT_ID", "AZURE_TENANT_ID",
		"AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_CLIENT_CERTIFICATE_PASSWORD",
		"AZURE_USERNAME", "AZURE_PASSWORD",
		"AZP_TOKEN", "AZP_TOKEN_FILE", "AZP_CLIENTID", "AZP_CLIENTSECRET", "AZP_CLIENTCERTIFICATE", "AZP_TENANTID", "AZP_IDENTITY_RESOURCE_ID",
		"AZP_PROXY",                                      // the agent has a name of its own for it
		"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", // azptend speaks to systemd, and no job in its name
		"AZP_KEEP_TOKEN", "AZP_KEEP_TOKEN_FILE",
		"SYSTEM_ACCESSTOKEN", "SYSTEM_OIDCREQUESTURI",
	}
}

// withheldPrefixes are families of such variables. VSTS_AGENT_INPUT_* would be
// read by the listener as its own arguments, and may hold a token.
func withheldPrefixes() []string {
	return []string{"AZURE_KUBERNETES_", "ACTIONS_ID_TOKEN_", "VSTS_AGENT_INPUT_"}
}

// ignore names the variable that lists those which the listener does not publish
// (agent-protocol.md 4.4).
const ignore = "VSO_AGENT_IGNORE"

// Environment is what the listener and its jobs get of environ ("NAME=value"):
// everything but the ways to an identity, and what more names. Pass names
// variables to hand on all the same; the listener is told not to publish those.
// Kept names what was withheld.
func Environment(environ, pass, more []string) (env, kept []string) {
	for _, pair := range environ {
		name, _, _ := strings.Cut(pair, "=")
		if (isWithheld(name) || slices.Contains(more, name)) && !slices.Contains(pass, name) {
			kept = append(kept, name)
			continue
		}
		if name == ignore && len(pass) > 0 {
			pair = strings.TrimRight(pair, ",") + "," + strings.Join(pass, ",")
			pair = strings.Replace(pair, "=,", "=", 1)
		}
		env = append(env, pair)
	}
	if len(pass) > 0 && !hasName(env, ignore) {
		env = append(env, ignore+"="+strings.Join(pass, ","))
	}
	slices.Sort(kept)
	return env, kept
}

// isWithheld compares without case: the listener's readers do (agent-protocol.md
// 1.2), and a job's may.
func isWithheld(name string) bool {
	for _, w := range withheld() {
		if strings.EqualFold(name, w) {
			return true
		}
	}
	upper := strings.ToUpper(name)
	for _, prefix := range withheldPrefixes() {
		if strings.HasPrefix(upper, prefix) {
			return true
		}
	}
	return false
}

func hasName(env []string, name string) bool {
	return slices.ContainsFunc(env, func(pair string) bool { return strings.HasPrefix(pair, name+"=") })
}

// NoUpdates tells the listener to ignore the server's wish that it update itself.
// The name cannot be exported by a shell, which is why it is seldom met
// (agent-protocol.md 4.3).
const NoUpdates = "agent.disableupdate=true"
