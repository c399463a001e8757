package helm

import (
	"reflect"
	"testing"
)

// TestTwoKeepers: one keeper removes ghosts and creates placeholders. The other only answers KEDA.
// Service, NetworkPolicy and PodDisruptionBudget are for both, and each Deployment is for its own pod.
func TestTwoKeepers(t *testing.T) {
	values := cases(t)["metrics-api"]
	files, err := render(t, values)
	if err != nil {
		t.Fatal(err)
	}
	keepers := podsOf(t, files)
	first, second := keepers["Deployment/agents-azptend-keep"], keepers["Deployment/agents-azptend-keep-scale"]
	for _, name := range []string{"AZP_KEEP_PRUNE", "AZP_KEEP_PLACEHOLDER"} {
		if one, other := env(first.Spec.Containers[0], name), env(second.Spec.Containers[0], name); one != "true" || other != "false" {
			t.Errorf("%s is %q and %q", name, one, other)
		}
	}
	seen := map[string]int{}
	for _, object := range objectsOf(t, files) {
		kind, name := dig(object, "kind").(string), dig(object, "metadata", "name").(string)
		selector, is := dig(object, "spec", "selector").(map[string]any)
		if kind == "NetworkPolicy" {
			selector, is = dig(object, "spec", "podSelector").(map[string]any)
		}
		if !is || kind == "ServiceMonitor" {
			continue
		}
		if labels, nested := selector["matchLabels"].(map[string]any); nested {
			selector = labels
		}
		got := [2]bool{selects(selector, first.Labels), selects(selector, second.Labels)}
		want := [2]bool{name == "agents-azptend-keep", name == "agents-azptend-keep" && kind != "Deployment" || name == "agents-azptend-keep-scale"}
		if name == "agents-azptend" { // the agents' NetworkPolicy has an expression too
			continue
		}
		seen[kind]++
		if got != want {
			t.Errorf("%s %s selects the keepers %v, want %v: %v", kind, name, got, want, selector)
		}
	}
	if want := map[string]int{"Deployment": 2, "Service": 1, "NetworkPolicy": 1, "PodDisruptionBudget": 1}; !reflect.DeepEqual(seen, want) {
		t.Errorf("the objects with a selector are %v, want %v", seen, want)
	}

	merge(values, map[string]any{"keep": map[string]any{"groups": []any{map[string]any{"name": "linux", "max": 21}}}})
	for what, changed := range pods(t, values) {
		if is, was := changed.Annotations["checksum/groups"], keepers[what].Annotations["checksum/groups"]; isKeeper(what) && (is == was || was == "") {
			t.Errorf("%s does not restart for other groups: %q, %q", what, was, is)
		}
	}
}

func selects(selector map[string]any, labels map[string]string) bool {
	for key, value := range selector {
		if labels[key] != value {
			return false
		}
	}
	return true
}
