package config

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/azptend/azptend/internal/secret"
)

// Source is where azptend's token comes from, in the words of AZP_AUTH.
type Source string

// The sources. Auto is only ever asked for; TokenFile is only ever found: it is
// pat's first choice.
const (
	Auto             Source = "auto"
	TokenFile        Source = "token-file"
	ManagedIdentity  Source = "managed-identity"
	WorkloadIdentity Source = "workload-identity"
	ServicePrincipal Source = "service-principal"
	PAT              Source = "pat"
	AzureCLI         Source = "azure-cli"
)

// IdentityChoice is the identity that the settings come to.
type IdentityChoice struct {
	Source  Source
	Reason  string   // the variable or flag that decided
	Ignored []string // what else is set, and is not used

	// Of a managed identity at most one of the three is set; none is the host's own.
	ObjectID, ClientID, ResourceID string
	Host                           Host // who is asked for a managed identity's token

	// Of the others: ClientID, and
	TenantID            string
	ClientSecret        secret.Text
	CertificateFile     string
	CertificatePassword secret.Text
	SendChain           bool   // with the certificate, for issuers that Entra ID trusts by name
	FederatedTokenFile  string // of a workload identity
}

// Host is the kind of endpoint that hands out managed identities' tokens here.
// The SDK finds it by the same variables, in the same order (identity.md 2).
type Host string

// The hosts. Metadata is the instance metadata service: virtual machines, scale
// sets, AKS nodes and Container Instances.
const (
	ContainerApps Host = "Container Apps"
	AppService    Host = "App Service"
	ServiceFabric Host = "Service Fabric"
	AzureML       Host = "Azure ML"
	CloudShell    Host = "Cloud Shell"
	AzureArc      Host = "Azure Arc"
	Metadata      Host = "the metadata service"
)

func detectHost(env map[string]string) Host {
	is := func(name string) bool { return env[name] != "" }
	switch {
	case is("IDENTITY_ENDPOINT") && is("IDENTITY_HEADER") && is("IDENTITY_SERVER_THUMBPRINT"):
		return ServiceFabric
	case is("IDENTITY_ENDPOINT") && is("IDENTITY_HEADER") && (is("CONTAINER_APP_NAME") || is("CONTAINER_APP_JOB_NAME")):
		return ContainerApps
	case is("IDENTITY_ENDPOINT") && is("IDENTITY_HEADER"):
		return AppService
	case is("MSI_ENDPOINT") && is("MSI_SECRET"):
		return AzureML
	case is("MSI_ENDPOINT"):
		return CloudShell
	case is("IDENTITY_ENDPOINT") && is("IMDS_ENDPOINT"):
		return AzureArc
	}
	// Container Instances leave IDENTITY_HEADER and IDENTITY_SERVER_THUMBPRINT
	// behind without an endpoint: they mean nothing (identity.md 1.3).
	return Metadata
}

// candidate is a source for which everything is there.
type candidate struct {
	source Source
	names  []string // the settings that make it one
	fill   func(*IdentityChoice)
}

// candidates are the sources that could be used, what a person set before what a
// platform injected (docs/identity.md). The last is always there: a host's
// metadata service announces itself by nothing.
func (s *Settings) candidates(env map[string]string) []candidate {
	var found []candidate
	add := func(is bool, c candidate) {
		if is {
			found = append(found, c)
		}
	}
	add(s.TokenFile != "", candidate{TokenFile, []string{"AZP_TOKEN_FILE"}, func(c *IdentityChoice) { s.fillManaged(c, env) }})
	add(s.managedSelectors() != nil, candidate{ManagedIdentity, s.managedSelectors(), func(c *IdentityChoice) { s.fillManaged(c, env) }})
	tenant := cmp.Or(s.TenantID, env["AZURE_TENANT_ID"])
	certificate := cmp.Or(s.ClientCertificate, env["AZURE_CLIENT_CERTIFICATE_PATH"])
	add(s.ClientID != "" && tenant != "" && (!s.ClientSecret.IsZero() || certificate != ""), candidate{
		ServicePrincipal, []string{"AZP_CLIENTID"}, func(c *IdentityChoice) {
			s.fillPrincipal(c, s.ClientID, tenant, s.ClientSecret, certificate, env)
		}})
	add(!s.Token.IsZero(), candidate{PAT, []string{"AZP_TOKEN"}, func(*IdentityChoice) {}})
	client := cmp.Or(s.ClientID, env["AZURE_CLIENT_ID"])
	file := env["AZURE_FEDERATED_TOKEN_FILE"]
	add(file != "" && client != "" && tenant != "", candidate{WorkloadIdentity, []string{"AZURE_FEDERATED_TOKEN_FILE"}, func(c *IdentityChoice) {
		c.ClientID, c.TenantID, c.FederatedTokenFile = client, tenant, file
	}})
	azureSecret, azureCertificate := secret.New(env["AZURE_CLIENT_SECRET"]), env["AZURE_CLIENT_CERTIFICATE_PATH"]
	by := "AZURE_CLIENT_SECRET"
	if azureSecret.IsZero() {
		by = "AZURE_CLIENT_CERTIFICATE_PATH"
	}
	add(env["AZURE_CLIENT_ID"] != "" && tenant != "" && env[by] != "", candidate{ServicePrincipal, []string{by}, func(c *IdentityChoice) {
		s.fillPrincipal(c, env["AZURE_CLIENT_ID"], tenant, azureSecret, azureCertificate, env)
	}})
	add(env["IDENTITY_ENDPOINT"] != "" && s.managedSelectors() == nil, candidate{ManagedIdentity, []string{"IDENTITY_ENDPOINT"}, func(c *IdentityChoice) { s.fillManaged(c, env) }})
	add(env["IDENTITY_ENDPOINT"] == "" && s.managedSelectors() == nil, candidate{ManagedIdentity, nil, func(c *IdentityChoice) { s.fillManaged(c, env) }})
	return found
}

func (s *Settings) fillPrincipal(c *IdentityChoice, client, tenant string, password secret.Text, certificate string, env map[string]string) {
	c.ClientID, c.TenantID, c.ClientSecret = client, tenant, password
	if !password.IsZero() {
		return // as the SDK chooses, where both are set
	}
	c.CertificateFile, c.CertificatePassword = certificate, secret.New(env["AZURE_CLIENT_CERTIFICATE_PASSWORD"])
	c.SendChain, _ = parseBool(env["AZURE_CLIENT_SEND_CERTIFICATE_CHAIN"])
}

// managedSelectors are the settings that name a managed identity on purpose.
func (s *Settings) managedSelectors() []string {
	var names []string
	for _, id := range []struct{ name, value string }{
		{"MANAGED_IDENTITY_OBJECT_ID", s.ObjectID}, {"USRMI_ID", s.IdentityClientID}, {"AZP_IDENTITY_RESOURCE_ID", s.ResourceID},
	} {
		if id.value != "" {
			names = append(names, id.name)
		}
	}
	return names
}

// fillManaged says which managed identity. AZURE_CLIENT_ID, which platforms
// inject, selects where no person did.
func (s *Settings) fillManaged(c *IdentityChoice, env map[string]string) {
	if c.Source == TokenFile && s.managedSelectors() == nil {
		return
	}
	c.Host = detectHost(env)
	c.ObjectID, c.ClientID, c.ResourceID = s.ObjectID, s.IdentityClientID, s.ResourceID
	if c.Source == ManagedIdentity && s.managedSelectors() == nil {
		c.ClientID = env["AZURE_CLIENT_ID"]
	}
}

// chooseIdentity picks the source: the first candidate that AZP_AUTH allows.
func (s *Settings) chooseIdentity(env map[string]string) (IdentityChoice, bool) {
	if s.Auth == AzureCLI {
		return IdentityChoice{Source: AzureCLI, Reason: "AZP_AUTH", TenantID: s.TenantID, Ignored: settingNames(s.candidates(env), nil)}, true
	}
	all := s.candidates(env)
	at := slices.IndexFunc(all, func(c candidate) bool {
		return s.Auth == Auto || s.Auth == c.source || s.Auth == PAT && c.source == TokenFile
	})
	if at < 0 {
		return IdentityChoice{}, false
	}
	picked := all[at]
	choice := IdentityChoice{Source: picked.source, Reason: strings.Join(picked.names, ", ")}
	if len(picked.names) == 0 {
		choice.Reason = defaultReason
	}
	if s.Auth != Auto {
		choice.Reason = "AZP_AUTH"
	}
	used := picked.names
	if picked.source == TokenFile {
		used = append(used, s.managedSelectors()...) // what it gives way to
	}
	choice.Ignored = settingNames(all, used)
	picked.fill(&choice)
	return choice, true
}

// PreferAzureCLI makes the Azure CLI's login the identity where nothing is set that
// would make another one: who does an administrator's work is a person at a
// machine of their own, which has no identity.
func (s *Settings) PreferAzureCLI() {
	if s.Auth == Auto && s.Identity.Reason == defaultReason {
		s.Identity = IdentityChoice{Source: AzureCLI, Reason: defaultReason, TenantID: s.TenantID}
	}
}

// defaultReason is why the last candidate is chosen.
const defaultReason = "nothing else is set"

func settingNames(all []candidate, but []string) []string {
	var names []string
	for _, c := range all {
		for _, name := range c.names {
			if !slices.Contains(but, name) && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

var (
	guid       = regexp.MustCompile(`^[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$`)
	tenantName = regexp.MustCompile(`^[0-9a-zA-Z.-]+$`) // a GUID or a domain; what the SDK takes
)

// validateIdentity checks what names an identity, and chooses.
func (s *Settings) validateIdentity(env map[string]string, bad func(hint, format string, args ...any)) {
	s.validateSelectors(bad)
	s.validateTokens(bad)
	s.validatePrincipal(env, bad)
	choice, found := s.chooseIdentity(env)
	if !found {
		bad(missingHint(s.Auth), "AZP_AUTH (--auth) is %s, and there is none", s.Auth)
		return
	}
	s.Identity = choice
	if env["IDENTITY_ENDPOINT"] != "" && env["IDENTITY_HEADER"] == "" && choice.Host == Metadata || choice.Host == CloudShell && env["IDENTITY_ENDPOINT"] != "" {
		// The SDK would silently ask the metadata service, or a Cloud Shell, of which
		// a container app has neither (identity.md 2).
		bad("the platform sets both, and a wrapper script, sudo or su may have dropped one: hand IDENTITY_HEADER on too",
			"IDENTITY_ENDPOINT is set and IDENTITY_HEADER is not: the endpoint answers nobody without it")
	}
}

func (s *Settings) validateSelectors(bad func(hint, format string, args ...any)) {
	if s.ObjectID != "" && !guid.MatchString(s.ObjectID) {
		bad("`az identity show --query principalId` prints it",
			"MANAGED_IDENTITY_OBJECT_ID (--identity-object-id) is %q, which is not an object id", s.ObjectID)
	}
	if s.IdentityClientID != "" && !guid.MatchString(s.IdentityClientID) {
		bad("`az identity show --query clientId` prints it", "USRMI_ID (--identity-client-id) is %q, which is not a client id", s.IdentityClientID)
	}
	if s.ResourceID != "" && !strings.HasPrefix(strings.ToLower(s.ResourceID), "/subscriptions/") {
		bad("`az identity show --query id` prints it", "AZP_IDENTITY_RESOURCE_ID (--identity-resource-id) is %q, which is not a resource id", s.ResourceID)
	}
	if names := s.managedSelectors(); len(names) > 1 {
		bad("one is enough, whichever it is", "%s name a managed identity, and only one of them can be asked for", strings.Join(names, " and "))
	}
}

func (s *Settings) validateTokens(bad func(hint, format string, args ...any)) {
	if s.TokenFile != "" {
		if err := checkReadable(s.TokenFile); err != nil {
			bad("is the secret mounted, and readable for this user?", "AZP_TOKEN_FILE (--token-file) is %q, which cannot be read: %v", s.TokenFile, err)
		}
	}
	switch token := s.Token.Reveal(); {
	case token == "null":
		bad("whatever set it was given an answer without a token", `AZP_TOKEN holds the word "null"`)
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		bad("was it copied whole, and alone?", "AZP_TOKEN holds characters that no token has")
	}
}

// validatePrincipal finds halves of a service principal: who set one meant it.
func (s *Settings) validatePrincipal(env map[string]string, bad func(hint, format string, args ...any)) {
	if s.ClientID != "" && !guid.MatchString(s.ClientID) {
		bad("the application (client) id, in Entra ID's app registrations", "AZP_CLIENTID (--client-id) is %q, which is not a client id", s.ClientID)
	}
	if s.TenantID != "" && !tenantName.MatchString(s.TenantID) {
		bad("`az account show --query tenantId` prints it", "AZP_TENANTID (--tenant-id) is %q, which is neither a tenant's id nor a domain", s.TenantID)
	}
	if s.ClientCertificate != "" {
		if err := checkReadable(s.ClientCertificate); err != nil {
			bad("is the secret mounted, and readable for this user?", "AZP_CLIENTCERTIFICATE (--client-certificate) is %q, which cannot be read: %v", s.ClientCertificate, err)
		}
	}
	if s.Auth != Auto && s.Auth != ServicePrincipal {
		return
	}
	proof := !s.ClientSecret.IsZero() || s.ClientCertificate != ""
	tenant := s.TenantID != "" || env["AZURE_TENANT_ID"] != ""
	switch {
	case proof && s.ClientID == "":
		bad("", "a client secret or certificate is set, and AZP_CLIENTID (--client-id) %v", errNotSet)
	case proof && !tenant:
		bad("`az account show --query tenantId` prints it", "AZP_CLIENTID is set, and AZP_TENANTID (--tenant-id) %v", errNotSet)
	case s.ClientID != "" && !proof && env["AZURE_CLIENT_CERTIFICATE_PATH"] == "" && env["AZURE_FEDERATED_TOKEN_FILE"] == "":
		bad("for a managed identity set USRMI_ID (--identity-client-id) instead",
			"AZP_CLIENTID (--client-id) is set, and neither AZP_CLIENTSECRET nor AZP_CLIENTCERTIFICATE (--client-certificate) is")
	}
}

// missingHint says what a source that was asked for wants.
func missingHint(source Source) string {
	switch source {
	case WorkloadIdentity:
		return "AZURE_FEDERATED_TOKEN_FILE, AZURE_CLIENT_ID and AZURE_TENANT_ID come from AKS: label the pod azure.workload.identity/use=true, annotate its service account"
	case ServicePrincipal:
		return "set AZP_CLIENTID, AZP_TENANTID and AZP_CLIENTSECRET or AZP_CLIENTCERTIFICATE"
	default:
		return "set AZP_TOKEN_FILE or AZP_TOKEN"
	}
}

// identityWarnings finds what looks like an identity and is not one.
func (s *Settings) identityWarnings(env map[string]string) []string {
	if env["AZURE_FEDERATED_TOKEN_FILE"] == "" || s.Identity.Source == WorkloadIdentity {
		return nil
	}
	for _, name := range []string{"AZURE_CLIENT_ID", "AZURE_TENANT_ID"} {
		if env[name] == "" && !slices.Contains(s.Identity.Ignored, "AZURE_FEDERATED_TOKEN_FILE") {
			return []string{fmt.Sprintf("AZURE_FEDERATED_TOKEN_FILE is set without %s, and not used: is the pod's service account annotated with its client id?", name)}
		}
	}
	return nil
}

func setAuth(s *Settings, v string) error {
	auth := Source(strings.ToLower(v))
	if !slices.Contains([]Source{Auto, ManagedIdentity, WorkloadIdentity, ServicePrincipal, PAT, AzureCLI}, auth) {
		s.Auth = Auto // so that there is one complaint
		return fmt.Errorf("is %q", v)
	}
	s.Auth = auth
	return nil
}
