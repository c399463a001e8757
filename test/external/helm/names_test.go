package helm

import (
	"fmt"
	"os"
	"regexp"
	"sort"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// settings returns the rows of docs/configuration.md. TestConfigurationPage keeps that page equal
// to the settings of azptend.
func settings(t *testing.T) map[string]bool {
	t.Helper()
	page, err := os.ReadFile("../../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([A-Z][A-Z0-9_]+)` \\| ").FindAllStringSubmatch(string(page), -1) {
		known[row[1]] = true
	}
	if !known["AZP_URL"] || len(known) < 40 {
		t.Fatalf("the tables were not found: %d settings", len(known))
	}
	return known
}

// TestVariablesAreSettings: the chart sets only variables that azptend knows, and for each of them
// there is a value, so that extraEnv is not needed.
func TestVariablesAreSettings(t *testing.T) {
	known := settings(t)
	byValue := map[string]string{}
	template, err := os.ReadFile(chartDir + "/templates/_validate.tpl")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range regexp.MustCompile(`(?m)^([A-Z_]+): (\S+)$`).FindAllStringSubmatch(string(template), -1) {
		byValue[line[1]] = line[2]
	}
	// Variables that the chart sets itself and a user may override, and those without a value of their
	// own.
	free := map[string]bool{"AZP_AGENT_NAME": true, "AZP_TOKEN": true, "AZP_CLIENTID": true, "AZP_CLIENTSECRET": true,
		"AZP_TENANTID": true, "USRMI_ID": true, "DOCKER_HOST": true, "AZP_KEEP_TOKEN": true}
	set := map[string]bool{}
	for name, values := range cases(t) {
		delete(values, "extraEnv")
		merge(values, map[string]any{"keep": map[string]any{"extraEnv": []any{}}})
		for _, container := range containers(t, name, values) {
			for _, v := range container.Env {
				set[v.Name] = true
			}
		}
	}
	for name := range set {
		if !known[name] && name != "HOME" && name != "DOCKER_HOST" {
			t.Errorf("the chart sets %s, which is no setting of azptend", name)
		}
		if byValue[name] == "" && !free[name] {
			t.Errorf("the chart sets %s, and extraEnv may set it once more: it is missing in azptend.envByValue", name)
		}
	}
	for name := range byValue {
		if !set[name] {
			t.Errorf("azptend.envByValue has %s, which no case sets", name)
		}
	}
}

// pods returns the pod templates of the chart's output, by "kind/name".
func pods(t *testing.T, values map[string]any) map[string]corev1.PodTemplateSpec {
	t.Helper()
	files, err := render(t, values)
	if err != nil {
		t.Fatal(err)
	}
	type target struct{ Template *corev1.PodTemplateSpec }
	found := map[string]corev1.PodTemplateSpec{}
	for _, document := range strings.Split(manifest(files), "\n---\n") {
		var object struct {
			Kind     string
			Metadata struct{ Name string }
			Spec     struct {
				target
				JobTargetRef target `json:"jobTargetRef"`
			}
		}
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			t.Fatalf("%v:\n%s", err, document)
		}
		for _, template := range []*corev1.PodTemplateSpec{object.Spec.Template, object.Spec.JobTargetRef.Template} {
			if template != nil {
				found[fmt.Sprintf("%s/%s", object.Kind, object.Metadata.Name)] = *template
			}
		}
	}
	return found
}

// containers returns the containers that run azptend.
func containers(t *testing.T, name string, values map[string]any) []corev1.Container {
	t.Helper()
	var found []corev1.Container
	for _, pod := range pods(t, values) {
		for _, c := range append(pod.Spec.InitContainers, pod.Spec.Containers...) {
			if len(c.Command) > 0 && strings.HasSuffix(c.Command[0], "azptend") {
				found = append(found, c)
			}
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].Name < found[j].Name })
	if len(found) == 0 {
		t.Fatalf("%s: no container runs azptend", name)
	}
	return found
}

func env(c corev1.Container, name string) string {
	for _, v := range c.Env {
		if v.Name == name {
			return v.Value
		}
	}
	return ""
}
