package repository

import (
	"os"
	"strings"
	"testing"
)

// TestOperationsPageMatchesScript: the commands in docs/operations.md are exactly those of its script.
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
	if seen == 0 {
		t.Error("no command was seen")
	}
}
