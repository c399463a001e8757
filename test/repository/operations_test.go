package repository

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/azptend/azptend/internal/keep"
	"github.com/azptend/azptend/internal/metrics"
)

var metricName = regexp.MustCompile(`\bazptend_[a-z_]+`)

// TestOperationsPageMatchesScript: the commands in docs/operations.md are exactly those of its script,
// and its metrics are the keeper's.
func TestOperationsPageMatchesScript(t *testing.T) {
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("../script/testdata/operations.txtar")
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
	kept := keep.NewMetrics("").Families()
	names := metricName.FindAllString(string(page), -1)
	for _, name := range names {
		if !slices.ContainsFunc(kept, func(f metrics.Family) bool { return f.Name == name }) {
			t.Errorf("the keeper has no metric %s", name)
		}
	}
	if seen == 0 || len(names) == 0 {
		t.Errorf("%d commands and %d metrics were seen", seen, len(names))
	}
}
