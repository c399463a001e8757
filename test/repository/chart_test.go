package repository

import (
	"bytes"
	"os"
	"testing"
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
