package platform_test

import (
	"maps"
	"testing"
	"testing/fstest"
	"time"

	"github.com/azptend/azptend/internal/platform"
)

// The environments have the variables that the platforms really set, with made-up values. Those
// of Container Apps and App Service are from Microsoft's pages, those of Container Instances
// from a public dump (docs/platforms.md).
var (
	containerApp = map[string]string{
		"CONTAINER_APP_NAME": "agents", "CONTAINER_APP_REVISION": "agents--20mh1s9", "CONTAINER_APP_HOSTNAME": "agents--20mh1s9.x.westeurope.azurecontainerapps.io",
		"CONTAINER_APP_ENV_DNS_SUFFIX": "x.westeurope.azurecontainerapps.io", "CONTAINER_APP_PORT": "8080", "CONTAINER_APP_REPLICA_NAME": "agents--20mh1s9-86c8c4b497-zx9bq",
		"IDENTITY_ENDPOINT": "http://localhost:42356/msi/token", "IDENTITY_HEADER": "h", "MSI_ENDPOINT": "http://localhost:42356/msi/token", "MSI_SECRET": "h",
	}
	containerAppJob = map[string]string{
		"CONTAINER_APP_JOB_NAME": "agents", "CONTAINER_APP_JOB_EXECUTION_NAME": "agents-iwpi4il", "CONTAINER_APP_REPLICA_NAME": "agents-iwpi4il-ztq6b",
		"IDENTITY_ENDPOINT": "http://localhost:42356/msi/token", "IDENTITY_HEADER": "h",
	}
	containerInstance = map[string]string{
		"Fabric_NET-0-[Delegated]": "10.32.0.10", "IDENTITY_API_VERSION": "2020-05-01", "HOSTNAME": "SandboxHost-638284548972899737",
		"IDENTITY_SERVER_THUMBPRINT": "a35d", "IDENTITY_HEADER": "h", "Fabric_NetworkingMode": "Other;Delegated", "Fabric_Id": "a492f450-c11b-4d9d-8e9d-6e25f718f0f9",
		"Fabric_ApplicationName": "caas-066ceaa3936144679f39ae063b23467a", "Fabric_CodePackageName": "agent", "Fabric_NodeIPOrFQDN": "10.92.0.14",
		"Fabric_ServiceDnsName": "service.caas-066ceaa3936144679f39ae063b23467a", "Fabric_ServiceName": "service",
	}
	pod = map[string]string{
		"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443", "KUBERNETES_SERVICE_PORT_HTTPS": "443", "KUBERNETES_PORT": "tcp://10.0.0.1:443",
		"AZURE_CLIENT_ID": "c", "AZURE_TENANT_ID": "t", "AZURE_FEDERATED_TOKEN_FILE": "/var/run/secrets/azure/tokens/azure-identity-token", "HOSTNAME": "agents-abcde",
	}
	webApp = map[string]string{
		"WEBSITE_SITE_NAME": "agents", "WEBSITE_INSTANCE_ID": "0a1b", "WEBSITE_HOSTNAME": "agents.azurewebsites.net", "WEBSITES_PORT": "8080",
		"IDENTITY_ENDPOINT": "http://169.254.129.2:8081/msi/token", "IDENTITY_HEADER": "h",
	}
	unit    = map[string]string{"INVOCATION_ID": "0f1e", "JOURNAL_STREAM": "8:1234", "SYSTEMD_EXEC_PID": "700", "HOME": "/root"}
	oldUnit = map[string]string{"INVOCATION_ID": "0f1e", "JOURNAL_STREAM": "8:1234"}
)

func with(base map[string]string, more ...string) map[string]string {
	m := map[string]string{}
	maps.Copy(m, base)
	for i := 0; i < len(more); i += 2 {
		m[more[i]] = more[i+1]
	}
	return m
}

func TestDetect(t *testing.T) {
	none := []string{}
	for _, tt := range []struct {
		name   string
		env    map[string]string
		files  []string
		pid    int
		parent int
		want   platform.Platform
		grace  time.Duration
		seen   string
	}{
		{"Container Apps", containerApp, none, 1, 0, platform.ContainerApps, 30 * time.Second, "CONTAINER_APP_NAME"},
		{"Container Apps, with the Kubernetes below it", with(containerApp, "KUBERNETES_SERVICE_HOST", "10.0.0.1"), none, 1, 0, platform.ContainerApps, 30 * time.Second, "CONTAINER_APP_NAME"},
		{"Functions on Container Apps", with(containerApp, "WEBSITE_SITE_NAME", "f"), none, 1, 0, platform.ContainerApps, 30 * time.Second, "CONTAINER_APP_NAME"},
		{"Container Apps job", containerAppJob, none, 1, 0, platform.ContainerAppsJob, 30 * time.Second, "CONTAINER_APP_JOB_NAME"},
		{"Container Instances", containerInstance, none, 1, 0, platform.ContainerInstances, 30 * time.Second, "Fabric_ApplicationName"},
		{"a virtual node", with(containerInstance, "KUBERNETES_SERVICE_HOST", "10.0.0.1"), none, 1, 0, platform.ContainerInstances, 30 * time.Second, "Fabric_ApplicationName"},
		{"Service Fabric is not Container Instances", map[string]string{"Fabric_ApplicationName": "fabric:/MyApplication"}, none, 700, 9, platform.None, 30 * time.Second, "no other platform detected"},
		{"Kubernetes", pod, none, 1, 0, platform.Kubernetes, 30 * time.Second, "KUBERNETES_SERVICE_HOST"},
		{"Kubernetes on the Docker engine", pod, []string{".dockerenv"}, 1, 0, platform.Kubernetes, 30 * time.Second, "KUBERNETES_SERVICE_HOST"},
		{"App Service", webApp, none, 1, 0, platform.AppService, 5 * time.Second, "WEBSITE_SITE_NAME"},
		{"App Service with its setting", with(webApp, "WEBSITES_CONTAINER_STOP_TIME_LIMIT", "90"), none, 1, 0, platform.AppService, 90 * time.Second, "WEBSITE_SITE_NAME"},
		{"App Service with more than it gives", with(webApp, "WEBSITES_CONTAINER_STOP_TIME_LIMIT", "99999999999"), none, 1, 0, platform.AppService, 120 * time.Second, "WEBSITE_SITE_NAME"},
		{"App Service with nonsense", with(webApp, "WEBSITES_CONTAINER_STOP_TIME_LIMIT", "soon"), none, 1, 0, platform.AppService, 5 * time.Second, "WEBSITE_SITE_NAME"},
		{"Docker", nil, []string{".dockerenv"}, 1, 0, platform.Docker, 10 * time.Second, "/.dockerenv"},
		{"Docker with an init", nil, []string{".dockerenv"}, 7, 1, platform.Docker, 10 * time.Second, "/.dockerenv"},
		{"Podman", map[string]string{"container": "podman"}, []string{"run/.containerenv"}, 1, 0, platform.Container, 10 * time.Second, "/run/.containerenv"},
		{"nspawn", map[string]string{"container": "systemd-nspawn"}, none, 9, 1, platform.Container, 10 * time.Second, "container"},
		{"containerd alone", nil, none, 1, 0, platform.Container, 10 * time.Second, "being PID 1"},
		{"systemd", unit, none, 700, 1, platform.Systemd, 90 * time.Second, "SYSTEMD_EXEC_PID"},
		{"systemd before 248", oldUnit, none, 700, 1, platform.Systemd, 90 * time.Second, "INVOCATION_ID"},
		{"a shell that a unit started", unit, none, 701, 700, platform.None, 30 * time.Second, "no other platform detected"},
		{"a shell that an old unit started", oldUnit, none, 701, 700, platform.None, 30 * time.Second, "no other platform detected"},
		{"a shell", map[string]string{"HOME": "/root"}, none, 4711, 4710, platform.None, 30 * time.Second, "no other platform detected"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := fstest.MapFS{}
			for _, f := range tt.files {
				files[f] = &fstest.MapFile{}
			}
			o := platform.Options{Getenv: func(n string) string { return tt.env[n] }, Files: files, Pid: tt.pid, ParentPid: tt.parent}
			got := platform.Detect(o)
			if got.Platform != tt.want || got.GracePeriod != tt.grace || got.DetectedBy != tt.seen || got.DisplayName == "" {
				t.Errorf("found %+v, want %s, %v, by %s", got, tt.want, tt.grace, tt.seen)
			}
			for _, word := range platform.All() { // AZP_PLATFORM overrides all other evidence
				o.Override = word
				if named := platform.Detect(o); named.Platform != word || named.DetectedBy != "AZP_PLATFORM (--platform)" || named.GracePeriod == 0 {
					t.Errorf("%s, named: %+v", word, named)
				}
			}
		})
	}
}

// TestMaxGracePeriod: a platform's default grace period is within its maximum.
func TestMaxGracePeriod(t *testing.T) {
	for _, word := range platform.All() {
		p := platform.Detect(platform.Options{Getenv: func(string) string { return "" }, Files: fstest.MapFS{}, Override: word})
		if p.MaxGracePeriod != 0 && p.GracePeriod > p.MaxGracePeriod {
			t.Errorf("%+v", p)
		}
	}
}
