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

		"deadline too short": {"keda-2.21", `scaledJob: {activeDeadlineSeconds: 25200}`, "more than 25200, or 0 for no deadline"},
		"no grace":           {"keda-2.21", `terminationGracePeriodSeconds: 0`, "/terminationGracePeriodSeconds"},
		"too much grace":     {"keda-2.21", `terminationGracePeriodSeconds: 2592001`, "/terminationGracePeriodSeconds"},
		"idle, stateful":     {"statefulset", `idleTimeout: 5m`, "/idleTimeout"},
		"once, stateful":     {"statefulset", `once: true`, "/once"},
		"idle, deployment":   {"deployment", `idleTimeout: 5m`, "/idleTimeout"},
		"once, deployment":   {"deployment", `once: true`, "/once"},
		"an odd time":        {"keda-2.21", `idleTimeout: 5 minutes`, "/idleTimeout"},
		"young ghosts":       {"keda-2.21", `keep: {enabled: true, olderThan: "20"}`, `keep.olderThan is "20", which is shorter than 15m`},
		"a hasty keeper":     {"keda-2.21", `keep: {enabled: true, interval: 1s}`, `keep.interval is "1s", which is shorter than 5s`},

		"no client":                {"keda-2.21", `identity: {clientId: ""}`, "identity.clientId is not set"},
		"PAT as a value":           {"statefulset", `identity: {token: secret}`, "additional properties 'token' not allowed"},
		"PAT nowhere":              {"statefulset", `identity: {existingSecret: ""}`, "identity.existingSecret is not set"},
		"keeper's PAT nowhere":     {"keda-2.21", `keep: {identity: {type: pat}}`, "keep.identity.existingSecret is not set"},
		"PAT as a variable":        {"keda-2.21", `extraEnv: [{name: AZP_TOKEN, value: secret}]`, "which everybody can read who can view the release"},
		"a variable twice":         {"keda-2.21", `extraEnv: [{name: AZP_ONCE, value: "false"}]`, "AZP_ONCE is set as a variable, but the chart sets it too\nhint: set the value once"},
		"a variable twice, keeper": {"keda-2.21", `keep: {extraEnv: [{name: AZP_KEEP_LISTEN, value: ":80"}]}`, "hint: set the value keep.port"},
		"node's, closed":           {"deployment", `networkPolicy: {enabled: true}`, "blocks the metadata service that issues its tokens"},
		"init, stateful":           {"statefulset", `initRegister: {enabled: true}`, "initRegister.enabled is true with kind statefulSet"},
		"init, node's":             {"init-register", `{identity: {type: managedIdentity}, networkPolicy: {enabled: false}}`, "which every container of the pod can use"},
		"init, no keeper":          {"init-register", `keep: {enabled: false}`, "nothing would remove the agents"},
		"init, keeper that looks":  {"init-register", `keep: {prune: false}`, "nothing would remove the agents"},
		"monitor without metrics":  {"keda-2.21", `metrics: {podMonitor: {enabled: true}}`, "metrics.enabled is false"},
		"monitor without token":    {"keda-2.21", `keep: {serviceMonitor: {enabled: true}}`, "set keep.enabled, keep.service.enabled and keep.token.existingSecret"},
		"budget, scaled":           {"keda-2.21", `podDisruptionBudget: {enabled: true}`, "it would only block the drain of nodes"},

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
