package helm

import (
	"fmt"
	"path"
	"sort"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
)

const chartDir = "../../../deploy/helm/azptend"

func load(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.LoadDir(chartDir)
	if err != nil {
		t.Fatalf("load the chart: %v", err)
	}
	return c
}

// render runs helm template. It returns each file's text by its name in the chart, including
// NOTES.txt. The error comes from the schema or from a template.
func render(t *testing.T, values map[string]any) (map[string]string, error) {
	t.Helper()
	c := load(t)
	release := chartutil.ReleaseOptions{Name: "agents", Namespace: "ci", Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(c, values, release, capabilities(t))
	if err != nil {
		return nil, err
	}
	rendered, err := engine.Render(c, all)
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for name, text := range rendered {
		if base := path.Base(name); strings.TrimSpace(text) != "" && !strings.HasPrefix(base, "_") {
			files[base] = text
		}
	}
	return files, nil
}

// capabilities are those of a cluster with the Kubernetes version of the schemas.
func capabilities(t *testing.T) *chartutil.Capabilities {
	t.Helper()
	version, err := chartutil.ParseKubeVersion("v" + kubernetesVersion)
	if err != nil {
		t.Fatal(err)
	}
	return &chartutil.Capabilities{KubeVersion: *version, APIVersions: chartutil.DefaultVersionSet}
}

// manifest joins all files except NOTES.txt in a fixed order.
func manifest(files map[string]string) string {
	var names []string
	for name := range files {
		if name != "NOTES.txt" {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "---\n# %s\n%s\n", name, strings.TrimPrefix(strings.Trim(files[name], "\n"), "---\n"))
	}
	return b.String()
}
