package config_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/identity"
	"github.com/azptend/azptend/internal/secret"
)

const (
	client = "0b6bd18c-0000-4000-8000-00000000000c"
	tenant = "0b6bd18c-0000-4000-8000-00000000000d"
)

// Variables that platforms set (reference/identity.md 1.2 to 1.6).
var (
	containerApps = []string{
		"IDENTITY_ENDPOINT=http://localhost:42356/msi/token", "IDENTITY_HEADER=h",
		"MSI_ENDPOINT=http://localhost:42356/msi/token", "CONTAINER_APP_NAME=agents", "CONTAINER_APP_REVISION=agents--1",
	}
	containerAppsJob   = []string{"IDENTITY_ENDPOINT=http://localhost:42356/msi/token", "IDENTITY_HEADER=h", "MSI_ENDPOINT=http://localhost:42356/msi/token", "CONTAINER_APP_JOB_NAME=agents"}
	appService         = []string{"IDENTITY_ENDPOINT=http://169.254.129.3:8081/msi/token", "IDENTITY_HEADER=h", "MSI_ENDPOINT=http://169.254.129.3:8081/msi/token", "MSI_SECRET=h"}
	containerInstances = []string{"IDENTITY_HEADER=h", "IDENTITY_SERVER_THUMBPRINT=t", "IDENTITY_API_VERSION=2020-05-01"}
	webhook            = []string{
		"AZURE_CLIENT_ID=" + client, "AZURE_TENANT_ID=" + tenant, "AZURE_AUTHORITY_HOST=https://login.microsoftonline.com/",
		"AZURE_FEDERATED_TOKEN_FILE=/var/run/secrets/azure/tokens/azure-identity-token",
	}
	avmImage = []string{"USRMI_ID=" + client, "AZP_RANDOM_AGENT_SUFFIX=false"}
)

func join(parts ...[]string) []string {
	var all []string
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// TestTheOrder checks the order in docs/identity.md, and the effect of AZP_AUTH.
func TestTheOrder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	type (
		choice  = config.ChosenIdentity
		options = identity.Options
	)
	text := secret.New
	byFile, named, pat := []string{"AZP_TOKEN_FILE=" + file}, []string{"MANAGED_IDENTITY_OBJECT_ID=" + object}, []string{"AZP_TOKEN=a-token"}
	own := []string{"AZP_CLIENTID=" + client, "AZP_CLIENTSECRET=s", "AZP_TENANTID=" + tenant}
	azureSecret := []string{"AZURE_CLIENT_ID=" + client, "AZURE_TENANT_ID=" + tenant, "AZURE_CLIENT_SECRET=s"}
	ownChoice := choice{Options: options{Source: identity.ServicePrincipal, Application: identity.Application{ClientID: client, TenantID: tenant, Secret: text("s")}}, Setting: "AZP_CLIENTID"}
	for _, tt := range []struct {
		name    string
		environ []string
		want    choice
	}{
		{"all at once", join(byFile, named, own, pat, webhook, azureSecret, containerApps), choice{Options: options{
			Source: identity.TokenFile, TokenFile: file, Managed: identity.ManagedID{ObjectID: object}, Host: identity.ContainerApps}, Setting: "AZP_TOKEN_FILE", Ignored: []string{"AZP_CLIENTID", "AZP_TOKEN", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_SECRET"}}},
		{"without the file", join(named, own, pat, webhook, azureSecret, containerApps), choice{Options: options{
			Source: identity.ManagedIdentity, Managed: identity.ManagedID{ObjectID: object}, Host: identity.ContainerApps}, Setting: "MANAGED_IDENTITY_OBJECT_ID", Ignored: []string{"AZP_CLIENTID", "AZP_TOKEN", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_SECRET"}}},
		{"without a named identity", join(own, pat, webhook, containerApps), choice{Options: options{
			Source: identity.ServicePrincipal, Application: identity.Application{ClientID: client, TenantID: tenant, Secret: text("s")}}, Setting: "AZP_CLIENTID", Ignored: []string{"AZP_TOKEN", "AZURE_FEDERATED_TOKEN_FILE", "IDENTITY_ENDPOINT"}}},
		{"without its own principal", join(pat, webhook, azureSecret, containerApps), choice{Options: options{
			Source: identity.PAT, PAT: text("a-token")}, Setting: "AZP_TOKEN", Ignored: []string{"AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_SECRET", "IDENTITY_ENDPOINT"}}},
		{"what platforms inject", join(webhook, azureSecret, containerApps), choice{Options: options{
			Source: identity.WorkloadIdentity, Application: identity.Application{ClientID: client, TenantID: tenant,
				FederatedTokenFile: "/var/run/secrets/azure/tokens/azure-identity-token"}}, Setting: "AZURE_FEDERATED_TOKEN_FILE", Ignored: []string{"AZURE_CLIENT_SECRET", "IDENTITY_ENDPOINT"}}},
		{"without the webhook", join(azureSecret, containerApps), choice{Options: options{
			Source: identity.ServicePrincipal, Application: identity.Application{ClientID: client, TenantID: tenant, Secret: text("s")}}, Setting: "AZURE_CLIENT_SECRET", Ignored: []string{"IDENTITY_ENDPOINT"}}},
		{"Container Apps alone", containerApps, choice{Options: options{Source: identity.ManagedIdentity, Host: identity.ContainerApps}, Setting: "IDENTITY_ENDPOINT"}},
		{"nothing at all", nil, choice{Options: options{Source: identity.ManagedIdentity, Host: identity.MetadataService}}},

		{"AZURE_CLIENT_ID selects, and chooses nothing", join(containerAppsJob, []string{"AZURE_CLIENT_ID=" + client}), choice{Options: options{
			Source: identity.ManagedIdentity, Managed: identity.ManagedID{ClientID: client}, Host: identity.ContainerApps}, Setting: "IDENTITY_ENDPOINT"}},
		{"but not against a name", join(containerApps, named, []string{"AZURE_CLIENT_ID=" + client}), choice{Options: options{
			Source: identity.ManagedIdentity, Managed: identity.ManagedID{ObjectID: object}, Host: identity.ContainerApps}, Setting: "MANAGED_IDENTITY_OBJECT_ID"}},
		{"an empty AZURE_CLIENT_ID", []string{"AZURE_CLIENT_ID="}, choice{Options: options{Source: identity.ManagedIdentity, Host: identity.MetadataService}}},
		{"AZURE_CLIENT_ID on a machine", []string{"AZURE_CLIENT_ID=" + client}, choice{Options: options{
			Source: identity.ManagedIdentity, Managed: identity.ManagedID{ClientID: client}, Host: identity.MetadataService}}},

		{"App Service", appService, choice{Options: options{Source: identity.ManagedIdentity, Host: identity.AppService}, Setting: "IDENTITY_ENDPOINT"}},
		{"Container Instances' leavings", join(containerInstances, named), choice{Options: options{
			Source: identity.ManagedIdentity, Managed: identity.ManagedID{ObjectID: object}, Host: identity.MetadataService}, Setting: "MANAGED_IDENTITY_OBJECT_ID"}},
		{"the AVM image on Container Apps", join(avmImage, containerAppsJob), choice{Options: options{
			Source: identity.ManagedIdentity, Managed: identity.ManagedID{ClientID: client}, Host: identity.ContainerApps}, Setting: "USRMI_ID"}},
		{"the AVM image on Container Instances", join(avmImage, containerInstances), choice{Options: options{
			Source: identity.ManagedIdentity, Managed: identity.ManagedID{ClientID: client}, Host: identity.MetadataService}, Setting: "USRMI_ID"}},
		{"AKS with an identity named", join(webhook, []string{"AZP_IDENTITY_RESOURCE_ID=/subscriptions/s/x"}), choice{Options: options{
			Source: identity.ManagedIdentity, Managed: identity.ManagedID{ResourceID: "/subscriptions/s/x"}, Host: identity.MetadataService}, Setting: "AZP_IDENTITY_RESOURCE_ID", Ignored: []string{"AZURE_FEDERATED_TOKEN_FILE"}}},
		{"Service Fabric", []string{"IDENTITY_ENDPOINT=https://10.0.0.4:2377/x", "IDENTITY_HEADER=h", "IDENTITY_SERVER_THUMBPRINT=t"}, choice{Options: options{
			Source: identity.ManagedIdentity, Host: identity.ServiceFabric}, Setting: "IDENTITY_ENDPOINT"}},
		{"Azure Arc", []string{"IDENTITY_ENDPOINT=http://localhost:40342/x", "IMDS_ENDPOINT=http://localhost:40342"}, choice{Options: options{
			Source: identity.ManagedIdentity, Host: identity.AzureArc}, Setting: "IDENTITY_ENDPOINT"}},
		{"Azure ML", []string{"MSI_ENDPOINT=http://127.0.0.1/x", "MSI_SECRET=s"}, choice{Options: options{
			Source: identity.ManagedIdentity, Host: identity.AzureML}}},

		{"forced to the platform's", join(named, webhook, []string{"AZP_AUTH=workload-identity"}), choice{Options: options{
			Source: identity.WorkloadIdentity, Application: identity.Application{ClientID: client, TenantID: tenant,
				FederatedTokenFile: "/var/run/secrets/azure/tokens/azure-identity-token"}}, Setting: "AZP_AUTH", Ignored: []string{"MANAGED_IDENTITY_OBJECT_ID"}}},
		{"forced to the token", join(named, pat, []string{"AZP_AUTH=pat"}), choice{Options: options{
			Source: identity.PAT, PAT: text("a-token")}, Setting: "AZP_AUTH", Ignored: []string{"MANAGED_IDENTITY_OBJECT_ID"}}},
		{"forced to the machine's", join(webhook, pat, []string{"AZP_AUTH=Managed-Identity"}), choice{Options: options{
			Source: identity.ManagedIdentity, Managed: identity.ManagedID{ClientID: client}, Host: identity.MetadataService}, Setting: "AZP_AUTH", Ignored: []string{"AZP_TOKEN", "AZURE_FEDERATED_TOKEN_FILE"}}},
		{"AZP_CLIENTID for a workload identity", join([]string{"AZP_CLIENTID=" + object}, webhook), choice{Options: options{
			Source: identity.WorkloadIdentity, Application: identity.Application{ClientID: object, TenantID: tenant,
				FederatedTokenFile: "/var/run/secrets/azure/tokens/azure-identity-token"}}, Setting: "AZURE_FEDERATED_TOKEN_FILE"}},
		{"own principal alone", own, ownChoice},
		{"a certificate of the SDK's settings", join([]string{"AZURE_CLIENT_ID=" + client, "AZURE_TENANT_ID=" + tenant}, []string{
			"AZURE_CLIENT_CERTIFICATE_PATH=" + file, "AZURE_CLIENT_CERTIFICATE_PASSWORD=p", "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN=1"}), choice{Options: options{
			Source: identity.ServicePrincipal, Application: identity.Application{ClientID: client, TenantID: tenant,
				CertificateFile: file, CertificatePassword: text("p"), SendChain: true}}, Setting: "AZURE_CLIENT_CERTIFICATE_PATH"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := loaded(t, append([]string{"AZP_URL=https://dev.azure.com/org"}, tt.environ...))
			if d := cmp.Diff(tt.want, s.Identity, sameText); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestHalfAnIdentity(t *testing.T) {
	for _, tt := range []struct {
		name    string
		environ []string
		says    string
	}{
		{"an endpoint without its header", []string{"IDENTITY_ENDPOINT=http://localhost:42356/msi/token", "MSI_ENDPOINT=http://localhost:42356/msi/token"},
			"IDENTITY_ENDPOINT is set and IDENTITY_HEADER is not"},
		{"the same without MSI_ENDPOINT", []string{"IDENTITY_ENDPOINT=http://localhost:42356/msi/token", "USRMI_ID=" + client},
			"IDENTITY_ENDPOINT is set and IDENTITY_HEADER is not"},
		{"two names", []string{"USRMI_ID=" + client, "MANAGED_IDENTITY_OBJECT_ID=" + object}, "MANAGED_IDENTITY_OBJECT_ID and USRMI_ID each name a managed identity"},
		{"a client alone", []string{"AZP_CLIENTID=" + client}, "neither AZP_CLIENTSECRET nor AZP_CLIENTCERTIFICATE"},
		{"a secret alone", []string{"AZP_CLIENTSECRET=s"}, "AZP_CLIENTID (--client-id) is not set"},
		{"no tenant", []string{"AZP_CLIENTID=" + client, "AZP_CLIENTSECRET=s"}, "AZP_TENANTID (--tenant-id) is not set"},
		{"a token that is not there", []string{"AZP_AUTH=pat"}, "AZP_AUTH (--auth) is pat, but no such identity is set"},
		{"a workload that is none", []string{"AZP_AUTH=workload-identity", "AZURE_FEDERATED_TOKEN_FILE=/x"}, "AZP_AUTH (--auth) is workload-identity, but no such identity is set"},
		{"a principal that is none", []string{"AZP_AUTH=service-principal"}, "AZP_AUTH (--auth) is service-principal, but no such identity is set"},
		{"a person's login", []string{"AZP_AUTH=azure-cli"}, "azure-cli, which run does not accept"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(t, append([]string{"AZP_URL=https://dev.azure.com/org"}, tt.environ...))
			got := problems(t, err)
			if len(got) != 1 || !strings.Contains(got[0].What, tt.says) {
				t.Errorf("problems are %+v, want %s", got, tt.says)
			}
		})
	}
	// It is no problem if another identity is used.
	loaded(t, []string{"AZP_URL=https://dev.azure.com/org", "AZP_TOKEN=a-token", "IDENTITY_ENDPOINT=http://localhost:42356/msi/token"})
	s := loaded(t, []string{"AZP_URL=https://dev.azure.com/org", "AZURE_FEDERATED_TOKEN_FILE=/x", "AZURE_TENANT_ID=" + tenant})
	if len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], "AZURE_FEDERATED_TOKEN_FILE has no effect without AZURE_CLIENT_ID") {
		t.Errorf("warnings are %q", s.Warnings)
	}
}

// TestPreferAzureCLI: the Azure CLI's login is used if no other identity is set.
func TestPreferAzureCLI(t *testing.T) {
	for _, c := range []struct {
		environ []string
		want    identity.Source
	}{
		{nil, identity.AzureCLI}, {[]string{"AZP_TENANTID=" + tenant}, identity.AzureCLI},
		{[]string{"AZP_TOKEN=t"}, identity.PAT}, {containerApps, identity.ManagedIdentity}, {avmImage, identity.ManagedIdentity},
		{[]string{"AZP_AUTH=managed-identity"}, identity.ManagedIdentity},
	} {
		s, err := config.Load(nil, join([]string{"AZP_URL=https://dev.azure.com/o"}, c.environ), "h", config.Connection)
		if err != nil {
			t.Fatal(err)
		}
		s.Identity.MaxUnreachable = 2
		if s.PreferAzureCLI(); s.Identity.MaxUnreachable != 2 || s.Identity.Source != c.want || s.Identity.Source == identity.AzureCLI && s.Identity.Application.TenantID != s.Application.TenantID {
			t.Errorf("%v: %+v", c.environ, s.Identity)
		}
	}
}

// TestIdentityOptions: some settings set each field of identity.Options, unless the command
// that uses the identity does.
func TestIdentityOptions(t *testing.T) {
	set := map[string]bool{"EndpointClient": true, "EntraClient": true, "StartupTimeout": true, "MaxUnreachable": true, "Log": true, "Redactor": true}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	application := []string{"AZP_CLIENTID=" + object, "AZP_TENANTID=" + tenant}
	for _, environ := range [][]string{
		{"AZP_TOKEN_FILE=" + file}, {"AZP_TOKEN=a-token"},
		{"MANAGED_IDENTITY_OBJECT_ID=" + object}, {"USRMI_ID=" + object}, {"AZP_IDENTITY_RESOURCE_ID=/subscriptions/s"},
		join(application, []string{"AZP_CLIENTSECRET=s"}), join(application, []string{"AZURE_FEDERATED_TOKEN_FILE=" + file}),
		join(application, []string{"AZP_CLIENTCERTIFICATE=" + file, "AZURE_CLIENT_CERTIFICATE_PASSWORD=p", "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN=true"}),
	} {
		s := loaded(t, join([]string{"AZP_URL=https://dev.azure.com/org"}, environ))
		noteFields(set, reflect.ValueOf(s.Identity.Options))
	}
	for field, was := range set {
		if !was {
			t.Errorf("no settings set %s of identity.Options", field)
		}
	}
}

// noteFields notes which fields of options are set, and of an application and a managed
// identity in them.
func noteFields(set map[string]bool, v reflect.Value) {
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if name == "Application" || name == "Managed" {
			noteFields(set, v.Field(i))
			continue
		}
		set[name] = set[name] || !v.Field(i).IsZero()
	}
}
