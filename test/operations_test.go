package test

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var metricName = regexp.MustCompile(`\bazptend_[a-z_]+`)

// TestOperationsRunsWhatItSays: the commands of docs/operations.md are those of
// its script, as they are written, and its metrics those that the keeper makes.
func TestOperationsRunsWhatItSays(t *testing.T) {
	page, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("testdata/script/operations.txtar")
	if err != nil {
		t.Fatal(err)
	}
	seen, code := 0, false
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "```") {
			code = !code
		}
		command, _, _ := strings.Cut(line, "#")
		if command = strings.TrimSpace(command); !code || !strings.HasPrefix(command, "azptend ") {
			continue
		}
		seen++
		if !strings.Contains(string(script), "\nexec "+command+"\n") {
			t.Errorf("operations.txtar does not run %q", command)
		}
	}
	keeper, err := os.ReadFile("../internal/keep/metrics.go")
	if err != nil {
		t.Fatal(err)
	}
	metrics := metricName.FindAllString(string(page), -1)
	for _, name := range metrics {
		if !strings.Contains(string(keeper), strconv.Quote(name)) {
			t.Errorf("the keeper has no metric %s", name)
		}
	}
	if seen == 0 || len(metrics) == 0 {
		t.Errorf("%d commands and %d metrics were seen", seen, len(metrics))
	}
}
