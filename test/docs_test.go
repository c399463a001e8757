package test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/azptend/azptend/internal/config"
)

// TestReadmeTellsEverySetting holds the README's table against the settings.
func TestReadmeTellsEverySetting(t *testing.T) {
	b, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range config.Table() {
		flag, value := "none: argv is public", ""
		if row.Flag != "" {
			flag = "`--" + row.Flag + "`"
		}
		if row.Default != "" {
			value = "`" + row.Default + "`"
		}
		line := fmt.Sprintf("| `%s` | %s | %s | %s |", row.Env, flag, value, row.Help)
		if !strings.Contains(string(b), line+"\n") {
			t.Errorf("README.md lacks the line\n%s", line)
		}
	}
}

// TestReadmeShowsTheDemo holds the README's output of the demo against the
// words of the program that prints it: whoever changes one changes both.
func TestReadmeShowsTheDemo(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := inTime()
	defer cancel()
	shown := command(ctx, binary, "demo")
	out, err := shown.CombinedOutput()
	if err != nil {
		t.Fatalf("the demo failed: %v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if words := wordsOf(line); words != "" && !strings.Contains(wordsOf(string(readme)), words) {
			t.Errorf("README.md does not show %q", words)
		}
	}
}

// wordsOf is a text without what differs between two runs: numbers, and how
// columns are set.
func wordsOf(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r == '.' {
			return -1
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}
