package lab

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/azptend/azptend/internal/cli"
)

var update = flag.Bool("update", false, "write the golden files")

// TestHelp compares the help of each command of azptend with testdata/help, and that of
// the commands that only azptend-lab has. With -update it writes the files.
func TestHelp(t *testing.T) {
	const dir = "testdata/help"
	p := cli.Process{Stdout: os.Stdout, Stderr: os.Stderr}
	p.Name = "azptend"
	product := helpTexts(t, cli.NewRoot(p))
	p.Name = "azptend-lab"
	texts := helpTexts(t, cli.NewRoot(p, newDemo, newEmulate))
	for path := range texts {
		if _, same := product[strings.Replace(path, "azptend-lab", "azptend", 1)]; same && path != "azptend-lab" {
			delete(texts, path)
		}
	}
	for path, text := range product {
		texts[path] = text
	}
	if *update {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	golden := func(path string) string { return filepath.Join(dir, strings.ReplaceAll(path, " ", "-")+".txt") }
	for path, text := range texts {
		if *update {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(golden(path), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if !strings.Contains(text, "\nExamples:\n") && !strings.Contains(path, "completion ") && !strings.HasSuffix(path, " help") { // cobra's own
			t.Errorf("%s: the help has no example", path)
		}
		want, err := os.ReadFile(golden(path))
		if err != nil || string(want) != text {
			t.Errorf("%s is not the help of %s (%v): run this test with -update, and read what changed. Now it is\n%s", golden(path), path, err, text)
		}
		for line := range strings.Lines(text) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 80 {
				t.Errorf("%s: a line of the help has %d columns: %s", path, n, line)
			}
		}
	}
	files, err := filepath.Glob(dir + "/*.txt")
	if err != nil || len(files) != len(texts) {
		t.Errorf("there are %d golden files for %d commands (%v): run this test with -update", len(files), len(texts), err)
	}
}

// helpTexts are the help texts of a command and its subcommands, by the command's path.
func helpTexts(t *testing.T, c *cobra.Command) map[string]string {
	t.Helper()
	var help bytes.Buffer
	c.SetOut(&help)
	c.InitDefaultHelpCmd()
	c.InitDefaultHelpFlag()
	c.InitDefaultVersionFlag()
	if err := c.Help(); err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{c.CommandPath(): help.String()}
	for _, sub := range c.Commands() {
		for path, text := range helpTexts(t, sub) {
			texts[path] = text
		}
	}
	return texts
}
