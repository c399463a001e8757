package helm

import (
	"os"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// refused is a change of the values of a case and the expected error; for accepted values, the
// expected output.
type refused struct{ to, values, says string }

// changed returns the values of the case with the change.
func (r refused) changed(t *testing.T) map[string]any {
	t.Helper()
	values, change := cases(t)[r.to], map[string]any{}
	if err := yaml.Unmarshal([]byte(r.values), &change); err != nil {
		t.Fatal(err)
	}
	merge(values, change)
	return values
}

// TestRefused makes one change to accepted values, and expects an error. A null removes a value.
func TestRefused(t *testing.T) {
	for what, r := range map[string]refused{
		"no organisation":       {"keda-2.21", `organizationURL: null`, "organizationURL is not set"},
		"a slash at its end":    {"keda-2.21", `organizationURL: https://dev.azure.com/contoso/`, "remove the slash at the end"},
		"a project in it":       {"keda-2.21", `organizationURL: https://dev.azure.com/contoso/web`, "names more than an organisation"},
		"a page in it":          {"keda-2.21", `organizationURL: https://dev.azure.com/contoso/_settings`, "not the URL of an organisation"},
		"a user in it":          {"keda-2.21", `organizationURL: https://user@dev.azure.com/contoso`, "contains a user, a password, a query or a fragment"},
		"a query in it":         {"keda-2.21", `organizationURL: https://dev.azure.com/contoso?x=1`, "contains a user, a password, a query or a fragment"},
		"an example":            {"keda-2.21", `organizationURL: https://dev.azure.com/your-organisation`, "hint: replace your-organisation with"},
		"an example of a pool":  {"keda-2.21", `pool: {name: your-pool}`, "which is an example that was not replaced"},
		"no organisation in it": {"keda-2.21", `organizationURL: https://dev.azure.com`, "which is not the URL of an organisation"},
		"no pool":               {"keda-2.21", `pool: {name: ""}`, "neither pool.name nor pool.id is set"},
		"two pools":             {"keda-2.21", `pool: {id: 7}`, "pool.name and pool.id are both set"},
		"a pool's id as text":   {"keda-2.21", `pool: {name: "", id: "7"}`, "/pool/id"},
		"no image":              {"keda-2.21", `image: {repository: ""}`, "image.repository is not set"},
		"an image without tag":  {"keda-2.21", `image: {tag: ""}`, "neither image.tag nor image.digest is set"},
		"keeper without tag":    {"keda-2.21", `keep: {image: {repository: r}}`, "neither keep.image.tag nor keep.image.digest"},
		"a volume on the agent": {"keda-2.21", `agentRoot: {mountPath: /azp}`, "would hide the agent package"},
		"two volumes":           {"everything", `home: {volume: {hostPath: {path: /x}}}`, "/home/volume"},

		"no version":                {"keda-2.21", `keda: {version: null}`, "keda.version is not set"},
		"a version without quotes":  {"keda-2.21", `keda: {version: 2.20}`, "/keda/version"},
		"a version before":          {"keda-2.21", `keda: {version: "2.18"}`, `keda.version is "2.18"`},
		"a version behind":          {"keda-2.21", `keda: {version: "2.22"}`, "if that counts jobs like 2.21, set 2.21"},
		"a version that looks like": {"keda-2.21", `keda: {version: "2.210"}`, `keda.version is "2.210"`},
		"accurate at 2.19":          {"keda-2.19", `keda: {strategy: accurate}`, "keda.strategy is accurate with KEDA 2.19"},
		"default at 2.20":           {"keda-2.20", `keda: {strategy: default}`, "keda.strategy is default with KEDA 2.20"},
		"in flight at 2.19":         {"keda-2.19", `keda: {scaleOnInFlight: true}`, "which KEDA 2.19 does not support"},
		"in flight at 2.20":         {"keda-2.20", `keda: {scaleOnInFlight: false}`, "which KEDA 2.20 does not support"},
		"default, none in flight":   {"keda-2.21", `keda: {strategy: default, scaleOnInFlight: false}`, "kedacore/keda#7878"},
		"accurate, some in flight":  {"keda-2.21", `keda: {strategy: accurate, scaleOnInFlight: true}`, "another agent for each running job"},
		"eager":                     {"keda-2.21", `keda: {strategy: eager}`, "/keda/strategy"},
		"grace of readiness":        {"keda-2.20", `readinessProbe: {terminationGracePeriodSeconds: 60}`, "additional properties 'terminationGracePeriodSeconds' not allowed"}, // Kubernetes refuses it
		"accurate and not ready":    {"keda-2.20", `readinessProbe: null`, "strategy accurate needs it"},
		"principal at 2.20":         {"keda-2.20", `keda: {identity: {type: servicePrincipal}}`, "keda.identity.type is servicePrincipal, which KEDA 2.20 does not support"},
		"principal without secret":  {"keda-2.21", `keda: {identity: {type: servicePrincipal, clientId: a, tenantId: b}}`, "keda.identity.type is servicePrincipal, but clientId, tenantId or existingSecret is not set"},
		"scaler's PAT nowhere":      {"keda-2.21", `keda: {identity: {type: pat}}`, "keda.identity.existingSecret is not set"},
		"tenant without client":     {"keda-2.21", `keda: {identity: {tenantId: a}}`, "KEDA uses it only with clientId"},
		"authority without tenant":  {"keda-2.21", `keda: {identity: {clientId: a, authorityHost: "https://x/"}}`, "KEDA uses it only with tenantId"},
		"endpoint without Private":  {"keda-2.21-accurate", `keda: {identity: {cloud: ""}}`, "KEDA uses it only with cloud Private"},
		"Private without endpoint":  {"keda-2.21-accurate", `keda: {identity: {activeDirectoryEndpoint: ""}}`, "activeDirectoryEndpoint is not set"},

		"demands in one":       {"keda-2.21", `keda: {demands: ["maven, docker"]}`, `keda.demands has "maven, docker": KEDA does not trim`},
		"a space before":       {"keda-2.21", `keda: {demands: [maven, " docker"]}`, `keda.demands has " docker"`},
		"an empty demand":      {"keda-2.21", `keda: {demands: [""]}`, `keda.demands has ""`},
		"demands as text":      {"keda-2.21", `keda: {demands: "maven,docker"}`, "/keda/demands"},
		"parent and demands":   {"keda-2.20", `keda: {demands: [maven]}`, "keda.parent and keda.demands are both set"},
		"all of no demands":    {"keda-2.21", `keda: {requireAllDemands: true}`, "keda.demands is empty"},
		"all, and all":         {"keda-2.19", `keda: {requireAllDemands: true}`, "are both true"},
		"a number, unfinished": {"keda-2.21", `keda: {jobsToFetch: 100}`, "keda.jobsToFetch and keda.fetchUnfinishedJobsOnly are both set"},
		"a number and parent":  {"keda-2.20", `keda: {jobsToFetch: 100, fetchUnfinishedJobsOnly: false}`, "keda.jobsToFetch and keda.parent are both set"},
		"min above max":        {"keda-2.21", `keda: {minReplicaCount: 11}`, "more than keda.maxReplicaCount"},

		"a group, other trigger":   {"keda-2.21", `keda: {group: linux}`, "keda.group is set, but keda.trigger is azure-pipelines"},
		"a keeper, other trigger":  {"keda-2.21", `keda: {keeperURL: "http://keep:8141"}`, "keda.keeperURL is set, but keda.trigger is azure-pipelines"},
		"another trigger":          {"keda-2.21", `keda: {trigger: cron}`, "/keda/trigger"},
		"no group":                 {"metrics-api", `keda: {group: ""}`, "keda.group is not set"},
		"a group that is not":      {"metrics-api", `keda: {group: windows}`, `keda.group is "windows", which is not in keep.groups`},
		"a group's case":           {"metrics-api", `keda: {group: Linux}`, `keda.group is "Linux", which is not in keep.groups`},
		"accurate, by the keeper":  {"metrics-api", `keda: {strategy: accurate}`, "the keeper's number includes running jobs"},
		"a minimum, by the keeper": {"metrics-api", `keda: {minReplicaCount: 2}`, "set warm of the group in keep.groups"},
		"metricType":               {"metrics-api", `keda: {metricType: Value}`, "additional properties 'metricType' not allowed"},
		"demands, by the keeper":   {"metrics-api", `keda: {demands: [docker]}`, "keda.demands is set, which trigger metrics-api does not use"},
		"parent, by the keeper":    {"metrics-api", `keda: {parent: azptend-placeholder}`, "keda.parent is set, which trigger metrics-api does not use"},
		"in flight, by the keeper": {"metrics-api", `keda: {scaleOnInFlight: false}`, "keda.scaleOnInFlight is set, which trigger metrics-api does not use"},
		"fewer than its group":     {"metrics-api", `keda: {maxReplicaCount: 19}`, `max of the group "linux" is 20`},
		"by a keeper that is not":  {"metrics-api", `keep: {enabled: false, groups: [], serviceMonitor: {enabled: false}}`, "keda.trigger is metrics-api, but keep.enabled is false"},
		"groups without a keeper":  {"metrics-api", `keep: {enabled: false, serviceMonitor: {enabled: false}}`, "keep.groups is set, but KEDA cannot reach the keeper"},
		"groups without a token":   {"metrics-api", `keep: {token: {existingSecret: ""}, serviceMonitor: {enabled: false}}`, "keep.groups is set, but KEDA cannot reach the keeper"},
		"groups without a Service": {"metrics-api", `keep: {service: {enabled: false}, serviceMonitor: {enabled: false}}`, "keep.groups is set, but KEDA cannot reach the keeper"},
		"one token for two":        {"metrics-api", `keep: {scaleToken: {key: token}}`, "the same key of the same Secret"},
		"two values of one":        {"metrics-api", `capabilities: {maven: "3"}`, `capabilities has "maven" with another value than the group "linux"`},
		"two keepers":              {"metrics-api-elsewhere", `keep: {enabled: true}`, "the two keepers would not have the same groups"},
		"no maximum":               {"metrics-api-elsewhere", `keda: {maxReplicaCount: null}`, "set it to the max of the group"},
		"no scale token":           {"metrics-api-elsewhere", `keep: {scaleToken: {existingSecret: ""}}`, "keep.scaleToken.existingSecret is not"},
		"a scale token in sight":   {"keda-2.21", `keep: {extraEnv: [{name: AZP_KEEP_SCALE_TOKEN, value: secret}]}`, "which everybody can read who can view the release"},
		"another group in sight":   {"metrics-api", `extraEnv: [{name: AZP_GROUP, value: x}]`, "hint: set the value keda.group"},
		"a checksum of the chart":  {"metrics-api", `keep: {podAnnotations: {checksum/groups: x}}`, `keep.podAnnotations has the key "checksum/groups"`},

		"deadline too short": {"keda-2.21", `scaledJob: {activeDeadlineSeconds: 25200}`, "more than 25200, or 0 for no deadline"},
		"no grace":           {"keda-2.21", `terminationGracePeriodSeconds: 0`, "/terminationGracePeriodSeconds"},
		"too much grace":     {"keda-2.21", `terminationGracePeriodSeconds: 2592001`, "/terminationGracePeriodSeconds"},
		"idle, stateful":     {"statefulset", `idleTimeout: 5m`, "idleTimeout is set with kind statefulSet"},
		"once, stateful":     {"statefulset", `once: true`, "once is true with kind statefulSet"},
		"idle, deployment":   {"deployment", `idleTimeout: 5m`, "idleTimeout is set with kind deployment"},
		"once, deployment":   {"deployment", `once: true`, "once is true with kind deployment"},
		"an odd time":        {"keda-2.21", `idleTimeout: 5 minutes`, "/idleTimeout"},
		"young ghosts":       {"keda-2.21", `keep: {enabled: true, olderThan: "20"}`, `keep.olderThan is "20", which is shorter than 15m`},
		"a hasty keeper":     {"keda-2.21", `keep: {enabled: true, interval: 1s}`, `keep.interval is "1s", which is shorter than 5s`},

		"no client":                {"keda-2.21", `identity: {clientId: ""}`, "identity.clientId is not set"},
		"PAT as a value":           {"statefulset", `identity: {token: secret}`, "additional properties 'token' not allowed"},
		"PAT nowhere":              {"statefulset", `identity: {existingSecret: ""}`, "identity.existingSecret is not set"},
		"keeper's PAT nowhere":     {"keda-2.21", `keep: {identity: {type: pat}}`, "keep.identity.existingSecret is not set"},
		"PAT as a variable":        {"keda-2.21", `extraEnv: [{name: AZP_TOKEN, value: secret}]`, "which everybody can read who can view the release"},
		"a variable twice":         {"keda-2.21", `extraEnv: [{name: AZP_ONCE, value: "false"}]`, "extraEnv has AZP_ONCE, which the chart sets itself\nhint: set the value once"},
		"a variable twice, keeper": {"keda-2.21", `keep: {extraEnv: [{name: AZP_KEEP_LISTEN, value: ":80"}]}`, "hint: set the value keep.port"},
		"node's, closed":           {"deployment", `networkPolicy: {enabled: true}`, "blocks the metadata service that issues its tokens"},
		"init, stateful":           {"statefulset", `initRegister: {enabled: true}`, "initRegister.enabled is true with kind statefulSet"},
		"init, node's":             {"init-register", `{identity: {type: managedIdentity}, networkPolicy: {enabled: false}}`, "which every container of the pod can use"},
		"init, no keeper":          {"init-register", `keep: {enabled: false}`, "nothing would remove the agents"},
		"init, keeper that looks":  {"init-register", `keep: {prune: false}`, "nothing would remove the agents"},
		"monitor without metrics":  {"keda-2.21", `metrics: {podMonitor: {enabled: true}}`, "metrics.enabled is false"},
		"monitor without token":    {"keda-2.21", `keep: {serviceMonitor: {enabled: true}}`, "set keep.enabled, keep.service.enabled and keep.token.existingSecret"},
		"budget, scaled":           {"keda-2.21", `podDisruptionBudget: {enabled: true}`, "it would only block the drain of nodes"},

		// Each of these would render a key twice, or replace what the chart needs.
		"a selector's label":       {"keda-2.21", `podLabels: {app.kubernetes.io/name: x}`, `podLabels has the key "app.kubernetes.io/name", which the chart sets itself`},
		"the webhook's label":      {"keda-2.21", `podLabels: {azure.workload.identity/use: "false"}`, "podLabels has the key"},
		"a label of all objects":   {"keda-2.21", `commonLabels: {helm.sh/chart: x}`, "commonLabels has the key"},
		"a label, keeper":          {"keda-2.21", `keep: {podLabels: {app.kubernetes.io/component: x}}`, "keep.podLabels has the key"},
		"a label, monitor":         {"statefulset", `metrics: {podMonitor: {labels: {app.kubernetes.io/instance: x}}}`, "metrics.podMonitor.labels has the key"},
		"skipped containers":       {"init-register", `podAnnotations: {azure.workload.identity/skip-containers: dind}`, "podAnnotations has the key"},
		"skipped, dind":            {"keda-2.21", `{dind: {enabled: true}, podAnnotations: {azure.workload.identity/skip-containers: ""}}`, "podAnnotations has the key"},
		"an account's identity":    {"keda-2.21", `serviceAccount: {annotations: {azure.workload.identity/client-id: x}}`, "serviceAccount.annotations has the key"},
		"an agent's name":          {"keda-2.21", `extraEnv: [{name: AZP_AGENT_NAME, value: x}]`, "an agent must have the name of its pod"},
		"an agent's name, in init": {"init-register", `initRegister: {extraEnv: [{name: AZP_AGENT_NAME, value: x}]}`, "initRegister.extraEnv has AZP_AGENT_NAME"},
		"an agent's name, keeper":  {"keda-2.21", `keep: {extraEnv: [{name: AZP_AGENT_NAME, value: x}]}`, "or keep.placeholder.name"},
		"another daemon":           {"init-register", `extraEnv: [{name: DOCKER_HOST, value: "tcp://docker:2375"}]`, "set dind.enabled to false to use another daemon"},
		"another proxy":            {"network", `extraEnv: [{name: https_proxy, value: "http://x"}]`, "hint: set the value proxy"},
		"other certificates":       {"keda-2.21", `extraEnv: [{name: AZP_CA_FILE, value: /ca}]`, "hint: set the value caCertificates"},
		"another identity":         {"keda-2.21-accurate", `extraEnv: [{name: AZP_CLIENTID, value: x}]`, "hint: set the value identity.clientId"},
		"a variable twice in all":  {"keda-2.21", `extraEnv: [{name: A, value: b}, {name: A, value: c}]`, "extraEnv has A twice"},
		"a volume of the chart":    {"keda-2.21", `extraVolumes: [{name: tmp, emptyDir: {}}]`, `extraVolumes has "tmp", which the chart uses itself`},
		"a volume twice":           {"keda-2.21", `extraVolumes: [{name: a, emptyDir: {}}, {name: a, emptyDir: {}}]`, `extraVolumes has "a" twice`},
		"a mount of the chart":     {"keda-2.21", `extraVolumeMounts: [{name: a, mountPath: /tmp}]`, `extraVolumeMounts has "/tmp", which the chart uses itself`},
		"two mounts in one place":  {"keda-2.21", `home: {mountPath: /agent}`, "they must differ from each other"},
		"a container of the chart": {"keda-2.21", `extraContainers: [{name: agent, image: x}]`, `has "agent", which the chart uses itself`},
		"a container twice":        {"keda-2.21", `{extraContainers: [{name: a, image: x}], extraInitContainers: [{name: a, image: x}]}`, `has "a" twice`},
		"a field of a value":       {"keda-2.21", `podSpec: {hostAliases: []}`, "invalid propertyName 'hostAliases'"},

		"azptend's capability":    {"keda-2.21", `capabilities: {azptend.kind: x}`, "are azptend's own"},
		"a comma in its name":     {"keda-2.21", `capabilities: {"a,b": x}`, "invalid propertyName 'a,b'"},
		"a backslash at its end":  {"keda-2.21", `capabilities: {dir: 'C:\'}`, "a backslash at the end"},
		"a placeholder's":         {"keda-2.21", `keep: {placeholder: {capabilities: {azptend.kind: x}}}`, "keep.placeholder.capabilities has"},
		"82 characters of a name": {"keda-2.21", `nameOverride: ` + strings.Repeat("a", 82), "/nameOverride"},
		"64 characters":           {"keda-2.21", `nameOverride: ` + strings.Repeat("a", 64), "/nameOverride"},
		"a name with a dot":       {"keda-2.21", `nameOverride: a.b`, "/nameOverride"},
		"41 characters in full":   {"keda-2.21", `fullnameOverride: ` + strings.Repeat("a", 41), "/fullnameOverride"},

		"proxy: two":                {"network", `proxy: {url: "http://proxy:3128"}`, "proxy.url and proxy.existingSecret are both set"},
		"proxy: a password":         {"keda-2.21", `proxy: {url: "http://user:secret@proxy:3128"}`, "/proxy/url"},
		"proxy: only exceptions":    {"keda-2.21", `proxy: {noProxy: [.svc]}`, "hint: set one of them"},
		"certificates: two":         {"network", `caCertificates: {secret: x}`, "caCertificates.configMap and caCertificates.secret are both set"},
		"page without token":        {"keda-2.21", `keep: {ingress: {enabled: true, hosts: [a.example]}}`, "keep.ingress.enabled is true, but the keeper's page has no Service"},
		"page without host":         {"everything", `keep: {ingress: {hosts: []}}`, "keep.ingress.hosts is empty"},
		"one port for two":          {"keda-2.21", `keep: {healthPort: 8141}`, "hint: use two ports"},
		"an alert that is not one":  {"everything", `prometheusRule: {disabled: [AzptendNoSuchAlert]}`, `has "AzptendNoSuchAlert", which is no alert`},
		"docker without a group":    {"openshift", `dind: {enabled: true}`, "hint: set runAsGroup"},
		"a keeper without identity": {"keda-2.21", `{identity: {clientId: ""}, serviceAccount: {create: false, name: own}}`, "identity.clientId is not set"},

		"an unknown value":      {"keda-2.21", `replicaCount: 3`, "additional properties 'replicaCount' not allowed"},
		"an unknown value, far": {"keda-2.21", `keda: {identity: {clientID: a}}`, "additional properties 'clientID' not allowed"},
		"an unknown kind":       {"keda-2.21", `kind: ScaledJob`, "/kind"},
		"a spec's own field":    {"keda-2.21", `podSpec: {containers: []}`, "invalid propertyName 'containers'"},
	} {
		t.Run(what, func(t *testing.T) {
			_, err := render(t, r.changed(t))
			if err == nil {
				t.Fatalf("was taken; want %q", r.says)
			}
			if !strings.Contains(err.Error(), r.says) {
				t.Errorf("says %q; want %q in it", err, r.says)
			}
		})
	}
}

// TestAddresses and TestDurations check that the chart accepts the same values as azptend.
func TestAddresses(t *testing.T) {
	testLikeAzptend(t, "addresses.yaml", "organizationURL", func(address string) map[string]any {
		return map[string]any{"organizationURL": address}
	})
}

func TestDurations(t *testing.T) {
	testLikeAzptend(t, "durations.yaml", "olderThan", func(olderThan string) map[string]any {
		return map[string]any{"keep": map[string]any{"enabled": true, "olderThan": olderThan}}
	})
}

// TestGroups does not ask for the value's name in a refusal: the schema's library does not know the
// place of a wrong name of a capability.
func TestGroups(t *testing.T) {
	testLikeAzptend(t, "groups.yaml", "", func(groups string) map[string]any {
		all := map[string]any{}
		if err := yaml.Unmarshal([]byte("groups: ["+groups+"]"), &all); err != nil {
			t.Fatal(err)
		}
		all["token"] = map[string]any{"existingSecret": "keep"}
		return map[string]any{"keep": all}
	})
}

// testLikeAzptend renders the chart with each value of a file. Tests of azptend read the same file.
// A refusal names the value.
func testLikeAzptend(t *testing.T, file, name string, values func(string) map[string]any) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	accepted := map[string]bool{}
	if err := yaml.Unmarshal(b, &accepted); err != nil || len(accepted) == 0 {
		t.Fatalf("%s: %d values, %v", file, len(accepted), err)
	}
	for value, good := range accepted {
		all := cases(t)["keda-2.21"]
		merge(all, values(value))
		if _, err := render(t, all); (err == nil) != good || err != nil && !strings.Contains(err.Error(), name) {
			t.Errorf("%s %q: %v; is it good: %t", name, value, err, good)
		}
	}
}

// merge merges values into others, like helm -f.
func merge(under, over map[string]any) {
	for key, value := range over {
		below, isMap := under[key].(map[string]any)
		above, overMap := value.(map[string]any)
		if isMap && overMap {
			merge(below, above)
			continue
		}
		under[key] = value
	}
}

// TestAccepted checks valid values that are similar to the refused ones.
func TestAccepted(t *testing.T) {
	for what, r := range map[string]refused{
		"a version's patch":        {"keda-2.21", `keda: {version: "2.21.7"}`, "scaleOnInFlight: \"true\""},
		"accurate alone, at 2.21":  {"keda-2.21", `keda: {strategy: accurate}`, "scaleOnInFlight: \"false\""},
		"accurate, by what counts": {"keda-2.21", `keda: {scaleOnInFlight: false}`, "strategy: accurate"},
		"default at 2.19":          {"keda-2.19", `keda: {strategy: default}`, "strategy: default"},
		"accurate at 2.20":         {"keda-2.20", `keda: {strategy: accurate}`, "pendingPodConditions: [Ready]"},
		"unfinished and parent":    {"keda-2.20", ``, "fetchUnfinishedJobsOnly: \"true\""},
		"the emulator":             {"keda-2.21", `organizationURL: http://127.0.0.1:8080/myorg`, "organizationURL: \"http://127.0.0.1:8080/myorg\""},
		"once false, stateful":     {"statefulset", `once: false`, "kind: StatefulSet"},
		"a keeper elsewhere":       {"init-register", `{keep: {enabled: false}, initRegister: {keptElsewhere: true}}`, "AZP_REGISTERED"},
		"PAT from a secret":        {"everything", `extraEnv: [{name: AZP_TOKEN, valueFrom: {secretKeyRef: {name: azp, key: token}}}]`, "name: AZP_TOKEN"},
		"an existing account":      {"keda-2.21", `{identity: {clientId: ""}, serviceAccount: {create: false, name: own}, keep: {serviceAccount: {create: false, name: own}}}`, "serviceAccountName: own"},
		"a token for jobs":         {"keda-2.21", `serviceAccount: {automount: true}`, "automountServiceAccountToken: true"},
		"commas in capabilities":   {"keda-2.21", `capabilities: {dotnet: "8,9", docker: "true"}`, `value: docker=true,dotnet=8\,9`},
		"another Docker daemon":    {"keda-2.21", `extraEnv: [{name: DOCKER_HOST, value: "tcp://docker:2375"}]`, "value: tcp://docker:2375"},
		"own proxy variables":      {"keda-2.21", `extraEnv: [{name: HTTPS_PROXY, value: "http://proxy:3128"}]`, "value: http://proxy:3128"},
		"a proxy without password": {"keda-2.21", `proxy: {url: "http://proxy:3128"}`, "value: http://proxy:3128"},
		"certificates of a Secret": {"keda-2.21", `caCertificates: {secret: company-ca}`, "secretName: company-ca"},
		"deleted at once":          {"keda-2.21", `scaledJob: {ttlSecondsAfterFinished: 0}`, "ttlSecondsAfterFinished: 0"},
		"an unprivileged daemon":   {"init-register", `dind: {securityContext: {privileged: false}}`, "privileged: false"},
		"a keeper on the node":     {"keda-2.21", `keep: {identity: {type: managedIdentity}}`, `except: ["168.63.129.16/32"]`},
		"63 characters of a name":  {"keda-2.21", `nameOverride: ` + strings.Repeat("a", 63), "app.kubernetes.io/name: " + strings.Repeat("a", 63)},
		"40 characters in full":    {"keda-2.21", `fullnameOverride: ` + strings.Repeat("a", 40), strings.Repeat("a", 40) + "-keep"},
		"three at a time":          {"metrics-api", `keda: {pollingInterval: 3}`, "pollingInterval: 3\n"},
		"more than its group":      {"metrics-api", `keda: {maxReplicaCount: 21}`, "maxReplicaCount: 21\n"},
		"default, by the keeper":   {"metrics-api", `keda: {strategy: default, version: "2.20"}`, "strategy: default\n"},
		"another Secret for KEDA":  {"metrics-api", `keep: {scaleToken: {existingSecret: keep-scale, key: token}}`, "name: keep-scale\n    key: token"},
		"KEDA in kube-system":      {"metrics-api", `keep: {networkPolicy: {fromKEDA: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}}]}}`, "kubernetes.io/metadata.name: kube-system"},
		"a shared authentication":  {"metrics-api-elsewhere", `{keep: {scaleToken: {existingSecret: ""}}, keda: {authenticationRef: {name: keep, kind: ClusterTriggerAuthentication}}}`, "kind: ClusterTriggerAuthentication"},
		"groups, and 2.21":         {"keda-2.21", `keep: {token: {existingSecret: keep}, groups: [{name: gpu, max: 2}]}`, "type: azure-pipelines"},
		"a parent chart's global":  {"keda-2.21", `global: {registry: x}`, "kind: ScaledJob"},
	} {
		t.Run(what, func(t *testing.T) {
			files, err := render(t, r.changed(t))
			if err != nil {
				t.Fatal(err)
			}
			if got := manifest(files); !strings.Contains(got, r.says) {
				t.Errorf("want %q in\n%s", r.says, got)
			}
		})
	}
}
