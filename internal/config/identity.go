package config

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/azptend/azptend/internal/identity"
	"github.com/azptend/azptend/internal/secret"
)

// auto lets validateIdentity decide.
const auto = "auto"

// auths are the values of AZP_AUTH. A token file has no value: pat uses it, if there is one,
// before AZP_TOKEN.
var auths = map[string]identity.Source{
	auto: "", "managed-identity": identity.ManagedIdentity, "workload-identity": identity.WorkloadIdentity,
	"service-principal": identity.ServicePrincipal, "pat": identity.PAT, "azure-cli": identity.AzureCLI,
}

func setAuth(s *Settings, v string) (err error) {
	var words []string
	for word := range auths {
		words = append(words, word)
	}
	if s.Auth, err = choice(v, words...); err != nil {
		s.Auth = auto // so that there is only one error
	}
	return err
}

// detectHost finds the token endpoint for managed identities by the same rules as the SDK.
func detectHost(env map[string]string) identity.Host {
	is := func(name string) bool { return env[name] != "" }
	switch {
	case is("IDENTITY_ENDPOINT") && is("IDENTITY_HEADER") && is("IDENTITY_SERVER_THUMBPRINT"):
		return identity.ServiceFabric
	case is("IDENTITY_ENDPOINT") && is("IDENTITY_HEADER") && (is("CONTAINER_APP_NAME") || is("CONTAINER_APP_JOB_NAME")):
		return identity.ContainerApps
	case is("IDENTITY_ENDPOINT") && is("IDENTITY_HEADER"):
		return identity.AppService
	case is("MSI_ENDPOINT") && is("MSI_SECRET"):
		return identity.AzureML
	case is("MSI_ENDPOINT"):
		return identity.CloudShell
	case is("IDENTITY_ENDPOINT") && is("IMDS_ENDPOINT"):
		return identity.AzureArc
	}
	// Container Instances set IDENTITY_HEADER and IDENTITY_SERVER_THUMBPRINT without an
	// endpoint, which has no meaning (reference/identity.md 1.3).
	return identity.MetadataService
}

// candidate is an identity for which all settings are set.
type candidate struct {
	names   []string // the settings that select it
	options identity.Options
}

// candidates are the identities that could be used. Those that a person configured come before
// those that a platform provides (docs/identity.md). The last one always exists, because no
// variable shows whether there is a metadata service.
func (s *Settings) candidates(env map[string]string) []candidate {
	var found []candidate
	add := func(complete bool, o identity.Options, names ...string) {
		if complete {
			found = append(found, candidate{names, o})
		}
	}
	named := s.managedSelectors()
	managed := identity.Options{Source: identity.ManagedIdentity, Host: detectHost(env), Managed: s.Managed}
	file := identity.Options{Source: identity.TokenFile, TokenFile: s.TokenFile}
	if named != nil {
		file.Host, file.Managed = managed.Host, managed.Managed // used if the file has no token
	} else {
		managed.Managed.ClientID = env["AZURE_CLIENT_ID"]
	}
	add(s.TokenFile != "", file, "AZP_TOKEN_FILE")
	add(named != nil, managed, named...)

	own := servicePrincipal(s.Application, env)
	add(isComplete(own.Application), own, "AZP_CLIENTID")
	add(!s.Token.IsZero(), identity.Options{Source: identity.PAT, PAT: s.Token}, "AZP_TOKEN")

	workload := identity.Application{
		ClientID: cmp.Or(s.Application.ClientID, env["AZURE_CLIENT_ID"]), TenantID: own.Application.TenantID,
		FederatedTokenFile: env["AZURE_FEDERATED_TOKEN_FILE"],
	}
	add(workload.FederatedTokenFile != "" && workload.ClientID != "" && workload.TenantID != "",
		identity.Options{Source: identity.WorkloadIdentity, Application: workload}, "AZURE_FEDERATED_TOKEN_FILE")

	injected := servicePrincipal(identity.Application{
		ClientID: env["AZURE_CLIENT_ID"], TenantID: s.Application.TenantID, Secret: secret.New(env["AZURE_CLIENT_SECRET"]),
	}, env)
	by := "AZURE_CLIENT_SECRET"
	if injected.Application.Secret.IsZero() {
		by = "AZURE_CLIENT_CERTIFICATE_PATH"
	}
	add(isComplete(injected.Application), injected, by)
	switch {
	case named != nil:
	case env["IDENTITY_ENDPOINT"] != "":
		add(true, managed, "IDENTITY_ENDPOINT")
	default:
		add(true, managed)
	}
	return found
}

// servicePrincipal completes an application with the platform's variables. If there are a
// secret and a certificate, it uses the secret, like the SDK.
func servicePrincipal(a identity.Application, env map[string]string) identity.Options {
	a.TenantID = cmp.Or(a.TenantID, env["AZURE_TENANT_ID"])
	if a.Secret.IsZero() {
		a.CertificateFile = cmp.Or(a.CertificateFile, env["AZURE_CLIENT_CERTIFICATE_PATH"])
		a.CertificatePassword = secret.New(env["AZURE_CLIENT_CERTIFICATE_PASSWORD"])
		a.SendChain, _ = parseBool(env["AZURE_CLIENT_SEND_CERTIFICATE_CHAIN"])
	} else {
		a.CertificateFile = ""
	}
	return identity.Options{Source: identity.ServicePrincipal, Application: a}
}

func isComplete(a identity.Application) bool {
	return a.ClientID != "" && a.TenantID != "" && (!a.Secret.IsZero() || a.CertificateFile != "")
}

// managedSelectors are the settings that name a managed identity.
func (s *Settings) managedSelectors() []string {
	var names []string
	for _, id := range []struct{ name, value string }{
		{"MANAGED_IDENTITY_OBJECT_ID", s.Managed.ObjectID}, {"USRMI_ID", s.Managed.ClientID}, {"AZP_IDENTITY_RESOURCE_ID", s.Managed.ResourceID},
	} {
		if id.value != "" {
			names = append(names, id.name)
		}
	}
	return names
}

// useAzureCLI uses the login of the Azure CLI instead of what was chosen. It keeps the
// options that all identities have.
func (s *Settings) useAzureCLI() {
	o := &s.Identity.Options
	o.Source, o.Application = identity.AzureCLI, identity.Application{TenantID: s.Application.TenantID}
	o.Host, o.Managed = "", identity.ManagedID{}
}

// settingNames are the settings that select these candidates, without those in except.
func settingNames(all []candidate, except []string) []string {
	var names []string
	for _, c := range all {
		for _, name := range c.names {
			if !slices.Contains(except, name) && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// PreferAzureCLI uses the login of the Azure CLI if no setting selects an identity. It is for
// commands of an administrator, whose machine has no managed identity.
func (s *Settings) PreferAzureCLI() {
	if s.Identity.Setting == "" {
		s.useAzureCLI()
	}
}

var (
	guid       = regexp.MustCompile(`^[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$`)
	tenantName = regexp.MustCompile(`^[0-9a-zA-Z.-]+$`) // a GUID or a domain, as the SDK requires
)

// Hints that several messages have.
const (
	principalIDHint = "run `az identity show --query principalId` to see it"
	tenantIDHint    = "run `az account show --query tenantId` to see it"
	mountHint       = "check that the file is mounted and that this user can read it"
)

// validateIdentity checks the settings that name an identity, and takes the first candidate
// that AZP_AUTH allows.
func (s *Settings) validateIdentity(env map[string]string, bad *problems) {
	s.validateSelectors(bad)
	s.validateTokens(bad)
	s.validatePrincipal(env, bad)
	all := s.candidates(env)
	wanted := auths[s.Auth]
	if wanted == identity.AzureCLI {
		s.Identity = ChosenIdentity{Setting: "AZP_AUTH", Ignored: settingNames(all, nil)}
		s.useAzureCLI()
		return
	}
	at := slices.IndexFunc(all, func(c candidate) bool {
		return wanted == "" || wanted == c.options.Source || wanted == identity.PAT && c.options.Source == identity.TokenFile
	})
	if at < 0 {
		bad.add(missingHint(wanted), "AZP_AUTH (--auth) is %s, but no such identity is set", s.Auth)
		return
	}
	used := all[at].names
	s.Identity = ChosenIdentity{Options: all[at].options, Setting: strings.Join(used, ", ")}
	if wanted != "" {
		s.Identity.Setting = "AZP_AUTH"
	}
	if s.Identity.Source == identity.TokenFile {
		used = append(used, s.managedSelectors()...)
	}
	s.Identity.Ignored = settingNames(all, used)
	checkIdentityHeader(s.Identity.Host, env, bad)
}

// checkIdentityHeader refuses an endpoint without its header. The SDK would send requests to a
// metadata service or a Cloud Shell, which a container app does not have
// (reference/identity.md 2).
func checkIdentityHeader(chosen identity.Host, env map[string]string, bad *problems) {
	if env["IDENTITY_ENDPOINT"] != "" && env["IDENTITY_HEADER"] == "" && chosen == identity.MetadataService ||
		chosen == identity.CloudShell && env["IDENTITY_ENDPOINT"] != "" {
		bad.add("pass IDENTITY_HEADER on too: the platform sets both, and a wrapper script, sudo or su may drop one",
			"IDENTITY_ENDPOINT is set and IDENTITY_HEADER is not: the endpoint refuses requests without it")
	}
}

func (s *Settings) validateSelectors(bad *problems) {
	if s.Managed.ObjectID != "" && !guid.MatchString(s.Managed.ObjectID) {
		bad.add(principalIDHint, "MANAGED_IDENTITY_OBJECT_ID (--identity-object-id) is %q, which is not an object id", s.Managed.ObjectID)
	}
	if s.Managed.ClientID != "" && !guid.MatchString(s.Managed.ClientID) {
		bad.add("run `az identity show --query clientId` to see it", "USRMI_ID (--identity-client-id) is %q, which is not a client id", s.Managed.ClientID)
	}
	if s.Managed.ResourceID != "" && !strings.HasPrefix(strings.ToLower(s.Managed.ResourceID), "/subscriptions/") {
		bad.add("run `az identity show --query id` to see it", "AZP_IDENTITY_RESOURCE_ID (--identity-resource-id) is %q, which is not a resource id", s.Managed.ResourceID)
	}
	if names := s.managedSelectors(); len(names) > 1 {
		bad.add("set one of them", "%s each name a managed identity, and azptend can use only one", strings.Join(names, " and "))
	}
}

func (s *Settings) validateTokens(bad *problems) {
	if s.TokenFile != "" {
		if err := checkReadable(s.TokenFile); err != nil {
			bad.add(mountHint, "AZP_TOKEN_FILE (--token-file) is %q, which cannot be read: %v", s.TokenFile, err)
		}
	}
	if s.Token.IsZero() {
		return
	}
	if err := identity.CheckToken(s.Token.Reveal()); err != nil {
		bad.add("copy the whole token, and nothing else", "AZP_TOKEN %v", err)
	}
}

// validatePrincipal reports a service principal of which only some settings are set.
func (s *Settings) validatePrincipal(env map[string]string, bad *problems) {
	if s.Application.ClientID != "" && !guid.MatchString(s.Application.ClientID) {
		bad.add("use the application (client) id from Entra ID's app registrations", "AZP_CLIENTID (--client-id) is %q, which is not a client id", s.Application.ClientID)
	}
	if s.Application.TenantID != "" && !tenantName.MatchString(s.Application.TenantID) {
		bad.add(tenantIDHint, "AZP_TENANTID (--tenant-id) is %q, which is neither a tenant's id nor a domain", s.Application.TenantID)
	}
	if s.Application.CertificateFile != "" {
		if err := checkReadable(s.Application.CertificateFile); err != nil {
			bad.add(mountHint, "AZP_CLIENTCERTIFICATE (--client-certificate) is %q, which cannot be read: %v", s.Application.CertificateFile, err)
		}
	}
	if s.Auth != auto && auths[s.Auth] != identity.ServicePrincipal {
		return
	}
	proof := !s.Application.Secret.IsZero() || s.Application.CertificateFile != ""
	tenant := s.Application.TenantID != "" || env["AZURE_TENANT_ID"] != ""
	switch {
	case proof && s.Application.ClientID == "":
		bad.add("set AZP_CLIENTID (--client-id) to the application (client) id", "AZP_CLIENTID (--client-id) %v, but a client secret or certificate is", errNotSet)
	case proof && !tenant:
		bad.add(tenantIDHint, "AZP_TENANTID (--tenant-id) %v, but AZP_CLIENTID is", errNotSet)
	case s.Application.ClientID != "" && !proof && env["AZURE_CLIENT_CERTIFICATE_PATH"] == "" && env["AZURE_FEDERATED_TOKEN_FILE"] == "":
		bad.add("for a managed identity set USRMI_ID (--identity-client-id) instead",
			"AZP_CLIENTID (--client-id) is set, but neither AZP_CLIENTSECRET nor AZP_CLIENTCERTIFICATE (--client-certificate) is")
	}
}

// missingHint says which settings a kind of identity needs.
func missingHint(source identity.Source) string {
	switch source {
	case identity.WorkloadIdentity:
		return "enable workload identity on the cluster (az aks update --enable-oidc-issuer --enable-workload-identity), label the pod azure.workload.identity/use=true and annotate its service account: AKS then sets AZURE_FEDERATED_TOKEN_FILE, AZURE_CLIENT_ID and AZURE_TENANT_ID"
	case identity.ServicePrincipal:
		return "set AZP_CLIENTID, AZP_TENANTID and AZP_CLIENTSECRET or AZP_CLIENTCERTIFICATE"
	}
	return "set AZP_TOKEN_FILE or AZP_TOKEN"
}

// identityWarnings warns about a workload identity of which a variable is missing.
func (s *Settings) identityWarnings(env map[string]string) {
	if env["AZURE_FEDERATED_TOKEN_FILE"] == "" || s.Identity.Source == identity.WorkloadIdentity || slices.Contains(s.Identity.Ignored, "AZURE_FEDERATED_TOKEN_FILE") {
		return
	}
	for _, name := range []string{"AZURE_CLIENT_ID", "AZURE_TENANT_ID"} {
		if env[name] == "" {
			s.warn("AZURE_FEDERATED_TOKEN_FILE has no effect without %s; annotate the pod's service account with its client id", name)
			return
		}
	}
}

// WithFileToken reads the token file once, so that Secrets includes its token: a start script
// that writes the file may have the token in its environment. It ignores errors, because the
// code that uses the file reports them.
func (s Settings) WithFileToken() Settings {
	if s.TokenFile != "" && s.Registered == "" {
		s.FileToken, _ = identity.ReadTokenFile(context.Background(), s.TokenFile)
	}
	return s
}
