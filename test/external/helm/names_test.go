package helm

import (
	"fmt"
	"os"
	"regexp"
	"sort"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
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

// TestVariablesAreSettings: the chart sets only variables that azptend knows, and the refusal of each
// of them in extraEnv says what to do instead.
func TestVariablesAreSettings(t *testing.T) {
	known := settings(t)
	for _, name := range []string{"HOME", "DOCKER_HOST", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE"} {
		known[name] = true
	}
	template, err := os.ReadFile(chartDir + "/templates/_env.tpl")
	if err != nil {
		t.Fatal(err)
	}
	hinted := map[string]bool{}
	for _, line := range regexp.MustCompile(`(?m)^([A-Za-z_]+): \{say: `).FindAllStringSubmatch(string(template), -1) {
		hinted[line[1]] = true
	}
	set := map[string]bool{}
	for name, values := range cases(t) {
		delete(values, "extraEnv")
		merge(values, map[string]any{"keep": map[string]any{"extraEnv": []any{}}})
		for what, pod := range pods(t, values) {
			for _, c := range append(pod.Spec.InitContainers, pod.Spec.Containers...) {
				for _, v := range c.Env {
					set[v.Name] = true
					if !known[v.Name] {
						t.Errorf("%s: %s sets %s, which is no setting of azptend", name, what, v.Name)
					}
				}
			}
		}
	}
	for name := range set {
		if !hinted[name] {
			t.Errorf("the chart sets %s, and azptend.envHints does not say what to do instead", name)
		}
	}
	for name := range hinted {
		if !set[name] && name != "AZP_PROXY" {
			t.Errorf("azptend.envHints has %s, which no case sets", name)
		}
	}
}

// pods returns the pods of the chart's output, by "kind/name" of the object that has them.
func pods(t *testing.T, values map[string]any) map[string]corev1.PodTemplateSpec {
	t.Helper()
	files, err := render(t, values)
	if err != nil {
		t.Fatal(err)
	}
	return podsOf(t, files)
}

func podsOf(t *testing.T, files map[string]string) map[string]corev1.PodTemplateSpec {
	t.Helper()
	found := map[string]corev1.PodTemplateSpec{}
	for _, object := range objectsOf(t, files) {
		for _, template := range []any{dig(object, "spec", "template"), dig(object, "spec", "jobTargetRef", "template"), object} {
			if template == nil || dig(template, "spec", "containers") == nil {
				continue
			}
			var pod corev1.PodTemplateSpec
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(template.(map[string]any), &pod); err != nil {
				t.Fatal(err)
			}
			found[fmt.Sprintf("%s/%s", dig(object, "kind"), dig(object, "metadata", "name"))] = pod
		}
	}
	return found
}

// objectsOf returns the objects of the chart's output.
func objectsOf(t *testing.T, files map[string]string) []map[string]any {
	t.Helper()
	var found []map[string]any
	for _, document := range strings.Split("\n"+manifest(files), "\n---") {
		object := map[string]any{}
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			t.Fatalf("%v:\n%s", err, document)
		}
		if len(object) > 0 {
			found = append(found, object)
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
