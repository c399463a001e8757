package mslistener

import (
	"encoding/base64"
	"log/slog"
	"net/url"
	"slices"
	"strings"

	"github.com/azptend/azptend/internal/secret"
)

// withheldVariables lead to an identity (reference/identity.md 6.1). Those that are a
// credential themselves are in package secret. Every job can read what the listener
// inherits, and the listener publishes most of it as capabilities of the agent
// (agent-protocol.md 4.4).
var withheldVariables = []string{
	"IDENTITY_ENDPOINT", "IDENTITY_SERVER_THUMBPRINT", "IDENTITY_API_VERSION",
	"IMDS_ENDPOINT", "MSI_ENDPOINT", "DEFAULT_IDENTITY_CLIENT_ID",
	"MANAGED_IDENTITY_OBJECT_ID", "USRMI_ID",
	"AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST", "AZURE_CLIENT_ID", "AZURE_TENANT_ID",
	"AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_USERNAME",
	"AZP_TOKEN_FILE", "AZP_CLIENTID", "AZP_CLIENTCERTIFICATE", "AZP_TENANTID", "AZP_IDENTITY_RESOURCE_ID",
	"AZP_PROXY",                                      // the agent has its own name for it
	"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", // only azptend talks to systemd
	"AZP_KEEP_TOKEN_FILE", "AZP_KEEP_SCALE_TOKEN_FILE", "VSTS_TOKEN_FILE",
	"SYSTEM_OIDCREQUESTURI",
}

// withheldPrefixes are prefixes of further such variables. The listener would take
// VSTS_AGENT_INPUT_* as its own arguments, and they may contain a token.
var withheldPrefixes = []string{"AZURE_KUBERNETES_", "ACTIONS_ID_TOKEN_", "VSTS_AGENT_INPUT_"}

// proxyPasswords contain a proxy's password, and the agent does not mask them by their name.
var proxyPasswords = []string{"PROXY_PASSWORD", "PROXY_PASS", "HTTP_PROXY_PASSWORD", "HTTPS_PROXY_PASSWORD"}

const (
	// unpublishedVariable lists the variables that the listener does not publish
	// (agent-protocol.md 4.4).
	unpublishedVariable = "VSO_AGENT_IGNORE"
	// disableUpdates tells the listener to ignore the server's requests to update. No
	// shell can export this name (agent-protocol.md 4.3).
	disableUpdates = "agent.disableupdate=true"
)

// EnvFilter says which of azptend's variables the listener and its jobs do not get, in
// addition to those that are always withheld.
type EnvFilter struct {
	Secrets []secret.Text // a variable whose value contains one of them is withheld
	Names   []string      // further names to withhold
	Pass    []string      // names to pass on in any case; the listener does not publish them
}

// Apply returns the part of environ ("NAME=value") that the listener and its jobs get,
// and the sorted names of the rest.
func (f EnvFilter) Apply(environ []string) (env, withheld []string) {
	env, byName, byValue := f.split(environ)
	return env, slices.Sorted(slices.Values(append(byName, byValue...)))
}

// Environment is Apply, and logs what jobs can and cannot read.
func (f EnvFilter) Environment(environ []string, log *slog.Logger) []string {
	env, byName, byValue := f.split(environ)
	log.Debug("Variables withheld from jobs", "variables", joinSorted(append(byName, byValue...)))
	if len(byValue) > 0 {
		log.Info("Variables withheld from jobs: they contain a secret of azptend", "variables", joinSorted(byValue),
			"hint", "set AZP_PASS_ENV (--pass-env) to pass a variable to jobs")
	}
	if len(f.Pass) > 0 {
		log.Warn("Jobs can read variables that azptend would withhold", "variables", strings.Join(f.Pass, " "))
	}
	var passwords []string
	for _, pair := range env {
		if name, value, _ := strings.Cut(pair, "="); value != "" && containsFold(proxyPasswords, name) {
			passwords = append(passwords, name)
		}
	}
	if len(passwords) > 0 {
		log.Warn("Jobs can read the password of a proxy, and the agent publishes it as a capability", "variables", joinSorted(passwords),
			"hint", "set AZP_PROXY instead: the agent masks its password")
	}
	return env
}

// split separates the variables that jobs get from those that are withheld because of
// their name, and those that are withheld because their value contains a secret.
func (f EnvFilter) split(environ []string) (env, byName, byValue []string) {
	secrets := encodingsOf(f.Secrets)
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		switch {
		case slices.Contains(f.Pass, name):
			env = append(env, pair)
		case isWithheld(name) || slices.Contains(f.Names, name):
			byName = append(byName, name)
		case containsSecret(value, secrets):
			byValue = append(byValue, name)
		default:
			env = append(env, pair)
		}
	}
	return f.unpublish(env), byName, byValue
}

// unpublish adds the names in Pass to the variables that the listener does not publish.
func (f EnvFilter) unpublish(env []string) []string {
	if len(f.Pass) == 0 {
		return env
	}
	names := strings.Join(f.Pass, ",")
	i := slices.IndexFunc(env, func(pair string) bool { return strings.HasPrefix(pair, unpublishedVariable+"=") })
	if i < 0 {
		return append(env, unpublishedVariable+"="+names)
	}
	env[i] = strings.Replace(strings.TrimRight(env[i], ",")+","+names, "=,", "=", 1)
	return env
}

// secretVariables returns the names of the variables in environ that are a credential:
// because of their name, or because they contain one of these values.
func secretVariables(environ []string, secrets []secret.Text) []string {
	var names []string
	all := encodingsOf(secrets)
	for _, pair := range environ {
		if name, value, _ := strings.Cut(pair, "="); value != "" && (secret.IsVariable(name) || containsSecret(value, all)) {
			names = append(names, name)
		}
	}
	return slices.Sorted(slices.Values(names))
}

// minSecretLength is the minimum length of a secret that is searched for in other
// variables: a shorter one may be part of a word.
const minSecretLength = 16

// containsSecret reports whether value contains one of the encodings.
func containsSecret(value string, encodings []string) bool {
	return slices.ContainsFunc(encodings, func(e string) bool { return strings.Contains(value, e) })
}

// encodingsOf returns the secrets as they are, and as tools embed a token: escaped in a
// URL, and in base64, as in an Authorization header. The base64 text depends on how many
// bytes precede the secret. Characters that also encode bits of other bytes are left out.
func encodingsOf(secrets []secret.Text) []string {
	var all []string
	for _, one := range secrets {
		s := one.Reveal()
		if len(s) < minSecretLength {
			continue
		}
		all = append(all, s, url.QueryEscape(s), url.PathEscape(s))
		for before := range 3 {
			padded := append(make([]byte, before), s...)
			from, to := (before*8+5)/6, len(padded)*8/6
			for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
				all = append(all, e.EncodeToString(padded)[from:to])
			}
		}
	}
	return all
}

// isWithheld ignores case, because the listener does when it reads variables
// (agent-protocol.md 1.2), and a job may.
func isWithheld(name string) bool {
	upper := strings.ToUpper(name)
	return secret.IsVariable(name) || containsFold(withheldVariables, name) ||
		slices.ContainsFunc(withheldPrefixes, func(prefix string) bool { return strings.HasPrefix(upper, prefix) })
}

func containsFold(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
}

func joinSorted(names []string) string {
	return strings.Join(slices.Sorted(slices.Values(names)), " ")
}
