package repository

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/azptend/azptend/internal/config"
)

// TestChartFiles: the chart has copies of the alert rules and the dashboard, because Helm packages
// only files below the chart's directory.
func TestChartFiles(t *testing.T) {
	for source, file := range map[string]string{
		alertsFile:    "../../deploy/helm/azptend/files/alerts.yaml",
		dashboardFile: "../../deploy/helm/azptend/files/dashboard.json",
	} {
		want, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is no copy of %s: go test ./test/repository -run TestChartFiles -update writes it (%v)", file, source, err)
		}
	}
}

// TestChartGroups: azptend accepts the file of groups that the chart renders.
func TestChartGroups(t *testing.T) {
	b, err := os.ReadFile("../external/helm/testdata/golden/metrics-api.yaml")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for document := range strings.SplitSeq(string(b), "\n---\n") {
		var object struct{ Data map[string]string }
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			t.Fatalf("%v:\n%s", err, document)
		}
		file, is := object.Data["groups.yaml"]
		if !is {
			continue
		}
		seen++
		groups, wrong := config.ParseGroups([]byte(file), []string{"linux"})
		if len(wrong) > 0 || len(groups) != 2 || len(groups[0].Warm) != 2 || groups[0].Capabilities["docker"] != "true" || groups[0].Capabilities["maven"] != "true" {
			t.Errorf("azptend reads %+v, %v, from\n%s", groups, wrong, file)
		}
	}
	if seen != 1 {
		t.Errorf("the chart renders %d files of groups", seen)
	}
}
