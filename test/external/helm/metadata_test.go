package helm

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// TestPatchRelease: a new version of the chart, or of azptend, changes no pod. Otherwise each helm
// upgrade would restart all long-lived agents.
func TestPatchRelease(t *testing.T) {
	for name, values := range cases(t) {
		t.Run(name, func(t *testing.T) {
			before := pods(t, values)
			c := loadChart(t)
			c.Metadata.Version, c.Metadata.AppVersion = "99.1.2", "99.3.4"
			files, err := renderWith3(t, c, cases(t)[name])
			if err != nil {
				t.Fatal(err)
			}
			if text := manifest(files); !strings.Contains(text, "helm.sh/chart: azptend-99.1.2") || !strings.Contains(text, "app.kubernetes.io/version: 99.3.4") {
				t.Errorf("no object has the new versions")
			}
			if after := podsOf(t, files); !reflect.DeepEqual(before, after) {
				t.Errorf("the pods differ:\n%v\n%v", before, after)
			}
		})
	}
}

// TestChart: Chart.yaml names files that exist, and its annotations are YAML.
func TestChart(t *testing.T) {
	m := loadChart(t).Metadata
	if err := m.Validate(); err != nil {
		t.Error(err)
	}
	const raw = "https://raw.githubusercontent.com/azptend/azptend/main/"
	icon, found := strings.CutPrefix(m.Icon, raw)
	if _, err := os.Stat("../../../" + icon); !found || err != nil {
		t.Errorf("the icon %s is not a file of this repository: %v", m.Icon, err)
	}
	if m.AppVersion == "" || len(m.Maintainers) == 0 || m.Home == "" || len(m.Sources) == 0 {
		t.Errorf("Chart.yaml lacks appVersion, maintainers, home or sources: %+v", m)
	}
	for _, name := range []string{"artifacthub.io/license", "artifacthub.io/links", "artifacthub.io/category"} {
		if m.Annotations[name] == "" {
			t.Errorf("Chart.yaml lacks the annotation %s", name)
		}
		if err := strict(m.Annotations[name]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, link := range regexp.MustCompile(`https://github\.com/azptend/azptend/blob/main/(\S+)`).FindAllStringSubmatch(m.Annotations["artifacthub.io/links"], -1) {
		if _, err := os.Stat("../../../" + link[1]); err != nil {
			t.Error(err)
		}
	}
}

// TestMetadata: labels and annotations of users are merged with the chart's, and each object has
// the common ones.
func TestMetadata(t *testing.T) {
	values := cases(t)["everything"]
	files, err := render(t, values)
	if err != nil {
		t.Fatal(err)
	}
	objects := 0
	for _, object := range objectsOf(t, files) {
		if dig(object, "kind") == "Secret" { // of extraObjects
			continue
		}
		objects++
		if dig(object, "metadata", "labels", "team") != "build" || dig(object, "metadata", "annotations", "contact") != "build@contoso.example" {
			t.Errorf("%v %v has not the common label or annotation", dig(object, "kind"), dig(object, "metadata", "name"))
		}
	}
	if objects < 12 {
		t.Errorf("only %d objects were looked at", objects)
	}
	merge(values, map[string]any{"podAnnotations": map[string]any{"cluster-autoscaler.kubernetes.io/safe-to-evict": "true"}})
	for what, pod := range pods(t, values) {
		if is := pod.Annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"]; strings.HasPrefix(what, "ScaledJob/") && is != "true" {
			t.Errorf("%s: safe-to-evict is %q", what, is)
		}
	}
}
