package helm

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/strvals"
)

var (
	install  = regexp.MustCompile(`(?s)helm install agents .*?[^\\]\n`)
	setting  = regexp.MustCompile(`--(set|set-string) ([^\s="]+=("[^"\n]*"|\S+))`)
	computed = regexp.MustCompile(`"\$\([^"]*\)"`)
)

// TestCommandsInTexts runs the install commands of the pages.
func TestCommandsInTexts(t *testing.T) {
	for _, file := range []string{"../../../README.md", "../../../docs/kubernetes.md", chartDir + "/README.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		commands := install.FindAllString(string(text), -1)
		if len(commands) == 0 {
			t.Errorf("%s has no helm install", file)
		}
		for _, command := range commands {
			// Output of another command, and values that the reader fills in.
			command = strings.NewReplacer("<client id>", "an-id", "your-organisation", "contoso", "your-pool", "linux").Replace(computed.ReplaceAllString(command, "an-id"))
			values := map[string]any{}
			for _, m := range setting.FindAllStringSubmatch(command, -1) {
				parse := strvals.ParseInto
				if m[1] == "set-string" {
					parse = strvals.ParseIntoString
				}
				if err := parse(m[2], values); err != nil {
					t.Errorf("%s: --%s %s: %v", file, m[1], m[2], err)
				}
			}
			if _, err := render(t, values); err != nil {
				t.Errorf("%s: %s\n%v", file, command, err)
			}
		}
	}
}
