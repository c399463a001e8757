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

// auto lets chooseIdentity decide.
const auto = "auto"

// auths are the values of AZP_AUTH. A token file has no value of its own: it is the
// first choice of pat.
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
		s.Auth = auto // so that there is one complaint
	}
	return err
}

// detectHost finds which endpoint hands out tokens of managed identities, as the SDK
// does.
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
	// Container Instances set IDENTITY_HEADER and IDENTITY_SERVER_THUMBPRINT without
	// an endpoint; these mean nothing (reference/identity.md 1.3).
	return identity.MetadataService
}

// candidate is an identity for which every setting is there.
type candidate struct {
	names   []string // the settings that select it
	options identity.Options
}

// candidates are the identities that could be used. What a person set comes before
// what a platform injects (docs/identity.md). The last one is always there: a metadata
// service announces itself by no variable.
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
		file.Host, file.Managed = managed.Host, managed.Managed // which is used if the file gives no token
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

// servicePrincipal completes an application with what the platform injects. If it has a
// secret and a certificate, the secret is used, as the SDK does.
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

// chooseIdentity takes the first candidate that AZP_AUTH allows.
func (s *Settings) chooseIdentity(env map[string]string) (chosen ChosenIdentity, found bool) {
	all := s.candidates(env)
	wanted := auths[s.Auth]
	if wanted == identity.AzureCLI {
		return ChosenIdentity{Options: s.azureCLI(), Reason: "AZP_AUTH", Ignored: settingNames(all, nil)}, true
	}
	at := slices.IndexFunc(all, func(c candidate) bool {
		return wanted == "" || wanted == c.options.Source || wanted == identity.PAT && c.options.Source == identity.TokenFile
	})
	if at < 0 {
		return ChosenIdentity{}, false
	}
	used := all[at].names
	chosen = ChosenIdentity{Options: all[at].options, Reason: strings.Join(used, ", ")}
	switch {
	case wanted != "":
		chosen.Reason = "AZP_AUTH"
	case len(used) == 0:
		chosen.Reason, chosen.ByDefault = "nothing else is set", true
	}
	if chosen.Source == identity.TokenFile {
		used = append(used, s.managedSelectors()...)
	}
	chosen.Ignored = settingNames(all, used)
	return chosen, true
}

func (s *Settings) azureCLI() identity.Options {
	return identity.Options{Source: identity.AzureCLI, Application: identity.Application{TenantID: s.Application.TenantID}}
}

// settingNames are the settings that select these candidates, except for some.
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

// PreferAzureCLI uses the login of the Azure CLI if no setting selects an identity. An
// administrator's commands run on a person's machine, which has no identity.
func (s *Settings) PreferAzureCLI() {
	if s.Identity.ByDefault {
		s.Identity.Options = s.azureCLI()
	}
}

var (
	guid       = regexp.MustCompile(`^[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$`)
	tenantName = regexp.MustCompile(`^[0-9a-zA-Z.-]+$`) // a GUID or a domain; what the SDK takes
)

// The hints that say where an id is found.
const (
	principalIDHint = "run `az identity show --query principalId` to see it"
	tenantIDHint    = "run `az account show --query tenantId` to see it"
	mountHint       = "check that the file is mounted and that this user can read it"
)

// validateIdentity checks what names an identity, and chooses.
func (s *Settings) validateIdentity(env map[string]string, bad *problems) {
	s.validateSelectors(bad)
	s.validateTokens(bad)
	s.validatePrincipal(env, bad)
	chosen, found := s.chooseIdentity(env)
	if !found {
		bad.add(missingHint(auths[s.Auth]), "AZP_AUTH (--auth) is %s, but no such identity is set", s.Auth)
		return
	}
	s.Identity = chosen
	if env["IDENTITY_ENDPOINT"] != "" && env["IDENTITY_HEADER"] == "" && chosen.Host == identity.MetadataService ||
		chosen.Host == identity.CloudShell && env["IDENTITY_ENDPOINT"] != "" {
		// Without an error the SDK would ask a metadata service or a Cloud Shell, and a
		// container app has neither (reference/identity.md 2).
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

// validatePrincipal finds half of a service principal: a person who sets one part
// wants to use it.
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

// missingHint says what a kind of identity needs.
func missingHint(source identity.Source) string {
	switch source {
	case identity.WorkloadIdentity:
		return "enable workload identity on the cluster (az aks update --enable-oidc-issuer --enable-workload-identity), label the pod azure.workload.identity/use=true and annotate its service account: AKS then sets AZURE_FEDERATED_TOKEN_FILE, AZURE_CLIENT_ID and AZURE_TENANT_ID"
	case identity.ServicePrincipal:
		return "set AZP_CLIENTID, AZP_TENANTID and AZP_CLIENTSECRET or AZP_CLIENTCERTIFICATE"
	}
	return "set AZP_TOKEN_FILE or AZP_TOKEN"
}

// identityWarnings finds a workload identity that lacks a part.
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

// WithFileToken reads the token file once, so that its token counts as a secret too: a
// start script that writes the file has the token in its environment. The code that uses
// the file reports that it cannot be read.
func (s Settings) WithFileToken() Settings {
	if s.TokenFile != "" && s.Registered == "" {
		s.FileToken, _ = identity.ReadTokenFile(context.Background(), s.TokenFile)
	}
	return s
}
