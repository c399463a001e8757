package helm

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	chart3 "helm.sh/helm/v3/pkg/chart"
	loader3 "helm.sh/helm/v3/pkg/chart/loader"
	util3 "helm.sh/helm/v3/pkg/chartutil"
	engine3 "helm.sh/helm/v3/pkg/engine"
	common4 "helm.sh/helm/v4/pkg/chart/common"
	util4 "helm.sh/helm/v4/pkg/chart/common/util"
	loader4 "helm.sh/helm/v4/pkg/chart/v2/loader"
	engine4 "helm.sh/helm/v4/pkg/engine"
	"sigs.k8s.io/yaml"
)

const chartDir = "../../../deploy/helm/azptend"

// render runs helm template with Helm 3 and Helm 4, which must agree. It returns each file's text
// by its name in the chart, including NOTES.txt, without empty files. The error comes from the
// schema or from a template.
func render(t *testing.T, values map[string]any) (map[string]string, error) {
	t.Helper()
	three, err3 := renderWith3(t, loadChart(t), values)
	four, err4 := renderWith4(t, values)
	if (err3 == nil) != (err4 == nil) {
		t.Fatalf("Helm 3 says %v, and Helm 4 %v", err3, err4)
	}
	if err3 != nil {
		return nil, err3
	}
	if !maps.Equal(three, four) {
		t.Errorf("Helm 3 renders\n%s\nand Helm 4\n%s", manifest(three), manifest(four))
	}
	for name, text := range three {
		if name == "NOTES.txt" {
			continue
		}
		if err := strict(text); err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
	return three, nil
}

func loadChart(t *testing.T) *chart3.Chart {
	t.Helper()
	c, err := loader3.LoadDir(chartDir)
	if err != nil {
		t.Fatalf("load the chart: %v", err)
	}
	return c
}

func renderWith3(t *testing.T, c *chart3.Chart, values map[string]any) (map[string]string, error) {
	t.Helper()
	release := util3.ReleaseOptions{Name: "agents", Namespace: "ci", Revision: 1, IsInstall: true}
	all, err := util3.ToRenderValues(c, values, release, capabilities(t))
	if err != nil {
		return nil, err
	}
	rendered, err := engine3.Render(c, all)
	return byName(rendered), err
}

// capabilities are those of a cluster with the Kubernetes version of the schemas.
func capabilities(t *testing.T) *util3.Capabilities {
	t.Helper()
	version, err := util3.ParseKubeVersion("v" + kubernetesVersion)
	if err != nil {
		t.Fatal(err)
	}
	return &util3.Capabilities{KubeVersion: *version, APIVersions: util3.DefaultVersionSet}
}

func renderWith4(t *testing.T, values map[string]any) (map[string]string, error) {
	t.Helper()
	c, err := loader4.LoadDir(chartDir)
	if err != nil {
		t.Fatalf("load the chart: %v", err)
	}
	version, err := common4.ParseKubeVersion("v" + kubernetesVersion)
	if err != nil {
		t.Fatal(err)
	}
	cluster := &common4.Capabilities{KubeVersion: *version, APIVersions: common4.DefaultVersionSet}
	release := common4.ReleaseOptions{Name: "agents", Namespace: "ci", Revision: 1, IsInstall: true}
	all, err := util4.ToRenderValues(c, values, release, cluster)
	if err != nil {
		return nil, err
	}
	rendered, err := engine4.Render(c, all)
	return byName(rendered), err
}

func byName(rendered map[string]string) map[string]string {
	files := map[string]string{}
	for name, text := range rendered {
		if base := path.Base(name); strings.TrimSpace(text) != "" && !strings.HasPrefix(base, "_") {
			files[base] = text
		}
	}
	return files
}

// mergeKeys are the keys by which Kubernetes merges the items of a list. Server-side apply, which
// Helm 4 and Flux use, refuses a list in which two items have the same key.
var mergeKeys = map[string]string{"containers": "name", "initContainers": "name", "env": "name", "volumes": "name",
	"volumeMounts": "mountPath", "imagePullSecrets": "name", "ports": "name", "hostAliases": "ip", "volumeClaimTemplates": "name"}

// strict parses YAML as strictly as the strictest client: a key may not occur twice.
func strict(text string) error {
	for _, document := range strings.Split("\n"+text, "\n---") {
		var v any
		if err := yaml.UnmarshalStrict([]byte(document), &v); err != nil {
			return err
		}
		if err := strictItems(v); err != nil {
			return err
		}
	}
	return nil
}

func strictItems(v any) error {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			if err := strictItems(item); err != nil {
				return err
			}
		}
	case map[string]any:
		for field, value := range v {
			if err := strictItems(value); err != nil {
				return err
			}
			items, _ := value.([]any)
			seen := map[any]bool{}
			for _, item := range items {
				key := dig(item, mergeKeys[field])
				if key != nil && seen[key] {
					return fmt.Errorf("two items of %s have the %s %v", field, mergeKeys[field], key)
				}
				seen[key] = true
			}
		}
	}
	return nil
}

// TestStrict checks that strict can fail.
func TestStrict(t *testing.T) {
	for text, good := range map[string]bool{
		"a: 1\nb: 1":                               true,
		"a: {b: 1, c: 1, b: 2}":                    false,
		"a: 1\n---\nb: 1\nb: 2":                    false,
		"env: [{name: a}, {name: b}]":              true,
		"x: [{env: [{name: a}, {name: a}]}]":       false,
		"volumeMounts: [{name: a, mountPath: /x}]": true,
		"volumeMounts: [{name: a, mountPath: /x}, {name: b, mountPath: /x}]": false,
	} {
		if err := strict(text); (err == nil) != good {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// manifest joins all files except NOTES.txt in a fixed order.
func manifest(files map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if name != "NOTES.txt" {
			fmt.Fprintf(&b, "---\n# %s\n%s\n", name, strings.TrimPrefix(strings.Trim(files[name], "\n"), "---\n"))
		}
	}
	return b.String()
}
